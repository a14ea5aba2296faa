package solve

import (
	"context"
	"fmt"
	"slices"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/solve/internal/cdcl"
)

// teller arranges the reasons of a conflict as a tree, from the specs down.
type teller struct {
	pool     *pool
	near     func(conda.PackageName) []conda.PackageName
	excluded map[cdcl.Solvable]string
	reasons  map[cdcl.Solvable][]cdcl.Reason // those that rule a solvable out
	told     map[cdcl.Set]bool
	required []cdcl.Set // all that the conflict mentions
}

func newTeller(ctx context.Context, index *remembering, p *pool, c *cdcl.Conflict) *teller {
	t := &teller{
		pool:     p,
		near:     nearNames(ctx, index),
		excluded: map[cdcl.Solvable]string{},
		reasons:  map[cdcl.Solvable][]cdcl.Reason{},
		told:     map[cdcl.Set]bool{},
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
		case cdcl.Excluded, cdcl.BrokenPackage:
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
			out.Near = t.near(n.name)
		}
		return out
	case len(s.matching) == 0:
		out.Outcome = NoMatch
		for _, c := range n.byOrder {
			out.Seen = append(out.Seen, t.pool.packages[c].record)
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
	for _, other := range t.required {
		o := t.pool.sets[other]
		if o.name == s.name && !slices.ContainsFunc(o.matching, func(c cdcl.Solvable) bool { return slices.Contains(s.matching, c) }) {
			out.Rivals = append(out.Rivals, o.spec)
		}
	}
	return out
}

// options groups the candidates of a set by what rules them out.
func (t *teller) options(s *set) []Option {
	type group struct {
		records []*conda.Record
		ruled   []cdcl.Reason
		member  cdcl.Solvable
	}
	var groups []*group
	byKey := map[string]*group{}
	for _, c := range s.matching {
		ruled := t.reasons[c]
		key := t.key(c, ruled)
		g := byKey[key]
		if g == nil {
			g = &group{ruled: ruled, member: c}
			byKey[key] = g
			groups = append(groups, g)
		}
		g.records = append(g.records, t.pool.packages[c].record)
	}
	var out []Option
	for _, g := range groups {
		o := Option{Records: g.records}
		for _, r := range g.ruled {
			if r.Kind == cdcl.Requires {
				o.Requires = append(o.Requires, t.requirement(r.Set))
			} else if text := t.reason(g.member, r); !slices.Contains(o.Reasons, text) {
				o.Reasons = append(o.Reasons, text)
			}
		}
		out = append(out, o)
	}
	return out
}

// key is equal for candidates that are ruled out by the same.
func (t *teller) key(c cdcl.Solvable, ruled []cdcl.Reason) string {
	var parts []string
	for _, r := range ruled {
		if r.Kind == cdcl.Requires {
			parts = append(parts, fmt.Sprint("requires ", r.Set))
		} else {
			parts = append(parts, t.reason(c, r))
		}
	}
	slices.Sort(parts)
	return fmt.Sprint(slices.Compact(parts))
}

// reason says why a candidate is ruled out by something other than what it requires.
func (t *teller) reason(c cdcl.Solvable, r cdcl.Reason) string {
	p := t.pool
	switch r.Kind {
	case cdcl.Constrains:
		spec := p.sets[r.Set].spec
		if r.Parent == cdcl.Root {
			return fmt.Sprintf("the constraint %q rules it out", plain(spec))
		}
		if r.Parent == c {
			return fmt.Sprintf("it allows only %s%s", plain(spec), t.given(p.packages[r.Other].record.Name))
		}
		return fmt.Sprintf("%s allows only %s", title(p.packages[r.Parent].record), plain(spec))
	case cdcl.Locked:
		return fmt.Sprintf("%s is locked", title(p.packages[r.Parent].record))
	case cdcl.BrokenPackage:
		return p.packages[r.Parent].broken
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
			has = v.Version.String()
		}
	}
	switch {
	case n == "__cuda" && has == "":
		return "the target has no CUDA driver: pass --cuda VERSION, such as --cuda 12.4"
	case n == "__cuda":
		return fmt.Sprintf("the target's CUDA driver is taken to be %s: pass another --cuda VERSION", has)
	case n == "__glibc" && has != "":
		return fmt.Sprintf("the base image has glibc %s: choose another base with --base", has)
	case n == "__win" || n == "__osx":
		return "it is for another operating system than the image's"
	case has == "":
		return "the target does not have " + string(n)
	}
	return fmt.Sprintf("the target has %s %s", n, has)
}

func title(r *conda.Record) string { return string(r.Name) + " " + r.Version.String() }
