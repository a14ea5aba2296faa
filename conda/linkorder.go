package conda

import (
	"maps"
	"slices"
	"strings"
)

// DependencyName is the name of the package that a MatchSpec of a record's Depends or Constrains is about.
func DependencyName(spec string) PackageName {
	name, _ := CutDependency(strings.TrimSpace(spec))
	return PackageName(strings.ToLower(name[strings.LastIndexByte(name, ':')+1:]))
}

// CutDependency cuts a MatchSpec of a record's Depends or Constrains behind the package's name, which a channel may precede.
func CutDependency(spec string) (name, constraint string) {
	i := strings.IndexAny(spec, " =<>!~[;")
	if i < 0 {
		return spec, ""
	}
	return spec[:i], strings.TrimSpace(spec[i:])
}

// LinkOrder sorts the records of an environment so that each comes after those that it depends on, and those
// that do not depend on each other by name. Where records depend on each other in a circle, python comes first;
// elsewhere the circle is entered where a depth-first walk in the order of names meets it. A noarch python
// package comes after python whether it says that it depends on it or not.
func LinkOrder(records []*Record) []*Record {
	g := graph{byName: map[PackageName]*Record{}, needs: map[PackageName][]PackageName{}}
	for _, r := range records {
		g.byName[r.Name] = r
	}
	for _, r := range records {
		g.needs[r.Name] = g.dependencies(r)
	}
	g.breakCircles("python")
	done := map[PackageName]bool{}
	out := make([]*Record, 0, len(records))
	var visit func(n PackageName)
	visit = func(n PackageName) {
		if done[n] {
			return
		}
		done[n] = true
		for _, d := range g.needs[n] {
			visit(d)
		}
		out = append(out, g.byName[n])
	}
	for _, n := range slices.Sorted(maps.Keys(g.byName)) {
		visit(n)
	}
	return out
}

// graph is who depends on whom within an environment.
type graph struct {
	byName map[PackageName]*Record
	needs  map[PackageName][]PackageName // sorted
}

func (g *graph) dependencies(r *Record) []PackageName {
	var out []PackageName
	for _, text := range r.Depends {
		if n := DependencyName(text); n != r.Name && g.byName[n] != nil {
			out = append(out, n)
		}
	}
	if r.NoArch == NoArchPython && g.byName["python"] != nil {
		out = append(out, "python")
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// breakCircles lets a package no longer depend on those that depend on it.
func (g *graph) breakCircles(n PackageName) {
	if g.byName[n] == nil {
		return
	}
	dependents := map[PackageName]bool{}
	for changed := true; changed; {
		changed = false
		for m, needs := range g.needs {
			if !dependents[m] && slices.ContainsFunc(needs, func(d PackageName) bool { return d == n || dependents[d] }) {
				dependents[m], changed = true, true
			}
		}
	}
	g.needs[n] = slices.DeleteFunc(g.needs[n], func(d PackageName) bool { return dependents[d] })
}
