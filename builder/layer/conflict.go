package layer

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/datalayer/conda2docker/conda/link"
)

// Winner is a file that must be in the environment layer, because the order of the other layers would decide about it: packages
// hold its path differently, or a package reached it through another's symlink.
type Winner struct {
	Path    string // in the image, without the leading slash: "opt/conda/bin/x"
	Segment Segment
	Entry   Entry
}

// Claim is what a package has at a path.
type Claim struct {
	Dist string
	Type link.Type // Directory also where the package only has something in it
}

// Clash is a path that several packages hold with different content, or as different things.
type Clash struct {
	Path   string  // in the image, absolute
	Claims []Claim // in link order; the image has the last one's
	Lost   int     // files that were in a directory of this path, and are not in the image
}

// String says what happened to whose file.
func (c Clash) String() string {
	last := len(c.Claims) - 1
	names := make([]string, 0, len(c.Claims))
	mixed := slices.ContainsFunc(c.Claims, func(c Claim) bool { return c.Type == link.Directory })
	for _, claim := range c.Claims {
		name := claim.Dist
		if mixed {
			name = "a " + string(claim.Type) + " in " + name
		}
		names = append(names, name)
	}
	before, winner := strings.Join(names[:last], ", "), c.Claims[last].Dist
	text := fmt.Sprintf("%s is in %s and, differently, in %s: the image has that of %s, which is linked last", c.Path, before, winner, winner)
	if mixed {
		text = fmt.Sprintf("%s is %s and %s: the image has that of %s, which is linked last", c.Path, before, names[last], winner)
	}
	if c.Lost > 0 {
		text += fmt.Sprintf(", and not the files that were in the directory (%d)", c.Lost)
	}
	return text
}

// Resolution is how the conflicts of an environment were settled.
type Resolution struct {
	Winners  []Winner // by path
	Warnings []Clash  // by path
	// Gone are the entries that must not be in a segment's layer, by the segment's number and path: a later linked package's file
	// or symlink took them away with their directory, and another directory has come in its place since.
	Gone map[int][]string
	// Stale are the entries of segments of compiled files that must not be there, likewise: the package's file that they were
	// compiled from is not in the image. Python would run them in place of what is.
	Stale map[int][]string
}

// ConflictError is a path that cannot be what all packages want it to be.
type ConflictError struct {
	Path   string    // in the image, absolute
	Dists  [2]string // the packages
	Reason string
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s: %s and %s disagree: %s; leave out one of them, or choose another version", e.Path, e.Dists[0], e.Dists[1], e.Reason)
}

// Conflicts settles the paths in which packages meet: the prefix holds what it would if the packages were linked into it one
// after the other, in the segments' order. As with conda, what is linked last is there: a file or symlink takes the place of
// what was there, a directory with all that is in it included; a directory that a package needs takes the place of a file and
// of a symlink that leads to no directory, and is followed through a symlink that leads to one. (Where the directory is not
// the innermost one, conda fails instead.) Equal files are no conflict; those that differ in mode or time only are settled
// without a warning. A symlink out of the prefix under another package's files is an error.
func Conflicts(segments []Segment) (Resolution, error) {
	t := newLinkedTree(segments)
	var before Segment
	for i, s := range segments {
		if s.Prefix != segments[0].Prefix {
			return Resolution{}, fmt.Errorf("%s was linked for %s and %s for %s", segments[0].Dist, segments[0].Prefix, s.Dist, s.Prefix)
		}
		if s.bytecode != nil && (before.Name != s.Name || before.bytecode != nil) {
			return Resolution{}, fmt.Errorf("the compiled files of %s are not behind those of their package", s.Dist)
		}
		if err := t.link(i); err != nil {
			return Resolution{}, err
		}
		before = s
	}
	r := Resolution{Warnings: t.warnings(), Stale: t.stale()}
	raw := rawPaths(segments)
	again := t.repeated(raw)
	r.Gone = t.gone(raw, again)
	for _, at := range slices.Sorted(maps.Keys(again)) {
		n := t.nodes[at]
		s := segments[n.segment]
		e := Entry{Path: &link.Path{Path: at, Type: link.Directory, Mode: 0o755}}
		if !n.dir {
			e = t.entry(n.loc)
		}
		r.Winners = append(r.Winners, Winner{Path: s.imagePath(at), Segment: s, Entry: e})
	}
	return r, nil
}

// Settle settles the conflicts of segments that are in link order, and gives the segments whose layers, in any order, are the
// environment when the winners are put on top: those that lost files for good are made again without them. (Layers could
// delete them instead, but a layer that deletes what is not below it does nothing where BuildKit merges layers.)
func (c *Cache) Settle(ctx context.Context, segments []Segment) ([]Segment, Resolution, error) {
	r, err := Conflicts(segments)
	if err == nil && len(r.Stale) > 0 {
		if segments, err = c.withoutAll(ctx, segments, r.Stale); err == nil {
			r, err = Conflicts(segments)
		}
	}
	if err == nil && len(r.Gone) > 0 {
		segments, err = c.withoutAll(ctx, segments, r.Gone)
	}
	if err != nil {
		return nil, Resolution{}, err
	}
	return segments, r, nil
}

// withoutAll is the segments without some entries of some of them, by their numbers.
func (c *Cache) withoutAll(ctx context.Context, segments []Segment, paths map[int][]string) (_ []Segment, err error) {
	segments = slices.Clone(segments)
	for i, p := range paths {
		if segments[i], err = c.without(ctx, segments[i], p); err != nil {
			return nil, err
		}
	}
	return segments, nil
}

// rawPath is what the layers hold at a path, whatever their order.
type rawPath struct {
	file, dir bool // some segment has it as that; a symlink is a file here
	differs   bool // those that have it as a file are not the same
	last      *Entry
}

// rawPaths are all paths of the segments where their packages have them, relative to the prefix.
func rawPaths(segments []Segment) map[string]rawPath {
	all := map[string]rawPath{}
	for _, s := range segments {
		for j := range s.Entries {
			e := &s.Entries[j]
			dir := e.Path.Path
			if e.Type != link.Directory {
				dir = path.Dir(dir)
				r := all[e.Path.Path]
				if r.file {
					content, rest := r.last.differs(*e)
					r.differs = r.differs || content || rest
				}
				r.file, r.last = true, e
				all[e.Path.Path] = r
			}
			for ; dir != "." && !all[dir].dir; dir = path.Dir(dir) {
				r := all[dir]
				r.dir = true
				all[dir] = r
			}
		}
	}
	return all
}

// repeated are the paths of the tree about which the layers' order would decide.
func (t *linkedTree) repeated(raw map[string]rawPath) map[string]bool {
	again := map[string]bool{}
	for at, r := range raw {
		n, ok := t.nodes[at]
		if !ok || !r.file || !r.differs && !r.dir {
			continue
		}
		again[at] = true
		if n.dir { // the file takes away what is in it, where its layer comes later
			for below := range t.below(at) {
				again[below] = true
			}
		}
	}
	for at, n := range t.nodes {
		if n.moved {
			again[at] = true
		}
	}
	return again
}

// gone are the entries that no other layer hides and that the tree does not have. Hard links to them have their bytes from the
// environment's layer.
func (t *linkedTree) gone(raw map[string]rawPath, again map[string]bool) map[int][]string {
	var tops []string
	for at := range raw {
		if _, ok := t.nodes[at]; !ok && t.isDir(path.Dir(at)) {
			tops = append(tops, at)
		}
	}
	if len(tops) == 0 {
		return nil
	}
	isGone := func(p string) bool {
		return slices.ContainsFunc(tops, func(top string) bool { return p == top || strings.HasPrefix(p, top+"/") })
	}
	out := map[int][]string{}
	for i, s := range t.segments {
		for j, e := range s.Entries {
			p := e.Path.Path
			lone := e.Type == link.Hardlink && isGone(e.Link)
			if !isGone(p) && !lone {
				continue
			}
			out[i] = append(out[i], p)
			if n, ok := t.nodes[p]; lone && ok && n.loc == (loc{i, j}) {
				again[p] = true
			}
		}
	}
	return out
}

// differs reports whether two entries of a path, none of them a directory, differ in what they hold, and whether they differ
// in mode or time.
func (e Entry) differs(o Entry) (content, rest bool) {
	content = (e.Type == link.Symlink) != (o.Type == link.Symlink) || e.SHA256 != o.SHA256 || e.Type == link.Symlink && e.Link != o.Link
	return content, e.Mode != o.Mode || !e.ModTime.Equal(o.ModTime)
}
