package layer

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"maps"
	"math/bits"
	"slices"
	"strings"

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
// none of its paths and, if there is no such bucket, to one beyond the budget.
func Groups(segments []Segment, budget int) []Group {
	if budget <= 0 {
		budget = DefaultBudget
	}
	var big, small []Segment
	for _, s := range segments {
		switch {
		case s.TarSize == 0:
		case s.TarSize >= aloneSize:
			big = append(big, s)
		default:
			small = append(small, s)
		}
	}
	// The biggest stay alone, by powers of two: a few bytes more or less do not change who that is.
	slices.SortFunc(big, func(a, b Segment) int {
		return cmp.Or(-cmp.Compare(sizeClass(a), sizeClass(b)), cmp.Compare(nameHash(a), nameHash(b)), byName(a, b))
	})
	alone := min(budget/2, len(big))
	big, small = big[:alone], append(small, big[alone:]...)

	slices.SortFunc(big, byName)
	groups := make([]Group, 0, budget)
	for _, s := range big {
		groups = append(groups, newGroup([]Segment{s}))
	}
	slices.SortFunc(small, byName)
	n := budget - budget/2
	buckets := make([]bucket, n)
	for _, s := range small {
		home := int(nameHash(s) % uint64(n))
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

// take adds a segment, unless they meet in a path that is not a directory of both.
func (b *bucket) take(s Segment) bool {
	dirs := s.directories()
	for d := range dirs {
		if b.files[d] {
			return false
		}
	}
	for _, e := range s.Entries {
		if at := s.imagePath(e.Path.Path); e.Type != link.Directory && (b.files[at] || b.dirs[at]) {
			return false
		}
	}
	if b.files == nil {
		b.files, b.dirs = map[string]bool{}, map[string]bool{}
	}
	for _, e := range s.Entries {
		if e.Type != link.Directory {
			b.files[s.imagePath(e.Path.Path)] = true
		}
	}
	maps.Copy(b.dirs, dirs)
	b.segments = append(b.segments, s)
	return true
}

func sizeClass(s Segment) int { return bits.Len64(uint64(s.TarSize)) }

func nameHash(s Segment) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s.Name)) // never fails
	return h.Sum64()
}

func byName(a, b Segment) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
}

func newGroup(segments []Segment) Group {
	slices.SortFunc(segments, byName)
	names := make([]string, 0, namesInGroup)
	for _, s := range segments[:min(len(segments), namesInGroup)] {
		names = append(names, s.Dist)
	}
	name := strings.Join(names, ", ")
	if more := len(segments) - namesInGroup; more > 0 {
		name += fmt.Sprintf(" and %d more", more)
	}
	return Group{Name: name, Segments: segments}
}
