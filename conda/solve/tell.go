package solve

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/matchspec"
	"github.com/datalayer/conda2docker/conda/solve/internal/cdcl"
)

// teller arranges the reasons of a conflict as a tree, from the specs down.
type teller struct {
	pool     *pool
	near     func(conda.PackageName) []conda.PackageName
	places   func(conda.PackageName, func(*conda.Record) bool) []conda.Place
	excluded map[cdcl.Solvable]string
	reasons  map[cdcl.Solvable][]cdcl.Reason // those that rule a solvable out
	told     map[cdcl.Set]bool

	signatures map[cdcl.Set]int
	interned   map[string]int

	required []cdcl.Set // all that the conflict mentions
}

func newTeller(ctx context.Context, index *remembering, p *pool, c *cdcl.Conflict) *teller {
	t := &teller{
		pool:     p,
		near:     nearNames(ctx, index),
		places:   places(ctx, index),
		excluded: map[cdcl.Solvable]string{},
		reasons:  map[cdcl.Solvable][]cdcl.Reason{},
		told:     map[cdcl.Set]bool{},

		signatures: map[cdcl.Set]int{},
		interned:   map[string]int{},
	}
	for _, n := range p.names {
		for _, x := range n.excluded {
			t.excluded[x.solvable] = x.reason
		}
	}
	for _, r := range c.Reasons {
		switch r.Kind {
		case cdcl.Requires:
			t.required = append(t.required, r.Set)
			t.reasons[r.Parent] = append(t.reasons[r.Parent], r)
		case cdcl.Constrains:
			t.reasons[r.Parent] = append(t.reasons[r.Parent], r)
			t.reasons[r.Other] = append(t.reasons[r.Other], r)
		case cdcl.Locked:
			t.reasons[r.Other] = append(t.reasons[r.Other], r)
		case cdcl.Excluded:
			t.reasons[r.Parent] = append(t.reasons[r.Parent], r)
		}
	}
	slices.Sort(t.required)
	t.required = slices.Compact(t.required)
	return t
}

func (t *teller) requirements(sets []cdcl.Set) []Requirement {
	var out []Requirement
	for _, s := range sets {
		out = append(out, t.requirement(s))
	}
	return out
}

func (t *teller) requirement(id cdcl.Set) Requirement {
	s := t.pool.sets[id]
	n := t.pool.names[s.name]
	out := Requirement{Spec: s.spec, Hint: t.hint(n.name)}
	switch {
	case n.count == 0:
		out.Outcome = Missing
		if !n.name.IsVirtual() {
			t.missing(&out)
		}
		return out
	case len(s.matching) == 0:
		out.Outcome = NoMatch
		place := matchspec.Spec{Channel: s.spec.Channel}
		for _, c := range n.byOrder {
			if r := t.pool.packages[c].record; place.Match(r) {
				out.Seen = append(out.Seen, r)
			}
		}
		if !n.name.IsVirtual() && !s.spec.Build.IsAny() { // builds differ between platforms, versions hardly ever
			t.elsewhere(&out, s.spec.Match)
		}
		return out
	}
	out.Hint = ""
	if t.told[id] {
		out.Outcome = Repeated
		return out
	}
	t.told[id] = true
	out.Outcome = Rivalled
	out.Options = t.options(s)
	for _, o := range out.Options {
		if len(o.Requires) > 0 || len(o.Reasons) > 0 {
			out.Outcome = Blocked
		}
	}
	if out.Outcome == Rivalled {
		out.Rivals = t.rivals(s)
	}
	return out
}

// missing says where a name exists that none of the channels has for the platform, or else what is spelled like it.
func (t *teller) missing(r *Requirement) {
	t.elsewhere(r, nil)
	if len(r.Places) == 0 && len(r.Others) == 0 {
		r.Near = t.near(r.Spec.Name)
	}
}

// elsewhere says where that exists which is wanted and is not searched.
func (t *teller) elsewhere(r *Requirement, wanted func(*conda.Record) bool) {
	for _, p := range t.places(r.Spec.Name, wanted) {
		switch {
		case slices.ContainsFunc(t.pool.request.Channels, func(c conda.Channel) bool { return sameChannel(c, p.Channel) }):
			r.Places = append(r.Places, p)
		case !slices.Contains(r.Others, p.Channel):
			r.Others = append(r.Others, p.Channel)
		}
	}
}

// rivals is what the conflict asks for of the same name and that no match of the set is: the specs of the
// request, or, where there are none among them, the dependencies of packages.
func (t *teller) rivals(s *set) []matchspec.Spec {
	var specs, dependencies []matchspec.Spec
	n := t.pool.names[s.name]
	own := make([]bool, n.count)
	for _, c := range s.matching {
		own[c-n.first] = true
	}
	for _, id := range t.required {
		o := t.pool.sets[id]
		switch {
		case o.name != s.name || slices.ContainsFunc(o.matching, func(c cdcl.Solvable) bool { return own[c-n.first] }):
		case slices.Contains(t.pool.root.requires, id):
			specs = append(specs, o.spec)
		default:
			dependencies = append(dependencies, o.spec)
		}
	}
	if len(specs) > 0 {
		return specs
	}
	return dependencies
}

// options groups the candidates of a set by what rules them out.
func (t *teller) options(s *set) []Option {
	var groups [][]cdcl.Solvable
	bySignature := map[int]int{}
	for _, c := range s.matching {
		sig := t.candidateSignature(c)
		g, ok := bySignature[sig]
		if !ok {
			g = len(groups)
			bySignature[sig] = g
			groups = append(groups, nil)
		}
		groups[g] = append(groups[g], c)
	}
	var out []Option
	for _, g := range groups {
		out = append(out, t.option(g))
	}
	return out
}

// option tells of candidates that fail alike, by the example of the first of them.
func (t *teller) option(members []cdcl.Solvable) Option {
	var o Option
	needs := t.needs(members[0])
	for _, c := range members {
		o.Records = append(o.Records, t.pool.packages[c].record)
		o.Alike = o.Alike || !slices.Equal(needs, t.needs(c))
	}
	for _, id := range needs {
		o.Requires = append(o.Requires, t.requirement(id))
	}
	o.Reasons = t.otherReasons(members)
	return o
}

// needs is what a candidate requires and cannot have.
func (t *teller) needs(c cdcl.Solvable) []cdcl.Set {
	var out []cdcl.Set
	for _, r := range t.reasons[c] {
		if r.Kind == cdcl.Requires && !slices.Contains(out, r.Set) {
			out = append(out, r.Set)
		}
	}
	return out
}

// otherReasons says what rules candidates out besides what they need, in few words.
func (t *teller) otherReasons(members []cdcl.Solvable) []string {
	var keepers []conda.PackageName // names of packages whose constraints exclude the candidates
	kept := map[conda.PackageName][]*conda.Record{}
	specs := map[conda.PackageName][]string{}
	var own, out []string // own are the candidates' constraints that exclude others
	add := func(to *[]string, text string) {
		if !slices.Contains(*to, text) {
			*to = append(*to, text)
		}
	}
	for _, c := range members {
		for _, r := range t.reasons[c] {
			switch {
			case r.Kind == cdcl.Requires:
			case r.Kind != cdcl.Constrains || r.Parent == cdcl.Root:
				add(&out, t.reason(c, r))
			case r.Parent == c:
				spec := t.pool.sets[r.Set].spec
				add(&own, plain(spec)+t.given(spec.Name))
			default:
				keeper := t.pool.packages[r.Parent].record
				if kept[keeper.Name] == nil {
					keepers = append(keepers, keeper.Name)
				}
				if !slices.Contains(kept[keeper.Name], keeper) {
					kept[keeper.Name] = append(kept[keeper.Name], keeper)
				}
				list := specs[keeper.Name]
				add(&list, plain(t.pool.sets[r.Set].spec))
				specs[keeper.Name] = list
			}
		}
	}
	if len(own) > 0 {
		out = append(out, "allows only "+or(shorten(own, 3)))
	}
	for _, k := range keepers {
		out = append(out, "ruled out by "+versions(kept[k])+", which allows only "+or(shorten(specs[k], 3)))
	}
	return out
}

// signature is equal for sets that fail in the same way, whatever versions they are about.
func (t *teller) signature(id cdcl.Set) int {
	if sig, ok := t.signatures[id]; ok {
		return sig
	}
	t.signatures[id] = -1 // a circle ends here
	s := t.pool.sets[id]
	parts := map[int]bool{}
	ruled := false
	for _, c := range s.matching {
		parts[t.candidateSignature(c)] = true
		ruled = ruled || len(t.reasons[c]) > 0
	}
	n := t.pool.names[s.name]
	key := fmt.Sprint(n.name, " ", slices.Sorted(maps.Keys(parts)))
	if !ruled && n.count > 0 && len(s.matching) > 0 {
		key = fmt.Sprint(n.name, " but ", t.rivals(s))
	}
	t.signatures[id] = t.intern(key)
	return t.signatures[id]
}

// candidateSignature is equal for candidates that are ruled out in the same way.
func (t *teller) candidateSignature(c cdcl.Solvable) int {
	parts := map[string]bool{}
	for _, r := range t.reasons[c] {
		switch {
		case r.Kind == cdcl.Requires:
			parts[fmt.Sprint("needs ", t.signature(r.Set))] = true
		case r.Kind != cdcl.Constrains || r.Parent == cdcl.Root:
			parts[t.reason(c, r)] = true
		case r.Parent == c:
			parts["allows "+string(t.pool.packages[r.Other].record.Name)] = true
		default:
			parts["kept out by "+string(t.pool.packages[r.Parent].record.Name)] = true
		}
	}
	return t.intern(strings.Join(slices.Sorted(maps.Keys(parts)), "; "))
}

func (t *teller) intern(key string) int {
	id, ok := t.interned[key]
	if !ok {
		id = len(t.interned)
		t.interned[key] = id
	}
	return id
}

// reason says why a candidate is ruled out where neither what it needs nor another package does it.
func (t *teller) reason(c cdcl.Solvable, r cdcl.Reason) string {
	switch r.Kind {
	case cdcl.Constrains:
		return fmt.Sprintf("the constraint %s rules it out", quote(t.pool.sets[r.Set].spec))
	case cdcl.Locked:
		locked := t.pool.packages[r.Parent].record
		return fmt.Sprintf("%s %s is locked", locked.Name, locked.Version)
	default:
		return t.excluded[c]
	}
}

// given adds what the target system has to a constraint on it.
func (t *teller) given(n conda.PackageName) string {
	if h := t.hint(n); h != "" {
		return " (" + h + ")"
	}
	return ""
}

// hint says what can be done about a virtual package that is missing or has another version.
func (t *teller) hint(n conda.PackageName) string {
	if !n.IsVirtual() {
		return ""
	}
	has := ""
	for _, v := range t.pool.request.Virtual {
		if v.Name == n {
			if has = v.Version.String(); v.Build != "0" {
				has = v.Build // which carries the fact
			}
		}
	}
	text := "the target has " + has
	switch {
	case n == "__win" || n == "__osx":
		return "it is for another operating system than the image's"
	case has == "" && n == "__cuda":
		text = "the target has no CUDA driver"
	case has == "":
		text = "the target does not have " + string(n)
	}
	if h := t.pool.request.Hints[n]; h != "" {
		text += ": " + h
	}
	return text
}
