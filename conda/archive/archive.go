// Package archive reads conda packages (.conda and .tar.bz2) safely and as streams: nothing that it hands out leads out of
// the prefix, nothing is unpacked to disk, and memory stays bounded whatever a package holds.
//
// Decompressing takes a window: 8 MiB for the usual zstd levels up to 19. Levels 20 to 22, with which older builds of
// conda-package-handling pack, ask for 32, 64 and 128 MiB; of that is taken what packages of such a size usually need, and all of it
// only where that turns out not to do. More is refused. A .tar.bz2 takes 6 MiB, and as much again for each core, up to four. Each
// path takes some 25 bytes on top.
package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Type is what an entry is.
type Type string

// The types of entries that a package may hold; everything else is refused.
const (
	Regular   Type = "file"
	Symlink   Type = "symlink"
	Hardlink  Type = "hardlink"
	Directory Type = "directory"
)

// Entry is one member of a package, with a path that is safe to join to a prefix.
type Entry struct {
	Path    string // relative to the package's root, slash-separated and clean
	Type    Type
	Mode    fs.FileMode // permission bits as the archive has them
	ModTime time.Time
	Size    int64  // bytes of a regular file
	Link    string // a symlink's target as written; of a hard link, the path of an earlier regular file
}

// Limits bounds what a package may unpack to. A field that is not positive means its default.
type Limits struct {
	TotalBytes int64 // all files together, 64 GiB by default
	FileBytes  int64 // one file, 32 GiB by default
	InfoBytes  int64 // one file of info/, which is what readers keep in memory, 32 MiB by default
	Entries    int   // number of entries, 2,000,000 by default

	// Window is the largest zstd window, in bytes: memory that decompressing the package takes. 128 MiB by default, which is what zstd
	// --ultra -22 asks for and the most that zstd itself reads without being told to.
	Window int64
}

// WithDefaults is l with the defaults in the place of what is not set.
func (l Limits) WithDefaults() Limits {
	if l.TotalBytes <= 0 {
		l.TotalBytes = 64 << 30
	}
	if l.FileBytes <= 0 {
		l.FileBytes = 32 << 30
	}
	if l.InfoBytes <= 0 {
		l.InfoBytes = 32 << 20
	}
	if l.Entries <= 0 {
		l.Entries = 2_000_000
	}
	if l.Window <= 0 {
		l.Window = 128 << 20
	}
	return l
}

// Options tells how an archive is read.
type Options struct {
	// Name names the package in messages, and its extension is the format that is expected. The file's name by default.
	Name     string
	Limits   Limits
	Decoders *Decoders // shared by the packages that are read; nil shares nothing
}

// Yield is called with each entry, and with the bytes of a regular file, nil for anything else. The reader is valid during
// the call, and need not be read to its end. fs.SkipAll ends the walk without an error; other errors end it as they are.
type Yield func(Entry, io.Reader) error

// Reader reads one package. It may be walked several times, one walk after the other.
type Reader struct {
	name   string
	limits Limits
	file   io.Closer
	parts  parts

	leading map[string]bool // the names in info/ that a walk of the leading info/ saw; nil when it saw all of info/
	halted  *halted         // that walk, for the first walk of the files to go on with
}

// halted is a walk that stopped at an entry.
type halted struct {
	*walk

	entry Entry
	body  io.Reader
}

// parts are a package's tarballs, by format.
type parts interface {
	// info opens the tarball that holds info/.
	info() (io.ReadCloser, error)
	// payload opens the tarball that holds the files.
	payload() (io.ReadCloser, error)
	// split reports whether the two are different tarballs.
	split() bool
}

// Open opens the package at path.
func Open(path string, opts Options) (*Reader, error) {
	if opts.Name == "" {
		opts.Name = filepath.Base(path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: opening package: %w", opts.Name, err)
	}
	st, err := f.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: opening package: %w", opts.Name, err), f.Close())
	}
	r, err := NewReader(f, st.Size(), opts)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	r.file = f
	return r, nil
}

// NewReader reads a package of size bytes from src. Its format is told by its content, and must agree with the name.
func NewReader(src io.ReaderAt, size int64, opts Options) (*Reader, error) {
	r := &Reader{name: opts.Name, limits: opts.Limits.WithDefaults()}
	format, err := sniff(src, size)
	if err == nil {
		err = format.agrees(opts.Name)
	}
	if err == nil {
		r.parts, err = format.open(src, size, unpacker{opts.Decoders, uint64(r.limits.Window)})
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.name, err)
	}
	return r, nil
}

// Close closes the file that Open opened.
func (r *Reader) Close() error {
	err := r.forget()
	if r.file != nil {
		err = errors.Join(err, r.file.Close())
	}
	return err
}

// forget ends a walk that nobody goes on with.
func (r *Reader) forget() error {
	if r.halted == nil {
		return nil
	}
	w := r.halted.walk
	r.halted = nil
	return w.close()
}

// Info walks the entries below info/, in archive order. Of a .tar.bz2 that begins with a complete info/, as conda-build
// writes it, nothing else is decompressed, and nothing twice; one that does not is read to its end.
func (r *Reader) Info(ctx context.Context, yield Yield) error {
	if err := r.forget(); err != nil {
		return err
	}
	src, err := r.parts.info()
	if err != nil {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	w := newWalk(ctx, r, src)
	r.leading = nil
	if r.parts.split() {
		err = w.each(func(e Entry, body io.Reader) error {
			if !isInfo(e.Path) {
				return w.refuse(e.Path, "is in the tarball of info/, but not below info/")
			}
			return yield(e, body)
		})
	} else {
		err = r.leadingInfo(w, yield)
	}
	if r.halted != nil && err == nil {
		return nil
	}
	r.halted = nil
	return errors.Join(err, w.close())
}

// leadingInfo walks a tarball that has everything. It halts behind a leading info/ that says what the files are.
func (r *Reader) leadingInfo(w *walk, yield Yield) error {
	seen, leads := map[string]bool{}, true
	return w.each(func(e Entry, body io.Reader) error {
		if isInfo(e.Path) {
			seen[e.Path] = true
			return yield(e, body)
		}
		if leads && seen["info/index.json"] && (seen["info/paths.json"] || seen["info/files"]) {
			r.leading, r.halted = seen, &halted{w, e, body}
			return fs.SkipAll
		}
		leads = false
		return nil
	})
}

// Payload walks all entries that are not below info/, in archive order.
func (r *Reader) Payload(ctx context.Context, yield Yield) error {
	h := r.halted
	if r.halted = nil; h == nil {
		src, err := r.parts.payload()
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		h = &halted{walk: newWalk(ctx, r, src)}
	}
	w := h.walk
	err := h.resume(ctx, func(e Entry, body io.Reader) error {
		switch {
		case !isInfo(e.Path):
			return yield(e, body)
		case !decides(e.Path): // such as licences, which some tools leave among the files
			return nil
		case r.parts.split():
			return w.refuse(e.Path, "is in the tarball of the files, and not in that of info/")
		case r.leading != nil && !r.leading[e.Path]:
			return w.refuse(e.Path, "comes after the files that it tells about; the package must be built anew")
		}
		return nil
	})
	return errors.Join(err, w.close())
}

// resume walks the entry that the walk stopped at, if there is one, and those behind it.
func (h *halted) resume(ctx context.Context, yield Yield) error {
	h.ctx, h.src.ctx = ctx, ctx
	if h.entry.Path != "" {
		switch err := yield(h.entry, h.body); {
		case errors.Is(err, fs.SkipAll):
			return nil
		case err != nil:
			return err
		}
	}
	return h.each(yield)
}

// decides reports whether an info file has a say in what is linked, so that it must not be overlooked.
func decides(path string) bool {
	switch path {
	case "info/index.json", "info/paths.json", "info/files", "info/has_prefix", "info/no_link", "info/no_softlink",
		"info/link.json", "info/package_metadata.json", "info/noarch.json":
		return true
	}
	return false
}
