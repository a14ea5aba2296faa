package solve

import (
	"cmp"
	"maps"
	"slices"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/matchspec"
)

// LinkOrder sorts the records of an environment so that each comes after those that it depends on, and those
// that do not depend on each other by name. Where records depend on each other in a circle, python comes first;
// elsewhere the circle is entered where a depth-first walk in the order of names meets it. A noarch python
// package comes after python whether it says that it depends on it or not.
func LinkOrder(records []*conda.Record) []*conda.Record {
	g := graph{byName: map[conda.PackageName]*conda.Record{}, needs: map[conda.PackageName][]conda.PackageName{}}
	for _, r := range records {
		g.byName[r.Name] = r
	}
	for _, r := range records {
		g.needs[r.Name] = g.dependencies(r)
	}
	g.breakCircles("python")
	names := slices.SortedFunc(maps.Keys(g.byName), cmp.Compare)
	done := map[conda.PackageName]bool{}
	out := make([]*conda.Record, 0, len(records))
	var visit func(n conda.PackageName)
	visit = func(n conda.PackageName) {
		if done[n] {
			return
		}
		done[n] = true
		for _, d := range g.needs[n] {
			visit(d)
		}
		out = append(out, g.byName[n])
	}
	for _, n := range names {
		visit(n)
	}
	return out
}

// graph is who depends on whom within an environment.
type graph struct {
	byName map[conda.PackageName]*conda.Record
	needs  map[conda.PackageName][]conda.PackageName // sorted
}

func (g *graph) dependencies(r *conda.Record) []conda.PackageName {
	var out []conda.PackageName
	for _, text := range r.Depends {
		if s, err := matchspec.Parse(text); err == nil && s.Name != r.Name && g.byName[s.Name] != nil {
			out = append(out, s.Name)
		}
	}
	if r.NoArch == conda.NoArchPython && g.byName["python"] != nil {
		out = append(out, "python")
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// breakCircles lets a package no longer depend on those that depend on it.
func (g *graph) breakCircles(n conda.PackageName) {
	if g.byName[n] == nil {
		return
	}
	dependents := map[conda.PackageName]bool{}
	for changed := true; changed; {
		changed = false
		for m, needs := range g.needs {
			if !dependents[m] && slices.ContainsFunc(needs, func(d conda.PackageName) bool { return d == n || dependents[d] }) {
				dependents[m], changed = true, true
			}
		}
	}
	g.needs[n] = slices.DeleteFunc(g.needs[n], func(d conda.PackageName) bool { return dependents[d] })
}
