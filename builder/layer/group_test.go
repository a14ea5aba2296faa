package layer

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/link"
)

// environment is n packages with sizes as they are in real environments: most are small, a few are huge.
func environment(r *rand.Rand, n int) []Segment {
	segments := make([]Segment, n)
	for i := range segments {
		size := int64(math.Exp(r.NormFloat64()*2.2 + math.Log(400<<10)))
		segments[i] = fakeSegment(fmt.Sprintf("pkg-%c-%d", 'a'+r.IntN(26), i), 1, size)
	}
	return segments
}

func fakeSegment(name string, version int, size int64) Segment {
	dist := fmt.Sprintf("%s-%d-0", name, version)
	return Segment{ID: "id-" + dist, Name: conda.PackageName(name), Dist: dist, TarSize: size}
}

// keys are the groups as what decides about their digest: the segments in order.
func keys(groups []Group) map[string]bool {
	all := map[string]bool{}
	for _, g := range groups {
		key := ""
		for _, s := range g.Segments {
			key += s.ID + " "
		}
		all[key] = true
	}
	return all
}

// fresh counts the groups of after that before does not have: the layers to be made, pushed and pulled.
func fresh(before, after []Group) int {
	old, n := keys(before), 0
	for k := range keys(after) {
		if !old[k] {
			n++
		}
	}
	return n
}

func TestGroupsAreStable(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 10 {
		segments := environment(r, 300)
		before := Groups(segments, 0)
		require.LessOrEqual(t, len(before), DefaultBudget)

		total := 0
		for _, g := range before {
			total += len(g.Segments)
		}
		require.Equal(t, len(segments), total, "every package is in one group")

		shuffled := slices.Clone(segments)
		r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		require.Equal(t, before, Groups(shuffled, 0), "the order of the packages does not matter")

		for range 20 { // a new version of one package, of about the same size
			i := r.IntN(len(segments))
			changed := slices.Clone(segments)
			old := segments[i]
			changed[i] = fakeSegment(string(old.Name), 2, old.TarSize+1)
			if sizeClass(changed[i].TarSize) != sizeClass(old.TarSize) {
				continue
			}
			require.Equal(t, 1, fresh(before, Groups(changed, 0)), "round %d: %s changed", round, old.Dist)
		}
		for range 20 { // a new version of any size, and a package more or less
			i := r.IntN(len(segments))
			resized := slices.Clone(segments)
			resized[i] = fakeSegment(string(segments[i].Name), 2, environment(r, 1)[0].TarSize)
			require.LessOrEqual(t, fresh(before, Groups(resized, 0)), 3, "round %d: %s changed its size", round, segments[i].Dist)

			more := append(slices.Clone(segments), fakeSegment(fmt.Sprintf("new-%d", i), 1, environment(r, 1)[0].TarSize))
			require.LessOrEqual(t, fresh(before, Groups(more, 0)), 2, "round %d: one more", round)

			less := slices.Delete(slices.Clone(segments), i, i+1)
			require.LessOrEqual(t, fresh(before, Groups(less, 0)), 2, "round %d: without %s", round, segments[i].Dist)
		}
	}
}

func TestGroupsKeepToTheBudget(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	segments := environment(r, 500)
	for i := range 200 {
		segments[i].TarSize += aloneSize // more big ones than layers
	}
	for _, budget := range []int{1, 2, 3, 7, 60, 100} {
		groups := Groups(segments, budget)
		require.LessOrEqual(t, len(groups), budget)
		n := 0
		for _, g := range groups {
			n += len(g.Segments)
		}
		require.Equal(t, 500, n)
	}
}

func TestGroupsByExample(t *testing.T) {
	python := fakeSegment("python", 3, 100<<20)
	numpy := fakeSegment("numpy", 2, 30<<20)
	meta := fakeSegment("metapackage", 1, 0)
	six := fakeSegment("six", 1, 40<<10)
	groups := Groups([]Segment{six, python, meta, numpy}, 0)
	require.Equal(t, []Group{
		{Name: "numpy-2-0", Segments: []Segment{numpy}},
		{Name: "python-3-0", Segments: []Segment{python}},
		{Name: "six-1-0", Segments: []Segment{six}},
	}, groups)
	require.Empty(t, Groups(nil, 0))

	var small []Segment
	for i := range 11 {
		small = append(small, fakeSegment(fmt.Sprintf("p%02d", i), 1, 1))
	}
	require.Equal(t, "p00-1-0, p01-1-0, p02-1-0, p03-1-0, p04-1-0, p05-1-0, p06-1-0, p07-1-0 and 3 more", Groups(small, 1)[0].Name)
}

// Packages that hold the same path have layers of their own, as near to their place as can be.
func TestGroupsHoldAPathOnce(t *testing.T) {
	with := func(name string, entries ...Entry) Segment {
		s := holding(name, entries...)
		s.TarSize = 1024
		return s
	}
	shared := []Segment{
		with("a", regular("bin/x", "1"), directory("share")),
		with("b", regular("bin/x", "1"), directory("share")),
		with("c", regular("lib/c", "1"), directory("share")),
		with("d", symlink("lib", "lib64")),
		with("e", regular("lib64/e", "1")),
	}
	names := func(groups []Group) []string {
		var out []string
		for _, g := range groups {
			out = append(out, g.Name)
		}
		return out
	}
	require.Equal(t, []string{"a-1-0, c-1-0, e-1-0", "b-1-0, d-1-0"}, names(Groups(shared, 1)), "beyond the budget, if it must be")
	for _, budget := range []int{4, 10, 60} {
		groups := Groups(shared, budget)
		require.LessOrEqual(t, len(groups), budget)
		holders := 0
		for _, g := range groups {
			paths := map[string]bool{}
			for _, s := range g.Segments {
				holders++
				for _, e := range s.Entries {
					if e.Type != link.Directory {
						require.False(t, paths[e.Path.Path], "%s has %s twice", g.Name, e.Path.Path)
						paths[e.Path.Path] = true
					}
				}
			}
		}
		require.Equal(t, len(shared), holders)
		slices.Reverse(shared)
		require.Equal(t, groups, Groups(shared, budget))
	}
}
