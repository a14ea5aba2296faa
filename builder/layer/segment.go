package layer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/link"
)

// Input is a package to make a segment of.
type Input struct {
	Record        *conda.Record
	ArchivePath   string
	ArchiveSHA256 string // lower-case hex, already checked
	Target        link.Target

	omit *omission // what is left out; nil for nothing
}

// omission is what is left out of a segment.
type omission struct {
	paths       []string // of entries, sorted
	directories []string // in the image, that are still needed, sorted
}

func (o *omission) has(path string) bool {
	if o == nil {
		return false
	}
	_, ok := slices.BinarySearch(o.paths, path)
	return ok
}

// without is the segment without some of its entries. What it says of its package stays.
func (c *Cache) without(ctx context.Context, s Segment, paths []string) (Segment, error) {
	if s.bytecode != nil {
		return c.withoutBytecode(ctx, s, paths)
	}
	in := s.input
	in.omit = &omission{paths: slices.Sorted(slices.Values(paths))}
	s.Entries = slices.DeleteFunc(slices.Clone(s.Entries), func(e Entry) bool { return in.omit.has(e.Path.Path) })
	in.omit.directories = slices.Sorted(maps.Keys(s.directories()))
	return c.Segment(ctx, in)
}

// Segment is one package's part of a layer: a compressed tar without its end. It begins with its directories, in chunks of their
// own, which a layer of several segments has instead once for all of them. Segments do not change.
type Segment struct {
	ID      string            // its key in the cache, hex
	Name    conda.PackageName // the package's
	Dist    string            // the package's name-version-build
	Prefix  string            // where the files are, "/opt/conda"
	TarSize int64             // bytes of the tar, without the end-of-archive blocks
	Size    int64             // bytes of the segment, compressed
	Entries []Entry           // what it puts in the prefix, as Package.Paths; directories that only lead to others are not listed
	Package link.Package      // what conda-meta wants to know

	blob     blob
	input    Input     // to make it again
	bytecode *bytecode // only where it is a package's compiled files
}

// Entry is a path of a segment.
type Entry struct {
	*link.Path
	ModTime time.Time // whole seconds

	offset int64 // of its content in the segment's tar
}

// blob is a segment's file: the segment and a tar's end, which makes it a layer of its own.
type blob struct {
	path           string
	digest, diffID digest.Digest
	size           int64
	chunks         []int64 // compressed sizes of the segment's chunks
	head           head
}

// head is the beginning of a segment, which holds the directories.
type head struct {
	TarSize int64
	Chunks  int
}

// headSize is the compressed size of the head.
func (b blob) headSize() int64 {
	var n int64
	for _, size := range b.chunks[:b.head.Chunks] {
		n += size
	}
	return n
}

// imagePath is where a path of the prefix is in the image, without the leading slash.
func (s Segment) imagePath(p string) string { return path.Join(s.Prefix, p)[1:] }

// directories are those of the image, without the leading slash, that the segment's files need, and those that its package lists.
func (s Segment) directories() map[string]bool {
	found := map[string]bool{}
	for _, e := range s.Entries {
		dir := s.imagePath(e.Path.Path)
		if e.Type != link.Directory {
			dir = path.Dir(dir)
		}
		for ; dir != "." && !found[dir]; dir = path.Dir(dir) {
			found[dir] = true
		}
	}
	return found
}

// Event tells that a segment is there.
type Event struct {
	Segment     Segment
	Cached      bool // it was there before
	Done, Total int
}

// Segment makes the package's segment, or finds it in the cache.
func (c *Cache) Segment(ctx context.Context, in Input) (Segment, error) {
	s, _, err := c.segment(ctx, in)
	return s, err
}

// Segments makes the segments of all inputs, at most parallel at once (the number of processors when 0), and returns them in
// the inputs' order. Calls of progress, which may be nil, do not overlap. The first error cancels the rest.
func (c *Cache) Segments(ctx context.Context, inputs []Input, parallel int, progress func(Event)) ([]Segment, error) {
	if parallel <= 0 {
		parallel = runtime.GOMAXPROCS(0)
	}
	out := make([]Segment, len(inputs))
	var mu sync.Mutex
	done := 0
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i, in := range inputs {
		g.Go(func() error {
			s, cached, err := c.segment(ctx, in)
			if err != nil {
				return err
			}
			out[i] = s
			mu.Lock()
			defer mu.Unlock()
			done++
			if progress != nil {
				progress(Event{Segment: s, Cached: cached, Done: done, Total: len(inputs)})
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return out, nil
}

func (c *Cache) segment(ctx context.Context, in Input) (s Segment, cached bool, err error) {
	if err := in.check(); err != nil {
		return Segment{}, false, err
	}
	in.Target = in.target()
	id := c.segmentID(in)
	release, err := c.alone(ctx, id)
	if err != nil {
		return Segment{}, false, err
	}
	defer release()
	if s, ok := c.loadSegment(id, in); ok {
		return s, true, nil
	}
	s, err = c.makeSegment(ctx, id, in)
	if err != nil {
		return Segment{}, false, fmt.Errorf("making the layer segment of %s: %w", in.Record, err)
	}
	return s, false, nil
}

func (in Input) check() error {
	if in.Record == nil {
		return errors.New("making a layer segment: no record given")
	}
	if b, err := hex.DecodeString(in.ArchiveSHA256); err != nil || len(b) != sha256.Size {
		return fmt.Errorf("making the layer segment of %s: archive sha256 %q: want 64 hex digits", in.Record, in.ArchiveSHA256)
	}
	p := in.Target.Prefix
	if !path.IsAbs(p) || path.Clean(p) != p || p == "/" {
		return fmt.Errorf("making the layer segment of %s: prefix %q: want an absolute, clean path below /", in.Record, p)
	}
	return nil
}

// target leaves out of the target what the package's files do not depend on: only noarch python is told which python there is,
// so that all others have one segment for every environment.
func (in Input) target() link.Target {
	t, r := in.Target, in.Record
	if r.NoArch == conda.NoArchPython || r.NoArch == conda.NoArchNone && r.Subdir == conda.NoArchSubdir {
		return t // where the record does not say which noarch it is, the archive will
	}
	t.Python = nil
	return t
}

// segmentID is the hash of everything that a segment's bytes depend on.
func (c *Cache) segmentID(in Input) string {
	var b strings.Builder
	fmt.Fprintf(&b, "segment %d %s\n", formatVersion, c.codec)
	fmt.Fprintf(&b, "archive %s\n", strings.ToLower(in.ArchiveSHA256))
	r, t := in.Record, in.Target
	fmt.Fprintf(&b, "record %q %q %d\n", r.Dist(), r.NoArch, r.Timestamp)
	fmt.Fprintf(&b, "target %q %q\n", t.Prefix, t.Subdir)
	if t.Python != nil {
		fmt.Fprintf(&b, "python %q %q %q\n", t.Python.Version, t.Python.SitePackages, t.Python.Path)
	}
	if s := c.opts.Linker.Safety; s != "" && s != link.SafetyWarn {
		fmt.Fprintf(&b, "safety %s\n", s) // else a segment that was made without a word would do for who wants it refused
	}
	if in.omit != nil {
		fmt.Fprintf(&b, "without %q\n", in.omit.paths)
	}
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:])
}

// placed is what the tar knows of a path and link.Package does not.
type placed struct {
	ModTime int64 // unix seconds
	Offset  int64 // of its content; omitted where it is not there
}

const omitted = -1

// collectEvery is after how many of a package's files the garbage is collected. What is known of them is live until the segment is
// done, and Go would let the garbage grow to as much again: with 50,000 files that makes the difference of 40 MiB.
const collectEvery = 2048

// write streams the files of an input's package into a compressed tar.
func (c *Cache) write(ctx context.Context, in Input, out io.Writer) (index, error) {
	ch := newChunker(c.press, out)
	defer ch.abort()
	tw := newTarWriter(ch)
	at := map[string]placed{}
	inImage := func(p string) string { return path.Join(in.Target.Prefix[1:], p) }
	var first head
	linker := c.opts.Linker
	linker.Directories = func(dirs []string) (err error) {
		for i, d := range dirs {
			dirs[i] = inImage(d)
		}
		if in.omit != nil {
			dirs = in.omit.directories
		}
		for _, d := range dirs {
			if err := tw.folder(d); err != nil {
				return err
			}
		}
		first.TarSize = tw.offset.n
		first.Chunks, err = ch.cut()
		return err
	}
	pkg, err := linker.Files(ctx, in.ArchivePath, in.Record, in.Target, func(f link.File, r io.Reader) error {
		if _, twice := at[f.Path]; twice {
			return fmt.Errorf("%s: the package has this path twice", f.Path)
		}
		if in.omit.has(f.Path) {
			at[f.Path] = placed{Offset: omitted}
			return nil
		}
		target := ""
		if f.Type == link.Hardlink {
			target = inImage(f.Link)
		}
		offset, err := tw.linked(inImage(f.Path), f, r, target)
		if len(at)%collectEvery == collectEvery/4 {
			runtime.GC()
		}
		at[f.Path] = placed{ModTime: tarTime(f.ModTime).Unix(), Offset: offset}
		return err
	})
	if err != nil {
		return index{}, err
	}
	if err := tw.flush(); err != nil {
		return index{}, err
	}
	done, err := ch.close()
	if err != nil {
		return index{}, err
	}
	places, err := placesOf(pkg, at)
	return index{
		Format: formatVersion, TarSize: done.tarSize, Size: done.packedSize, BlobSize: done.size,
		Digest: done.digest.String(), DiffID: done.diffID.String(), Chunks: done.chunks, Head: first,
		Package: pkg, Places: places,
	}, err
}

// placesOf brings what the tar knows of the package's paths in their order, and holds the two to be the same paths.
func placesOf(pkg link.Package, at map[string]placed) ([]placed, error) {
	if len(pkg.Paths) != len(at) {
		return nil, fmt.Errorf("%d files were linked and %d are recorded", len(at), len(pkg.Paths))
	}
	places := make([]placed, len(pkg.Paths))
	for i, p := range pkg.Paths {
		pl, ok := at[p.Path]
		if !ok {
			return nil, fmt.Errorf("%s: recorded and not linked", p.Path)
		}
		places[i] = pl
	}
	return places, nil
}
