package solve

import (
	"cmp"
	"slices"

	"github.com/datalayer/conda2docker/conda/solve/internal/cdcl"
)

// rankVersions numbers the versions of a name, so that comparing them is comparing numbers.
func (p *pool) rankVersions(n *name) {
	all := p.packages[n.first : n.first+cdcl.Solvable(n.count)]
	order := make([]*candidate, len(all))
	for i := range all {
		order[i] = &all[i]
	}
	slices.SortStableFunc(order, func(a, b *candidate) int { return a.record.Version.Compare(b.record.Version) })
	rank := int32(-1)
	for i, c := range order {
		if i == 0 || order[i-1].record.Version.Compare(c.record.Version) != 0 {
			rank++
		}
		c.version = rank
	}
}

// order sorts the candidates of a name by what they are. What they depend on is compared only among those
// that a set selects: see sortTies.
func (p *pool) order(n *name) {
	n.byOrder = make([]cdcl.Solvable, n.count)
	for i := range n.byOrder {
		n.byOrder[i] = n.first + cdcl.Solvable(i)
	}
	slices.SortStableFunc(n.byOrder, p.compare)
}

// compare is negative where a is preferred over b for what it is: without track_features, of a preferred
// channel (with flexible priority), newer, of a higher build number.
func (p *pool) compare(a, b cdcl.Solvable) int {
	x, y := &p.packages[a], &p.packages[b]
	if tx, ty := len(x.record.TrackFeatures) > 0, len(y.record.TrackFeatures) > 0; tx != ty {
		if ty {
			return -1
		}
		return 1
	}
	if p.request.Priority == Flexible {
		if c := cmp.Compare(x.channel, y.channel); c != 0 {
			return c
		}
	}
	if c := cmp.Compare(y.version, x.version); c != 0 {
		return c
	}
	return cmp.Compare(y.record.BuildNumber, x.record.BuildNumber)
}

// sortTies sorts what a set selects where compare does not decide.
func (p *pool) sortTies(s *set) {
	m := s.matching
	for start := 0; start < len(m); {
		end := start + 1
		for end < len(m) && p.compare(m[start], m[end]) == 0 {
			end++
		}
		if end-start > 1 {
			p.sortTie(m[start:end])
		}
		start = end
	}
	if f := p.names[s.name].favored; f >= 0 {
		if i := slices.Index(m, f); i > 0 {
			copy(m[1:i+1], m[:i])
			m[0] = f
		}
	}
}

// tied is a candidate among equals: the best version that it allows of each name that they all depend on, in
// the order of these names.
type tied struct {
	solvable  cdcl.Solvable
	broken    bool
	allows    []best
	timestamp int64
}

// sortTie prefers, among candidates that are equal otherwise, the one that allows better versions of what they
// all depend on, name by name in alphabetical order; then the one that was built last.
func (p *pool) sortTie(m []cdcl.Solvable) {
	shared := p.sharedNames(m)
	ties := make([]tied, len(m))
	for i, s := range m {
		c := &p.packages[s]
		ties[i] = tied{solvable: s, broken: c.broken != "", timestamp: c.record.Timestamp}
		if !ties[i].broken {
			ties[i].allows = p.allows(c, shared)
		}
	}
	slices.SortStableFunc(ties, func(a, b tied) int {
		if a.broken != b.broken {
			if b.broken {
				return -1
			}
			return 1
		}
		for i := range min(len(a.allows), len(b.allows)) {
			if c := a.allows[i].compare(b.allows[i]); c != 0 {
				return c
			}
		}
		return cmp.Compare(b.timestamp, a.timestamp)
	})
	for i, t := range ties {
		m[i] = t.solvable
	}
}

// sharedNames is the names that all these candidates depend on, in alphabetical order.
func (p *pool) sharedNames(m []cdcl.Solvable) []cdcl.Name {
	var shared []cdcl.Name
	first := true
	for _, s := range m {
		c := &p.packages[s]
		if c.broken != "" {
			continue
		}
		if first {
			first = false
			for _, id := range c.requires {
				if n := p.sets[id].name; !slices.Contains(shared, n) {
					shared = append(shared, n)
				}
			}
			continue
		}
		shared = slices.DeleteFunc(shared, func(n cdcl.Name) bool {
			return !slices.ContainsFunc(c.requires, func(id cdcl.Set) bool { return p.sets[id].name == n })
		})
	}
	slices.SortFunc(shared, func(a, b cdcl.Name) int { return cmp.Compare(p.names[a].name, p.names[b].name) })
	return shared
}

// allows is the best version of each of these names that a candidate's requirements select. Of several
// requirements on one name the one that selects the best counts, as in rattler 0.3.5; its later code takes the
// worst.
func (p *pool) allows(c *candidate, names []cdcl.Name) []best {
	out := make([]best, len(names))
	for i, n := range names {
		out[i].version = -1
		for _, id := range c.requires {
			s := p.sets[id]
			if s.name != n || s.best.version < 0 {
				continue
			}
			if out[i].version < 0 || s.best.compare(out[i]) < 0 {
				out[i] = s.best
			}
		}
	}
	return out
}

// compare is negative where b is to be preferred over o: a version rather than none, one without
// track_features, a newer one.
func (b best) compare(o best) int {
	switch {
	case b.version < 0 || o.version < 0:
		return cmp.Compare(boolean(b.version < 0), boolean(o.version < 0))
	case b.tracked != o.tracked:
		return cmp.Compare(boolean(b.tracked), boolean(o.tracked))
	}
	return cmp.Compare(o.version, b.version)
}

func boolean(b bool) int {
	if b {
		return 1
	}
	return 0
}
