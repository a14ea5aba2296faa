package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// walk is one pass over a tarball. It refuses whatever could be unpacked in two ways, or outside of the prefix.
type walk struct {
	ctx   context.Context //nolint:containedctx // a walk lives as long as the call that it serves
	name  string
	lim   Limits
	src   *meter
	tar   *tar.Reader
	kinds kinds             // of every path seen, parents included
	hard  map[string]string // hard link -> the regular file behind it
	total int64
	count int
}

func newWalk(ctx context.Context, r *Reader, src io.ReadCloser) *walk {
	// Headers and padding come on top of the files. The slack bounds tarballs that consist of them alone.
	m := &meter{ctx: ctx, src: src, left: r.limits.TotalBytes + r.limits.TotalBytes/8 + 16<<20}
	return &walk{
		ctx: ctx, name: r.name, lim: r.limits, src: m, tar: tar.NewReader(m),
		kinds: newKinds(), hard: map[string]string{},
	}
}

func (w *walk) close() error { return w.src.src.Close() }

func (w *walk) refuse(path, format string, args ...any) error {
	return fmt.Errorf("%s: %q %s", w.name, path, fmt.Sprintf(format, args...))
}

// each calls yield for every entry, and reads the stream to its end, so that its checksums are checked.
func (w *walk) each(yield Yield) error {
	for {
		h, err := w.tar.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, w.src)
			return w.fault("behind the last file", err)
		}
		if err != nil {
			return w.fault(fmt.Sprintf("after %d entries", w.count), err)
		}
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		if w.count++; w.count > w.lim.Entries {
			return fmt.Errorf("%s: more than %d entries", w.name, w.lim.Entries)
		}
		e, err := w.entry(h)
		if err != nil {
			return err
		}
		if e.Path == "." {
			continue
		}
		var body io.Reader
		if e.Type == Regular {
			body = &bodyReader{w}
		}
		switch err := yield(e, body); {
		case errors.Is(err, fs.SkipAll):
			return nil
		case err != nil:
			return err
		}
	}
}

// fault names the package in an error of its stream.
func (w *walk) fault(where string, err error) error {
	switch {
	case err == nil:
		return nil
	case w.ctx.Err() != nil:
		return w.ctx.Err()
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%s: the file is truncated (%s): %w", w.name, where, err)
	}
	return fmt.Errorf("%s: reading the archive (%s): %w", w.name, where, err)
}

// entry checks a header and makes an entry of it; the path "." stands for a header that says nothing.
func (w *walk) entry(h *tar.Header) (Entry, error) {
	p, err := CleanPath(h.Name)
	if err != nil {
		return Entry{}, fmt.Errorf("%s: %w", w.name, err)
	}
	if p == "." && h.Typeflag != tar.TypeDir {
		return Entry{}, w.refuse(h.Name, "is the package's root, but no directory")
	}
	e := Entry{Path: p, Mode: fs.FileMode(h.Mode).Perm(), ModTime: h.ModTime}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse:
		e.Type, e.Size = Regular, h.Size
		err = w.checkSize(e)
	case tar.TypeDir:
		e.Type = Directory
		if p == "." {
			return e, nil
		}
	case tar.TypeSymlink:
		e.Type, e.Link = Symlink, h.Linkname
		if err := checkSymlink(p, h.Linkname); err != nil {
			return Entry{}, fmt.Errorf("%s: %w", w.name, err)
		}
	case tar.TypeLink:
		e.Type = Hardlink
		e.Link, err = w.hardTarget(p, h.Linkname)
	default:
		err = w.refuse(p, "is %s, which a package must not hold", special(h.Typeflag))
	}
	if err != nil {
		return Entry{}, err
	}
	return e, w.register(e)
}

func special(flag byte) string {
	switch flag {
	case tar.TypeChar, tar.TypeBlock:
		return "a device node"
	case tar.TypeFifo:
		return "a named pipe"
	}
	return fmt.Sprintf("an entry of type %q", flag)
}

func (w *walk) checkSize(e Entry) error {
	limit := w.lim.FileBytes
	if isInfo(e.Path) {
		limit = min(limit, w.lim.InfoBytes)
	}
	if e.Size < 0 || e.Size > limit {
		return w.refuse(e.Path, "unpacks to %d bytes, more than the limit of %d for one file", e.Size, limit)
	}
	if w.total += e.Size; w.total > w.lim.TotalBytes {
		return fmt.Errorf("%s: the package unpacks to more than the limit of %d bytes", w.name, w.lim.TotalBytes)
	}
	return nil
}

func (w *walk) hardTarget(p, link string) (string, error) {
	target, err := CleanPath(link)
	if err != nil {
		return "", fmt.Errorf("%s: %q is a hard link out of the package: %w", w.name, p, err)
	}
	if first, ok := w.hard[target]; ok {
		target = first
	}
	if w.kinds.of(target) != Regular {
		return "", w.refuse(p, "is a hard link to %q, which is no file that came before it", link)
	}
	return target, nil
}

// register notes the entry, and refuses a second one of its path, and one that is both a directory and something else:
// what is unpacked through a symlink ends up elsewhere.
func (w *walk) register(e Entry) error {
	if old := w.kinds.of(e.Path); old != "" && (old != Directory || e.Type != Directory) {
		return w.refuse(e.Path, "is there twice, as %s and as %s", old, e.Type)
	}
	w.kinds.set(e.Path, e.Type)
	if e.Type == Hardlink {
		w.hard[e.Path] = e.Link
	}
	for dir := parent(e.Path); dir != ""; dir = parent(dir) {
		switch old := w.kinds.of(dir); old {
		case Directory:
			return nil
		case "":
			w.kinds.set(dir, Directory)
		default:
			return w.refuse(e.Path, "is below %q, which is a %s", dir, old)
		}
	}
	return nil
}

// bodyReader is the current entry's bytes, with the package's name in its errors.
type bodyReader struct{ w *walk }

func (b *bodyReader) Read(p []byte) (int, error) {
	n, err := b.w.tar.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.w.fault("inside of a file", err)
	}
	return n, err
}

// meter ends a stream that is longer than promised, or that nobody waits for any more.
type meter struct {
	ctx  context.Context //nolint:containedctx // as walk's
	src  io.ReadCloser
	left int64
}

func (m *meter) Read(p []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := m.src.Read(p)
	if m.left -= int64(n); m.left < 0 {
		return 0, errors.New("it unpacks to more than the limit")
	}
	return n, err
}
