package layer

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/datalayer/conda2docker/conda/link"
)

// Winner is a file that must be in the environment layer, because the order of the other layers would decide about it: several
// packages hold its path, or a package reached it through another's symlink.
type Winner struct {
	Path    string // in the image, without the leading slash: "opt/conda/bin/x"
	Segment Segment
	Entry   Entry
}

// Clash is a path that several packages hold with different content.
type Clash struct {
	Path  string   // in the image, absolute
	Dists []string // the packages in link order; the image has the last one's file
}

// String says what happened to whose file.
func (c Clash) String() string {
	last := len(c.Dists) - 1
	return fmt.Sprintf("%s is in %s and, differently, in %s: the image has that of %s, which is linked last",
		c.Path, strings.Join(c.Dists[:last], ", "), c.Dists[last], c.Dists[last])
}

// Resolution is how the conflicts of an environment were settled.
type Resolution struct {
	Winners  []Winner // by path
	Warnings []Clash  // by path
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

// Conflicts settles the paths in which packages meet. The segments are in link order. As with conda, the last linked file
// wins, and files below a directory that an earlier linked package made a symlink are put where the symlink leads.
// Equal files are no conflict; those that differ in mode or time only are settled without a warning. A file where another
// package has a directory, and a symlink where an earlier linked package has a directory, are errors: conda fails there, or
// leaves an environment that depends on what was there before.
func Conflicts(segments []Segment) (Resolution, error) {
	p := plan{segments: segments, through: map[string]string{}}
	for {
		if err := p.scan(); err != nil {
			return Resolution{}, err
		}
		found, err := p.symlinkedDirs()
		if err != nil {
			return Resolution{}, err
		}
		if !found {
			return p.resolution(), nil
		}
	}
}

// loc is an entry of a segment.
type loc struct{ segment, entry int }

// plan is all paths of an environment, relative to the prefix.
type plan struct {
	segments []Segment
	through  map[string]string // directories that are another package's symlink → where that leads

	owners  map[string]loc   // the last linked entry that is not a directory
	clashes map[string][]loc // all of them, in link order, where there are several
	dirs    map[string]loc   // directories, with the first linked entry that needs them
	moved   map[string]bool  // paths that are not where their package has them
}

func (p *plan) entry(l loc) Entry { return p.segments[l.segment].Entries[l.entry] }

func (p *plan) scan() error {
	total := 0
	for _, s := range p.segments {
		if s.Prefix != p.segments[0].Prefix {
			return fmt.Errorf("%s was linked for %s and %s for %s", p.segments[0].Dist, p.segments[0].Prefix, s.Dist, s.Prefix)
		}
		total += len(s.Entries)
	}
	p.owners, p.clashes = make(map[string]loc, total), map[string][]loc{}
	p.dirs, p.moved = map[string]loc{}, map[string]bool{}
	for i, s := range p.segments {
		for j, e := range s.Entries {
			p.add(loc{i, j}, e)
		}
	}
	return nil
}

func (p *plan) add(l loc, e Entry) {
	at := p.real(e)
	if at != e.Path.Path {
		p.moved[at] = true
	}
	dir := path.Dir(at)
	if e.Type == link.Directory {
		dir = at
	} else {
		if first, ok := p.owners[at]; ok {
			if p.clashes[at] == nil {
				p.clashes[at] = []loc{first}
			}
			p.clashes[at] = append(p.clashes[at], l)
		}
		p.owners[at] = l
	}
	for ; dir != "."; dir = path.Dir(dir) {
		if _, ok := p.dirs[dir]; ok {
			break
		}
		p.dirs[dir] = l
	}
}

// real is where an entry is once its directories are followed through the symlinks found so far.
func (p *plan) real(e Entry) string {
	at := e.Path.Path
	for range p.through { // each is followed once at most
		dir := at
		if e.Type != link.Directory {
			dir = path.Dir(at)
		}
		for dir != "." && p.through[dir] == "" {
			dir = path.Dir(dir)
		}
		if dir == "." {
			break
		}
		at = path.Join(p.through[dir], strings.TrimPrefix(at[len(dir):], "/"))
	}
	return at
}

// symlinkedDirs looks for directories that another package holds as something else, and follows them if they are symlinks.
func (p *plan) symlinkedDirs() (found bool, err error) {
	for _, dir := range slices.Sorted(maps.Keys(p.dirs)) {
		owner, ok := p.owners[dir]
		if !ok {
			continue
		}
		user := p.dirs[dir]
		to, reason := p.follow(dir, owner, user)
		if reason != "" {
			return false, &ConflictError{
				Path:   path.Join(p.segments[owner.segment].Prefix, dir),
				Dists:  [2]string{p.segments[owner.segment].Dist, p.segments[user.segment].Dist},
				Reason: reason,
			}
		}
		p.through[dir] = to
		return true, nil // what lies below has moved: the rest is looked at again
	}
	return false, nil
}

// follow is where the owner's symlink leads that user has as a directory, or the reason why it cannot be followed.
func (p *plan) follow(dir string, owner, user loc) (to, reason string) {
	e := p.entry(owner)
	if e.Type != link.Symlink {
		return "", "it is a file in the first and a directory in the second"
	}
	for _, l := range p.clashes[dir] {
		if p.entry(l).Link != e.Link || p.entry(l).Type != link.Symlink {
			return "", "it is a directory in the second, and in others a symlink or file that is not the same"
		}
	}
	if user.segment <= p.first(dir, owner).segment {
		return "", "it is a symlink in the first and a directory in the second, which is linked earlier"
	}
	to = path.Join(path.Dir(dir), e.Link)
	if path.IsAbs(e.Link) || to == "." || to == ".." || strings.HasPrefix(to, "../") {
		return "", "it is a symlink out of the prefix in the first and a directory in the second"
	}
	_, isDir := p.dirs[to]
	if _, isFile := p.owners[to]; !isDir || isFile || to == dir || strings.HasPrefix(to, dir+"/") {
		return "", fmt.Sprintf("it is a symlink to %s in the first, which is no directory, and a directory in the second", e.Link)
	}
	return to, ""
}

func (p *plan) first(at string, owner loc) loc {
	if all := p.clashes[at]; all != nil {
		return all[0]
	}
	return owner
}

func (p *plan) resolution() Resolution {
	var r Resolution
	again := map[string]bool{} // paths that must be in the environment layer
	for at := range p.moved {
		again[at] = true
	}
	for at := range p.through {
		again[at] = true
	}
	for _, at := range slices.Sorted(maps.Keys(p.clashes)) {
		all := p.clashes[at]
		content, rest := p.differences(all)
		if content {
			r.Warnings = append(r.Warnings, p.clash(at, all))
		}
		if content || rest {
			again[at] = true
		}
	}
	for _, at := range slices.Sorted(maps.Keys(again)) {
		l, ok := p.owners[at]
		if !ok {
			l = p.dirs[at] // a listed directory that moved
		}
		s := p.segments[l.segment]
		r.Winners = append(r.Winners, Winner{Path: s.imagePath(at), Segment: s, Entry: p.entry(l)})
	}
	return r
}

// differences reports whether the entries differ in what they hold, and whether they differ in mode or time.
func (p *plan) differences(all []loc) (content, rest bool) {
	last := p.entry(all[len(all)-1])
	for _, l := range all[:len(all)-1] {
		e := p.entry(l)
		if (e.Type == link.Symlink) != (last.Type == link.Symlink) || e.SHA256 != last.SHA256 ||
			last.Type == link.Symlink && e.Link != last.Link {
			content = true
		}
		if e.Mode != last.Mode || !e.ModTime.Equal(last.ModTime) {
			rest = true
		}
	}
	return content, rest
}

func (p *plan) clash(at string, all []loc) Clash {
	c := Clash{Path: "/" + p.segments[all[0].segment].imagePath(at)}
	for _, l := range all {
		c.Dists = append(c.Dists, p.segments[l.segment].Dist)
	}
	return c
}
