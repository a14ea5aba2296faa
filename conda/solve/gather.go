package solve

import (
	"context"
	"fmt"
	"slices"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/matchspec"
	"github.com/datalayer/conda2docker/conda/solve/internal/cdcl"
)

// gather reads the records that the search can reach, breadth first from the specs: those that match a spec,
// those that match a dependency of these, and so on.
//
// Where specs of the request name a package, only the records that one of them selects are candidates, as in
// rattler: even the preference among records that depend on it does not see the others.
func gather(ctx context.Context, index *remembering, r Request) (*pool, error) {
	return newPool(r).gather(ctx, index)
}

// gatherAll is gather with the records that the specs themselves rule out among the candidates. It has no other
// solutions.
func gatherAll(ctx context.Context, index *remembering, r Request) (*pool, error) {
	p := newPool(r)
	p.all = true
	return p.gather(ctx, index)
}

func (p *pool) gather(ctx context.Context, index *remembering) (*pool, error) {
	if err := p.ask0(); err != nil {
		return nil, err
	}
	sets := p.root.requires
	for len(sets) > 0 {
		if err := p.load(ctx, index, sets); err != nil {
			return nil, err
		}
		var next []cdcl.Set
		for _, id := range sets {
			s := p.sets[id]
			if s.matched {
				continue
			}
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			p.match(s)
			if s.spec.URL != "" && len(s.matching) == 0 {
				return nil, fmt.Errorf("%s: none of the channels has this archive in its index", s.spec.URL)
			}
			for _, c := range s.matching {
				if pkg := &p.packages[c]; !pkg.asked {
					p.ask(pkg)
					next = append(next, pkg.requires...)
				}
			}
		}
		sets = slices.DeleteFunc(next, func(id cdcl.Set) bool { return p.sets[id].matched })
	}
	return p, p.finish(ctx)
}

// ask0 turns the request itself into a question.
func (p *pool) ask0() error {
	virtual := map[conda.PackageName]bool{}
	for _, v := range p.request.Virtual {
		if virtual[v.Name] {
			return fmt.Errorf("virtual package %s is given twice", v.Name)
		}
		virtual[v.Name] = true
		p.root.requires = append(p.root.requires, p.addSet(matchspec.Spec{Name: v.Name}))
	}
	for _, s := range p.request.Specs {
		if err := supported(s); err != nil {
			return err
		}
		if err := p.known(s); err != nil {
			return err
		}
		p.root.requires = append(p.root.requires, p.addSet(s))
	}
	for _, s := range p.request.Constraints {
		if err := supported(s); err != nil {
			return err
		}
		id := p.addSet(s)
		p.sets[id].constrained = true
		p.root.constrains = append(p.root.constrains, id)
	}
	for _, id := range p.root.requires {
		p.sets[id].required = true
	}
	return nil
}

// known refuses a spec that is pinned to a channel which is not among the request's: what is there is not known.
func (p *pool) known(s matchspec.Spec) error {
	if s.Channel == "" || len(p.request.Channels) == 0 {
		return nil
	}
	pin := matchspec.Spec{Channel: s.Channel}
	if slices.ContainsFunc(p.request.Channels, func(c conda.Channel) bool { return pin.Match(&conda.Record{Channel: c}) }) {
		return nil
	}
	return fmt.Errorf("%q asks for channel %s, which is not among the channels that are searched: add it to them", s, s.Channel)
}

// load gets the records of the names of these sets, where they are not known yet.
func (p *pool) load(ctx context.Context, index *remembering, sets []cdcl.Set) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var names []*name
	var wanted []conda.PackageName
	for _, id := range sets {
		if n := p.names[p.sets[id].name]; !n.loaded {
			n.loaded = true
			names = append(names, n)
			if !n.name.IsVirtual() {
				wanted = append(wanted, n.name)
			}
		}
	}
	if err := index.prefetch(ctx, wanted); err != nil {
		return err
	}
	for _, n := range names {
		records, err := p.read(ctx, index, n.name)
		if err != nil {
			return err
		}
		p.admit(n, records)
	}
	return nil
}

// read is the records of a name; those of virtual packages are given by the request alone.
func (p *pool) read(ctx context.Context, index *remembering, n conda.PackageName) ([]*conda.Record, error) {
	if n.IsVirtual() {
		for _, v := range p.request.Virtual {
			if v.Name == n {
				return []*conda.Record{v.Record()}, nil
			}
		}
		return nil, nil
	}
	return index.read(ctx, n)
}

// remembering is an index that is asked only once for each name.
type remembering struct {
	index   Index
	records map[conda.PackageName][]*conda.Record
}

func (x *remembering) prefetch(ctx context.Context, names []conda.PackageName) error {
	f, ok := x.index.(Prefetcher)
	names = slices.DeleteFunc(names, func(n conda.PackageName) bool { _, known := x.records[n]; return known })
	if !ok || len(names) == 0 {
		return nil
	}
	if err := f.Prefetch(ctx, names); err != nil {
		return fmt.Errorf("reading the records of %d packages: %w", len(names), err)
	}
	return nil
}

func (x *remembering) read(ctx context.Context, n conda.PackageName) ([]*conda.Record, error) {
	if records, ok := x.records[n]; ok {
		return records, nil
	}
	records, err := x.index.Records(ctx, n)
	if err != nil {
		return nil, fmt.Errorf("reading the records of %s: %w", n, err)
	}
	for _, r := range records {
		if r.Name != n {
			return nil, fmt.Errorf("reading the records of %s: the index answers with %s", n, r)
		}
	}
	x.records[n] = records
	return records, nil
}

// admit makes candidates of a name's records.
func (p *pool) admit(n *name, records []*conda.Record) {
	ranks := p.channelRanks(records)
	if len(p.request.Channels) > 0 {
		records = slices.Clone(records)
		slices.SortStableFunc(records, func(a, b *conda.Record) int {
			return int(ranks[a.Channel]) - int(ranks[b.Channel])
		})
	}
	n.first = cdcl.Solvable(len(p.packages))
	specs := p.specsOf(n.name)
	for _, r := range records {
		if p.all || selects(specs, r) {
			p.admitRecord(n, r, ranks)
		}
	}
	p.exclude(n, specs)
	for _, r := range p.request.Favored {
		if r.Name == n.name {
			n.favored = p.find(n, r, ranks)
		}
	}
	for _, r := range p.request.Locked {
		if r.Name == n.name {
			n.locked = append(n.locked, p.find(n, r, ranks))
		}
	}
	p.rankVersions(n)
	p.order(n)
}

// selects reports whether one of the specs selects the record; no specs select all.
func selects(specs []matchspec.Spec, r *conda.Record) bool {
	return len(specs) == 0 || slices.ContainsFunc(specs, func(s matchspec.Spec) bool { return s.Match(r) })
}

func (p *pool) specsOf(n conda.PackageName) []matchspec.Spec {
	var out []matchspec.Spec
	for _, s := range p.request.Specs {
		if s.Name == n {
			out = append(out, s)
		}
	}
	return out
}

// channelRanks numbers channels from the preferred one upwards.
func (p *pool) channelRanks(records []*conda.Record) map[conda.Channel]int32 {
	out := map[conda.Channel]int32{}
	for _, r := range records {
		if _, ok := out[r.Channel]; ok {
			continue
		}
		i := slices.IndexFunc(p.request.Channels, func(c conda.Channel) bool { return sameChannel(c, r.Channel) })
		if i < 0 {
			i = len(p.request.Channels) + len(out)
		}
		out[r.Channel] = int32(i)
	}
	return out
}

func sameChannel(a, b conda.Channel) bool {
	if a.URL != "" && b.URL != "" {
		return a.URL == b.URL
	}
	return a.Name == b.Name
}

func (p *pool) admitRecord(n *name, r *conda.Record, ranks map[conda.Channel]int32) cdcl.Solvable {
	s := cdcl.Solvable(len(p.packages))
	p.packages = append(p.packages, candidate{record: r, name: p.byName[n.name], channel: ranks[r.Channel]})
	n.count++
	return s
}

// find is the candidate that a locked or favored record is; one that the index does not have is added.
func (p *pool) find(n *name, r *conda.Record, ranks map[conda.Channel]int32) cdcl.Solvable {
	for s := n.first; s < n.first+cdcl.Solvable(n.count); s++ {
		if sameRecord(p.packages[s].record, r) {
			return s
		}
	}
	return p.admitRecord(n, r, ranks)
}

func sameRecord(a, b *conda.Record) bool {
	if a == b {
		return true
	}
	if a.SHA256 != "" && b.SHA256 != "" {
		return a.SHA256 == b.SHA256
	}
	return a.Build == b.Build && a.Subdir == b.Subdir && a.Version.Compare(b.Version) == 0 && sameChannel(a.Channel, b.Channel)
}

// exclude rules out records of other channels than the one that a spec is pinned to, and, with strict
// priority, of all but the first channel that has the name.
func (p *pool) exclude(n *name, specs []matchspec.Spec) {
	pinned := slices.IndexFunc(specs, func(s matchspec.Spec) bool { return s.Channel != "" })
	var first *conda.Channel
	for s := n.first; s < n.first+cdcl.Solvable(n.count); s++ {
		r := p.packages[s].record
		if pinned >= 0 {
			channel := matchspec.Spec{Channel: specs[pinned].Channel}
			if !channel.Match(r) {
				n.excluded = append(n.excluded, exclusion{s, "it is not in channel " + channel.Channel + ", which is asked for"})
				continue
			}
		}
		if p.request.Priority != Strict || !selects(specs, r) {
			continue
		}
		if first == nil {
			first = &r.Channel
		} else if !sameChannel(*first, r.Channel) {
			n.excluded = append(n.excluded, exclusion{s, fmt.Sprintf("channel %s has the package too, and has priority (ask for %s::%s to have it all the same)", first.Name, r.Channel.Name, n.name)})
		}
	}
}

// finish does what needs to know all that can be reached: it matches the constraints, and sorts what is equal
// but for what it depends on.
func (p *pool) finish(ctx context.Context) error {
	for _, s := range p.sets {
		if !s.matched && p.names[s.name].loaded {
			p.match(s)
		}
	}
	for _, s := range p.sets {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if s.required && s.matched {
			p.sortTies(s)
		}
	}
	return nil
}

// match finds the candidates that a set selects.
func (p *pool) match(s *set) {
	s.matched = true
	s.best.version = -1
	n := p.names[s.name]
	s.matching = p.solvables.take(len(n.byOrder))
	rest := s.spec
	rest.Version = matchspec.Spec{}.Version
	all := rest.IsName()
	version, versionMatches := int32(-1), false
	for _, c := range n.byOrder {
		pkg := &p.packages[c]
		if pkg.version != version {
			version, versionMatches = pkg.version, s.spec.Version.Match(pkg.record.Version)
		}
		if versionMatches && (all || rest.Match(pkg.record)) {
			s.matching = append(s.matching, c)
		}
	}
	first := cdcl.Solvable(-1) // of those with the best version, in the order of the index
	for _, c := range s.matching {
		if pkg := &p.packages[c]; pkg.version > s.best.version || pkg.version == s.best.version && c < first {
			s.best.version, first = pkg.version, c
		}
	}
	if first >= 0 {
		s.best.tracked = len(p.packages[first].record.TrackFeatures) > 0
	}
	s.matching = p.solvables.keep(s.matching)
}
