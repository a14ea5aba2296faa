package layer

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"maps"
	"math/bits"
	"slices"
	"strings"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/link"
)

const (
	// DefaultBudget is how many layers packages take at most: half of the 125 that Docker's graph driver can stack, so
	// that the base and executed steps have room.
	DefaultBudget = 60

	// aloneSize is the size of the tar from which on a package is worth a layer of its own.
	aloneSize = 8 << 20

	namesInGroup = 8 // as many packages a group's name tells
)

// Group is the segments of one layer, in their fixed order.
type Group struct {
	Name     string // what it holds, for people
	Segments []Segment
}

// Groups divides the segments among at most budget layers (DefaultBudget when 0), in a way that depends on the packages' names
// and sizes alone, not on their order or number: half of the layers are for big packages, one each; the others are
// buckets, which a package's name chooses. So a package that changes changes its own layer only, as long as its size does
// not cross a threshold, and environments share the layers in which they agree. Packages without files are in no group. Of
// packages that hold the same path each is in another group, since a layer has a path once: it goes to the next bucket that has
// none of its paths and, if there is no such bucket, to one beyond the budget. What a package's files were compiled to is where
// the package is, and counts as a part of it.
func Groups(segments []Segment, budget int) []Group {
	if budget <= 0 {
		budget = DefaultBudget
	}
	var big, small []unit
	for _, u := range units(segments) {
		if u.size >= aloneSize {
			big = append(big, u)
		} else {
			small = append(small, u)
		}
	}
	// The biggest stay alone, by powers of two: a few bytes more or less do not change who that is.
	slices.SortFunc(big, func(a, b unit) int {
		return cmp.Or(-cmp.Compare(sizeClass(a.size), sizeClass(b.size)), cmp.Compare(a.nameHash(), b.nameHash()), a.compare(b))
	})
	alone := min(budget/2, len(big))
	big, small = big[:alone], append(small, big[alone:]...)

	slices.SortFunc(big, unit.compare)
	groups := make([]Group, 0, budget)
	for _, u := range big {
		groups = append(groups, newGroup(u.segments))
	}
	slices.SortFunc(small, unit.compare)
	n := budget - budget/2
	buckets := make([]bucket, n)
	for _, s := range small {
		home := int(s.nameHash() % uint64(n))
		for i := range len(buckets) + 1 {
			at := i
			if i < n {
				at = (home + i) % n
			}
			if at == len(buckets) {
				buckets = append(buckets, bucket{})
			}
			if buckets[at].take(s) {
				break
			}
		}
	}
	for _, b := range buckets {
		if len(b.segments) > 0 {
			groups = append(groups, newGroup(b.segments))
		}
	}
	return groups
}

// bucket is a group of small packages that is being filled.
type bucket struct {
	segments    []Segment
	files, dirs map[string]bool
}

// take adds a unit's segments, unless they meet in a path that is not a directory of both.
func (b *bucket) take(u unit) bool {
	dirs := map[string]bool{}
	for _, s := range u.segments {
		maps.Copy(dirs, s.directories())
	}
	for d := range dirs {
		if b.files[d] {
			return false
		}
	}
	for _, s := range u.segments {
		for _, e := range s.Entries {
			if at := s.imagePath(e.Path.Path); e.Type != link.Directory && (b.files[at] || b.dirs[at]) {
				return false
			}
		}
	}
	if b.files == nil {
		b.files, b.dirs = map[string]bool{}, map[string]bool{}
	}
	for _, s := range u.segments {
		for _, e := range s.Entries {
			if e.Type != link.Directory {
				b.files[s.imagePath(e.Path.Path)] = true
			}
		}
	}
	maps.Copy(b.dirs, dirs)
	b.segments = append(b.segments, u.segments...)
	return true
}

// unit is the segments that are in one group: a package's, and that of its compiled files.
type unit struct {
	segments []Segment // none is empty
	size     int64     // of their tars
}

// units are the segments by package.
func units(segments []Segment) []unit {
	var out []unit
	at := map[conda.PackageName]int{}
	for _, s := range segments {
		if s.TarSize == 0 {
			continue
		}
		i, ok := at[s.Name]
		if !ok {
			i = len(out)
			at[s.Name], out = i, append(out, unit{})
		}
		out[i].segments, out[i].size = append(out[i].segments, s), out[i].size+s.TarSize
	}
	for _, u := range out {
		slices.SortFunc(u.segments, byName)
	}
	return out
}

func sizeClass(size int64) int { return bits.Len64(uint64(size)) }

func (u unit) nameHash() uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(u.segments[0].Name)) // never fails
	return h.Sum64()
}

func (u unit) compare(o unit) int { return byName(u.segments[0], o.segments[0]) }

// byName orders segments by their packages' names; a package's compiled files follow it.
func byName(a, b Segment) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(compiledLast(a), compiledLast(b)), cmp.Compare(a.ID, b.ID))
}

func compiledLast(s Segment) int {
	if s.bytecode != nil {
		return 1
	}
	return 0
}

func newGroup(segments []Segment) Group {
	slices.SortFunc(segments, byName)
	names := make([]string, 0, len(segments))
	for _, s := range segments {
		if s.bytecode == nil || len(segments) == 1 {
			names = append(names, s.Dist)
		}
	}
	name := strings.Join(names[:min(len(names), namesInGroup)], ", ")
	if more := len(names) - namesInGroup; more > 0 {
		name += fmt.Sprintf(" and %d more", more)
	}
	return Group{Name: name, Segments: segments}
}
