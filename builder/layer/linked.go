package layer

import (
	"iter"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/datalayer/conda2docker/conda/link"
)

// linkedTree is what a prefix holds while packages are linked into it, by path relative to the prefix. Of its symlinks none
// leads to a key: paths are real ones.
type linkedTree struct {
	segments []Segment
	nodes    map[string]node
	real     map[string]string // directories as packages name them → where they are; emptied when that may have changed
	claims   map[string][]node // paths that were not what they are now, with all that were linked there, in order
	lost     map[string]int    // files that were taken away with a directory of that path
}

// loc is an entry of a segment.
type loc struct{ segment, entry int }

// node is what is at a path.
type node struct {
	loc        // what put it there; of a directory, the first entry that needed it
	dir   bool // else it is the entry
	moved bool // its package has it at another path
}

func newLinkedTree(segments []Segment) *linkedTree {
	total := 0
	for _, s := range segments {
		total += len(s.Entries)
	}
	return &linkedTree{
		segments: segments, nodes: make(map[string]node, total+total/4), real: map[string]string{},
		claims: map[string][]node{}, lost: map[string]int{},
	}
}

func (t *linkedTree) entry(l loc) Entry { return t.segments[l.segment].Entries[l.entry] }

func (t *linkedTree) isDir(at string) bool { return at == "." || t.nodes[at].dir }

// link links a package as conda does: first the directories that it needs, from the top and by name, then its files.
func (t *linkedTree) link(segment int) error {
	entries := t.segments[segment].Entries
	needed := map[string]loc{}
	for i, e := range entries {
		dir := e.Path.Path
		if e.Type != link.Directory {
			dir = path.Dir(dir)
		}
		if _, ok := needed[dir]; !ok {
			needed[dir] = loc{segment, i}
		}
	}
	for _, dir := range slices.SortedFunc(maps.Keys(needed), byElements) {
		if _, err := t.directory(dir, needed[dir]); err != nil {
			return err
		}
	}
	for i, e := range entries {
		if e.Type == link.Directory {
			continue
		}
		l := loc{segment, i}
		dir, err := t.directory(path.Dir(e.Path.Path), l)
		if err != nil {
			return err
		}
		at := path.Join(dir, path.Base(e.Path.Path))
		t.put(at, node{loc: l, moved: at != e.Path.Path})
	}
	return nil
}

// byElements orders paths by their elements, so that what is in a directory follows it at once.
func byElements(a, b string) int {
	return strings.Compare(strings.ReplaceAll(a, "/", "\x00"), strings.ReplaceAll(b, "/", "\x00"))
}

// directory makes a directory, and says where it is.
func (t *linkedTree) directory(dir string, l loc) (string, error) {
	if dir == "." {
		return dir, nil
	}
	if at, ok := t.real[dir]; ok {
		return at, nil
	}
	parent, err := t.directory(path.Dir(dir), l)
	if err != nil {
		return "", err
	}
	at := path.Join(parent, path.Base(dir))
	n, ok := t.nodes[at]
	if ok && !n.dir && t.entry(n.loc).Type == link.Symlink {
		hops := 0
		to, out := t.follow(at, &hops)
		if out {
			return "", &ConflictError{
				Path: path.Join(t.segments[0].Prefix, at), Dists: [2]string{t.segments[n.segment].Dist, t.segments[l.segment].Dist},
				Reason: "it is a symlink out of the prefix in the first and a directory in the second",
			}
		}
		if to != "" {
			t.real[dir] = to
			return to, nil
		}
	}
	if !ok || !n.dir {
		t.put(at, node{loc: l, dir: true, moved: at != dir})
	}
	t.real[dir] = at
	return at, nil
}

// maxHops is how many symlinks Linux follows in a path.
const maxHops = 40

// follow is the directory that the symlink at a path leads to, "" if it leads to none; out says that it leads out of the prefix.
func (t *linkedTree) follow(at string, hops *int) (to string, out bool) {
	if *hops++; *hops > maxHops {
		return "", false
	}
	target := t.entry(t.nodes[at].loc).Link
	if path.IsAbs(target) {
		return "", true
	}
	cur := path.Dir(at)
	for part := range strings.SplitSeq(target, "/") {
		switch {
		case part == "" || part == ".":
			continue
		case part == ".." && cur == ".":
			return "", true
		case part == "..":
			cur = path.Dir(cur)
			continue
		}
		next := path.Join(cur, part)
		n, ok := t.nodes[next]
		switch {
		case ok && n.dir:
			cur = next
		case ok && t.entry(n.loc).Type == link.Symlink:
			if cur, out = t.follow(next, hops); cur == "" {
				return "", out
			}
		default:
			return "", false
		}
	}
	return cur, false
}

// put makes a path what a node says. What was there is gone, with all that is in it.
func (t *linkedTree) put(at string, n node) {
	old, ok := t.nodes[at]
	t.nodes[at] = n
	if !ok {
		return
	}
	if len(t.claims[at]) == 0 {
		t.claims[at] = append(t.claims[at], old)
	}
	if old.dir || t.entry(old.loc).Type == link.Symlink {
		clear(t.real)
	}
	if old.dir {
		t.empty(at)
	}
	t.claims[at] = append(t.claims[at], n)
}

// empty takes away what is in a directory. Whose that was is noted as claims on the directory.
func (t *linkedTree) empty(at string) {
	owners := map[int]node{}
	for _, n := range t.claims[at] {
		owners[n.segment] = n
	}
	for p, n := range maps.Collect(t.below(at)) {
		if !n.dir {
			t.lost[at]++
			if _, ok := owners[n.segment]; !ok {
				owners[n.segment] = node{loc: n.loc, dir: true}
			}
		}
		delete(t.nodes, p)
		delete(t.claims, p)
		delete(t.lost, p)
	}
	t.claims[at] = slices.SortedFunc(maps.Values(owners), func(a, b node) int { return a.segment - b.segment })
}

// below is all that is in a directory, at any depth.
func (t *linkedTree) below(at string) iter.Seq2[string, node] {
	return func(yield func(string, node) bool) {
		for p, n := range t.nodes {
			if strings.HasPrefix(p, at+"/") && !yield(p, n) {
				return
			}
		}
	}
}

// stale are the compiled files whose source, in the package before them, is not what is there, by segment.
func (t *linkedTree) stale() map[int][]string {
	var out map[int][]string
	for i, s := range t.segments {
		if s.bytecode == nil {
			continue
		}
		var paths []string
		for _, e := range s.Entries {
			n, ok := t.nodes[s.bytecode.sources[e.Path.Path]]
			if !ok || n.dir || n.moved || n.segment != i-1 {
				paths = append(paths, e.Path.Path)
			}
		}
		if len(paths) > 0 && out == nil {
			out = map[int][]string{}
		}
		if len(paths) > 0 {
			out[i] = paths
		}
	}
	return out
}

// warnings tell of the paths that packages hold differently.
func (t *linkedTree) warnings() []Clash {
	var out []Clash
	for _, at := range slices.Sorted(maps.Keys(t.claims)) {
		all := t.claims[at]
		last := all[len(all)-1]
		differ := false
		for _, n := range all[:len(all)-1] {
			content := n.dir || last.dir
			if !content {
				content, _ = t.entry(n.loc).differs(t.entry(last.loc))
			}
			differ = differ || content
		}
		if differ {
			out = append(out, t.clash(at, all))
		}
	}
	return out
}

func (t *linkedTree) clash(at string, all []node) Clash {
	c := Clash{Path: path.Join(t.segments[0].Prefix, at), Lost: t.lost[at]}
	for _, n := range all {
		claim := Claim{Dist: t.segments[n.segment].Dist, Type: link.Directory}
		if !n.dir {
			claim.Type = t.entry(n.loc).Type
			if claim.Type == link.Hardlink {
				claim.Type = link.Regular
			}
		}
		c.Claims = append(c.Claims, claim)
	}
	return c
}
