package solve

import (
	"fmt"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/matchspec"
	"github.com/datalayer/conda2docker/conda/solve/internal/cdcl"
)

// pool gives numbers to everything that the search can reach.
type pool struct {
	request  Request
	all      bool // even what the specs of the request rule out is a candidate
	root     question
	names    []*name // by cdcl.Name
	byName   map[conda.PackageName]cdcl.Name
	packages []candidate // by cdcl.Solvable
	sets     []*set      // by cdcl.Set
	byText   map[string]parsed

	ids       arena[cdcl.Set]
	solvables arena[cdcl.Solvable]
}

// arena hands out slices of its own; many small ones cost as much as a few large ones.
type arena[T any] struct{ free, last []T }

// take is an empty slice that n elements can be appended to.
func (a *arena[T]) take(n int) []T {
	if n > len(a.free) {
		a.free = make([]T, max(n, 4096))
	}
	out := a.free[:0:n]
	a.last, a.free = a.free, a.free[n:]
	return out
}

// keep is what was appended to the slice that was taken last; the room that it does not use is free again.
func (a *arena[T]) keep(s []T) []T {
	a.free = a.last[len(s):]
	return s[:len(s):len(s)]
}

// question is what a package, or the request, asks of others.
type question struct {
	requires   []cdcl.Set
	constrains []cdcl.Set
}

// name is a package's name with its records, which are solvables that follow each other.
type name struct {
	name     conda.PackageName
	loaded   bool
	first    cdcl.Solvable
	count    int
	byOrder  []cdcl.Solvable // the best first, as far as that does not depend on what is asked for
	excluded []exclusion
	locked   []cdcl.Solvable
	favored  cdcl.Solvable // -1 where there is none
}

// exclusion is a record that may not be chosen, whatever it matches.
type exclusion struct {
	solvable cdcl.Solvable
	reason   string
}

// candidate is a record that might be chosen.
type candidate struct {
	record  *conda.Record
	name    cdcl.Name
	version int32 // the rank of its version among those of its name: a newer version is a higher number
	channel int32 // the rank of its channel: a preferred one is a lower number
	asked   bool  // question is filled in
	question
	broken string // why question is not known, "" where it is
}

// set is a spec and the records of its name that it selects.
type set struct {
	spec     matchspec.Spec
	name     cdcl.Name
	required bool

	constrained bool

	matched  bool
	matching []cdcl.Solvable // the best first
	best     best
}

// best is the newest version that a set selects.
type best struct {
	version int32 // -1 where it selects nothing
	tracked bool  // the first record of this version has track_features
}

// parsed is what became of a MatchSpec's text.
type parsed struct {
	set cdcl.Set
	err error
}

func newPool(r Request) *pool {
	return &pool{request: r, byName: map[conda.PackageName]cdcl.Name{}, byText: make(map[string]parsed, 1024), packages: make([]candidate, 0, 2048)}
}

func (p *pool) intern(n conda.PackageName) cdcl.Name {
	if id, ok := p.byName[n]; ok {
		return id
	}
	id := cdcl.Name(len(p.names))
	p.byName[n] = id
	p.names = append(p.names, &name{name: n, favored: -1})
	return id
}

func (p *pool) addSet(spec matchspec.Spec) cdcl.Set {
	p.sets = append(p.sets, &set{spec: spec, name: p.intern(spec.Name)})
	return cdcl.Set(len(p.sets) - 1)
}

// parse is the set that a record's dependency means; every text is parsed once.
func (p *pool) parse(text string) (cdcl.Set, error) {
	if known, ok := p.byText[text]; ok {
		return known.set, known.err
	}
	var out parsed
	spec, err := matchspec.Parse(text)
	if err == nil {
		err = supported(spec)
	}
	if err != nil {
		out.err = err
	} else {
		out.set = p.addSet(spec)
	}
	p.byText[text] = out
	return out.set, out.err
}

// supported refuses what cannot be decided yet, rather than to decide it wrongly.
func supported(s matchspec.Spec) error {
	switch {
	case !s.IsExact():
		return fmt.Errorf("%q: the name of one package is needed here", s)
	case s.When != "":
		return fmt.Errorf("%q: conditional dependencies (when=, CEP 43) are not supported", s)
	case len(s.Extras) > 0:
		return fmt.Errorf("%q: optional dependency groups (extras=, CEP 44) are not supported", s)
	case len(s.Flags) > 0:
		return fmt.Errorf("%q: flags (flags=, CEP 45) are not supported", s)
	}
	return nil
}

// ask fills in what a candidate asks for.
func (p *pool) ask(c *candidate) {
	if c.asked {
		return
	}
	c.asked = true
	r := c.record
	ids := p.ids.take(len(r.Depends) + len(r.Constrains))
	for _, text := range r.Depends {
		id, err := p.parse(text)
		if err != nil {
			c.broken = fmt.Sprintf("its dependency %q cannot be read: %v", text, err)
			return
		}
		p.sets[id].required = true
		ids = append(ids, id)
	}
	for _, text := range r.Constrains {
		id, err := p.parse(text)
		if err != nil {
			c.broken = fmt.Sprintf("its constraint %q cannot be read: %v", text, err)
			return
		}
		p.sets[id].constrained = true
		ids = append(ids, id)
	}
	n := len(r.Depends)
	c.question = question{requires: ids[:n:n], constrains: ids[n:]}
}

// problem is the pool in the terms of the search.
func (p *pool) problem() *cdcl.Problem {
	out := &cdcl.Problem{
		Requires:   p.root.requires,
		Constrains: p.root.constrains,
		Names:      make([]cdcl.Candidates, len(p.names)),
		Solvables:  make([]cdcl.Package, len(p.packages)),
		Sets:       make([]cdcl.Matches, len(p.sets)),
	}
	for i, n := range p.names {
		c := &out.Names[i]
		c.All = p.solvables.take(n.count)
		for s := n.first; s < n.first+cdcl.Solvable(n.count); s++ {
			c.All = append(c.All, s)
		}
		c.Locked = n.locked
		for _, x := range n.excluded {
			c.Excluded = append(c.Excluded, x.solvable)
		}
	}
	for i := range p.packages {
		c := &p.packages[i]
		out.Solvables[i] = cdcl.Package{Name: c.name, Requires: c.requires, Constrains: c.constrains, Broken: c.broken != ""}
	}
	for i, s := range p.sets {
		out.Sets[i] = cdcl.Matches{Name: s.name, Matching: s.matching}
		if s.constrained {
			out.Sets[i].Others = p.others(s)
		}
	}
	return out
}

// others is the candidates that a set does not select, in the order of the index.
func (p *pool) others(s *set) []cdcl.Solvable {
	n := p.names[s.name]
	if !n.loaded || !s.matched {
		return nil
	}
	selected := make([]bool, n.count)
	for _, c := range s.matching {
		selected[c-n.first] = true
	}
	out := p.solvables.take(n.count - len(s.matching))
	for i, yes := range selected {
		if !yes {
			out = append(out, n.first+cdcl.Solvable(i))
		}
	}
	return out
}
