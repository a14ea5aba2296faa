package link

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/archive"
)

// stream hands out a plan's files as the archive has them.
type stream struct {
	ctx     context.Context //nolint:containedctx // a stream lives as long as the call that it serves
	archive *archive.Reader
	limit   int64 // bytes of one file
	safety  Safety
	plan    *plan
	emit    func(File, io.Reader) error
	late    []archive.Entry // hard links that need bytes of their own
	digests [2]digest       // of a file's bytes in the archive and in the prefix, used again for each

	differences []string // between the package's list and its files, the first ones
	differ      int      // how many there are
}

func (s *stream) run() error {
	if err := s.archive.Payload(s.ctx, s.entry); err != nil {
		return err
	}
	for len(s.late) > 0 {
		if err := s.copies(); err != nil {
			return err
		}
	}
	for i := range s.plan.items {
		it := &s.plan.items[i]
		if it.done || it.shadowed {
			continue
		}
		if it.path.Meta.PathType != pathTypeDirectory {
			return fmt.Errorf("the package is incomplete: its list of files has %q, which is not in the archive", it.path.Meta.Path)
		}
		if err := s.put(it, File{Type: Directory, Mode: 0o755, ModTime: s.plan.stamp()}, nil); err != nil {
			return err
		}
	}
	return s.entryPoints()
}

// entry links one entry of the archive. What the package does not list stays out, as with conda.
func (s *stream) entry(e archive.Entry, body io.Reader) error {
	it := s.plan.bySource[e.Path]
	if it == nil && !s.plan.listed && e.Type != archive.Directory {
		return fmt.Errorf("the package says nowhere which files it has: neither info/paths.json nor info/files is there, but %s is", e.Path)
	}
	if it == nil || it.shadowed {
		return nil
	}
	switch e.Type {
	case archive.Regular:
		return s.regular(it, e, body)
	case archive.Symlink:
		return s.put(it, File{Type: Symlink, Mode: 0o777, ModTime: e.ModTime, Link: e.Link}, nil)
	case archive.Directory:
		if it.path.Meta.PathType != pathTypeDirectory {
			return nil // listed as a file: it is missed at the end
		}
		return s.put(it, File{Type: Directory, Mode: 0o755, ModTime: e.ModTime}, nil)
	}
	to := s.plan.bySource[e.Link]
	if to == nil || !to.done || to.replacement != nil || it.replacement != nil {
		s.late = append(s.late, e)
		return nil
	}
	it.path.Size, it.path.SHA256 = to.path.Size, to.path.SHA256
	return s.put(it, File{Type: Hardlink, Mode: to.path.Mode, ModTime: e.ModTime, Link: to.path.Path}, nil)
}

// copies reads the archive again for the hard links whose two ends differ, one link of each file at a time.
func (s *stream) copies() error {
	next := map[string]archive.Entry{}
	var rest []archive.Entry
	for _, e := range s.late {
		if _, taken := next[e.Link]; taken {
			rest = append(rest, e)
			continue
		}
		next[e.Link] = e
	}
	s.late = rest
	return s.archive.Payload(s.ctx, func(e archive.Entry, body io.Reader) error {
		if link, ok := next[e.Path]; ok && e.Type == archive.Regular {
			return s.regular(s.plan.bySource[link.Path], e, body)
		}
		return nil
	})
}

// put hands out a file, and notes what conda-meta will say of it.
func (s *stream) put(it *item, f File, body io.Reader) error {
	f.Path, f.ModTime = it.path.Path, f.ModTime.UTC().Truncate(time.Second)
	if err := s.emit(f, body); err != nil {
		return err
	}
	it.done = true
	it.path.Type, it.path.Mode, it.path.Link = f.Type, f.Mode, f.Link
	m := &it.path.Meta
	if m.PathType == "" {
		m.PathType = "hardlink"
		if f.Type == Symlink {
			m.PathType = "softlink"
		}
	}
	if m.PathType == "hardlink" && f.Type != Regular {
		m.SHA256InPrefix = m.SHA256
	}
	return nil
}

func (s *stream) regular(it *item, e archive.Entry, body io.Reader) error {
	f := File{Type: Regular, Mode: fileMode(e.Mode), ModTime: e.ModTime, Size: e.Size}
	source := s.digests[0].of(body)
	if it.replacement != nil {
		it.replacement.size = e.Size
	}
	var final *digest
	var err error
	switch r := it.replacement; {
	case r == nil:
		final = source
		err = s.put(it, f, source)
	case r.mode == binaryMode:
		final = s.digests[1].of(r.reader(source))
		err = s.put(it, f, final)
	default:
		final, err = s.text(it, f, source)
	}
	if err == nil {
		err = final.drain()
	}
	if err == nil && it.replacement != nil && it.replacement.mode == binaryMode && final.n != e.Size {
		err = fmt.Errorf("replacing the prefix made %d bytes of %d", final.n, e.Size)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", it.source, err)
	}
	sum := source.sum(it.path.Meta.SHA256)
	if it.path.Size, it.path.SHA256 = final.n, sum; final != source {
		it.path.SHA256 = final.sum(sum)
	}
	return s.compare(it, source.n, sum)
}

// text replaces the prefix before the file is handed out, since its size is known only then.
func (s *stream) text(it *item, f File, source io.Reader) (*digest, error) {
	sp, err := newSpool(it.replacement.reader(source), s.limit)
	if err != nil {
		return nil, err
	}
	f.Size = sp.size
	final := s.digests[1].of(sp.reader())
	err = s.put(it, f, final)
	if err == nil {
		err = final.drain()
	}
	return final, errors.Join(err, sp.close())
}

// compare completes what conda-meta says of a file, and notes where the package's own words are wrong. What
// the prefix holds is recorded as it is.
func (s *stream) compare(it *item, size int64, sum string) (err error) {
	m := &it.path.Meta
	if m.PathType == "softlink" {
		return nil
	}
	if it.replacement != nil || m.SHA256 != "" {
		m.SHA256InPrefix = it.path.SHA256
	}
	if m.SHA256 != "" && m.SHA256 != sum {
		err = s.differs("%s: info/paths.json has the sha256 %s, the archive %s", it.source, m.SHA256, sum)
	}
	if m.SizeInBytes != nil && *m.SizeInBytes != size {
		err = errors.Join(err, s.differs("%s: info/paths.json has the size %d, the archive %d", it.source, *m.SizeInBytes, size))
	}
	return err
}

// toldDifferences is how many of the differences between the package's list and its files are told one by one.
const toldDifferences = 10

// differs notes a difference, or is it as an error.
func (s *stream) differs(format string, args ...any) error {
	switch s.safety {
	case SafetyDisabled:
		return nil
	case SafetyEnabled:
		return fmt.Errorf(format+"; the package's build is at fault, and safety checks are enabled", args...)
	}
	if s.differ++; s.differ <= toldDifferences {
		s.differences = append(s.differences, fmt.Sprintf(format, args...))
	}
	return nil
}

func (s *stream) warnings() []string {
	if more := s.differ - toldDifferences; more > 0 {
		return append(s.differences, fmt.Sprintf("info/paths.json and the archive differ %d times more", more))
	}
	return s.differences
}

// entryPoints renders the commands of a noarch python package.
func (s *stream) entryPoints() error {
	for _, e := range s.plan.entryPoints {
		text := e.render(s.plan.target)
		f := File{Path: e.Path(), Type: Regular, Mode: 0o755, ModTime: s.plan.stamp(), Size: int64(len(text))}
		if err := s.emit(f, strings.NewReader(text)); err != nil {
			return fmt.Errorf("entry point %s: %w", e.Command, err)
		}
	}
	return nil
}

// paths are the plan's items and entry points, in conda's order.
func (s *stream) paths() []Path {
	out := s.plan.paths
	if slices.ContainsFunc(s.plan.items, func(it item) bool { return !it.done }) {
		out = nil
		for _, it := range s.plan.items {
			if it.done {
				out = append(out, *it.path)
			}
		}
	}
	for _, e := range s.plan.entryPoints {
		text := e.render(s.plan.target)
		size, sum := int64(len(text)), sha256.Sum256([]byte(text))
		out = append(out, Path{
			Path: e.Path(), Type: Regular, Mode: 0o755, Size: size, SHA256: hex.EncodeToString(sum[:]),
			Meta: MetaPath{Path: e.Path(), PathType: pathTypeEntryPoint, SizeInBytes: &size},
		})
	}
	return out
}

// stamp is the time of what conda renders: when the package was built.
func (p *plan) stamp() time.Time {
	return time.UnixMilli(conda.Milliseconds(p.rec.Timestamp)).UTC().Truncate(time.Second)
}

// fileMode is what conda's umask of 022 leaves of an archive's mode. Since the prefix is root's, and its users are others,
// they may read and execute what the owner may; set-uid bits are dropped.
func fileMode(m fs.FileMode) fs.FileMode {
	m = m&0o755 | 0o444
	if m&0o100 != 0 {
		m |= 0o111
	}
	return m
}

// digest is a reader that knows the sum and the length of what was read.
type digest struct {
	src io.Reader
	h   hash.Hash
	n   int64
}

// of begins anew, with src.
func (d *digest) of(src io.Reader) *digest {
	if d.src, d.n = src, 0; d.h == nil {
		d.h = sha256.New()
	}
	d.h.Reset()
	return d
}

func (d *digest) Read(p []byte) (int, error) {
	n, err := d.src.Read(p)
	d.h.Write(p[:n])
	d.n += int64(n)
	return n, err
}

// drain reads what nobody else did.
func (d *digest) drain() error {
	_, err := io.Copy(io.Discard, d)
	return err
}

// sum is what was read; it is the string that was expected where it is the same.
func (d *digest) sum(expected string) string {
	var raw [sha256.Size]byte
	var text [2 * sha256.Size]byte
	hex.Encode(text[:], d.h.Sum(raw[:0]))
	if string(text[:]) == expected {
		return expected
	}
	return string(text[:])
}
