package solve

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/datalayer/conda2docker/conda"
)

// nearNames finds, in an index that can list its names, up to three that are spelled like a missing one.
func nearNames(ctx context.Context, index *remembering) func(conda.PackageName) []conda.PackageName {
	var all []conda.PackageName
	asked := false
	return func(n conda.PackageName) []conda.PackageName {
		if namer, ok := index.index.(Namer); ok && !asked {
			all, _ = namer.Names(ctx) // an explanation without near misses is better than none
		}
		asked = true
		return near(string(n), all)
	}
}

// places finds, in an index that can tell, where a name exists that is not searched, or a record of it that is wanted.
func places(ctx context.Context, index *remembering) func(conda.PackageName, func(*conda.Record) bool) []conda.Place {
	return func(n conda.PackageName, wanted func(*conda.Record) bool) []conda.Place {
		e, ok := index.index.(Elsewherer)
		if !ok {
			return nil
		}
		found, _ := e.Elsewhere(ctx, n, wanted) // an explanation without it is better than none
		return found
	}
}

func near(name string, all []conda.PackageName) []conda.PackageName {
	type guess struct {
		name     conda.PackageName
		distance int
	}
	limit := min(3, (len(name)-1)/3)
	var found []guess
	simple := simplify(name)
	for _, c := range all {
		d := distance(name, string(c), limit)
		if simplify(string(c)) == simple {
			d = 0
		}
		if d <= limit {
			found = append(found, guess{c, d})
		}
	}
	slices.SortFunc(found, func(a, b guess) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.name, b.name))
	})
	var out []conda.PackageName
	for _, g := range found[:min(3, len(found))] {
		out = append(out, g.name)
	}
	return out
}

// simplify makes names equal that mean the same thing to different package managers.
func simplify(s string) string {
	if strings.ContainsAny(s, "-_.") {
		s = strings.Map(func(c rune) rune {
			if c == '-' || c == '_' || c == '.' {
				return -1
			}
			return c
		}, s)
	}
	return strings.TrimSuffix(strings.TrimPrefix(s, "python"), "python")
}

// distance is the number of letters to insert, remove, replace or swap with their neighbour to make b of a, or
// a number above limit.
func distance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
