package layer

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/datalayer/conda2docker/conda/link"
)

// dirTime is the modification time of all directories, so that a directory is the same in whichever layer it is; it is the
// earliest that a zip file can hold.
func dirTime() time.Time { return time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC) }

// tarWriter writes the entries of an image layer: numeric owners, whole seconds, parents before their children.
type tarWriter struct {
	tw     *tar.Writer
	offset *counter
	dirs   map[string]bool // written so far
	copies []byte          // what io.Copy would allocate for each file
}

// counter counts what passes through it.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

func newTarWriter(w io.Writer) *tarWriter {
	c := &counter{w: w}
	return &tarWriter{tw: tar.NewWriter(c), offset: c, dirs: map[string]bool{"": true, ".": true}, copies: make([]byte, 64<<10)}
}

// parents writes the directories that lead to name, which is relative to the image's root.
func (w *tarWriter) parents(name string) error {
	dir := path.Dir(name)
	if w.dirs[dir] {
		return nil
	}
	if err := w.parents(dir); err != nil {
		return err
	}
	return w.directory(dir, 0o755, 0, 0)
}

// directory writes a directory, once.
func (w *tarWriter) directory(name string, mode fs.FileMode, uid, gid int) error {
	if w.dirs[name] {
		return nil
	}
	w.dirs[name] = true
	return w.header(&tar.Header{
		Typeflag: tar.TypeDir, Name: name + "/", Mode: int64(mode.Perm()), ModTime: dirTime(), Uid: uid, Gid: gid,
	})
}

// folder writes a directory and those that lead to it, each once.
func (w *tarWriter) folder(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if err := w.parents(name); err != nil {
		return err
	}
	return w.directory(name, 0o755, 0, 0)
}

// linked writes a file of a package under name and returns the offset of its content. Hard links are written with the name
// that target gives them.
func (w *tarWriter) linked(name string, f link.File, body io.Reader, target string) (int64, error) {
	if err := checkName(name); err != nil {
		return 0, err
	}
	if err := w.parents(name); err != nil {
		return 0, err
	}
	if f.Type != link.Directory && w.dirs[name] {
		return 0, fmt.Errorf("%s: it is a directory and something else", name)
	}
	h := &tar.Header{Name: name, Mode: int64(f.Mode.Perm()), ModTime: tarTime(f.ModTime)}
	switch f.Type {
	case link.Directory:
		return 0, w.directory(name, 0o755, 0, 0)
	case link.Symlink:
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, f.Link, 0o777
	case link.Hardlink:
		h.Typeflag, h.Linkname = tar.TypeLink, target
	case link.Regular:
		h.Typeflag, h.Size = tar.TypeReg, f.Size
	default:
		return 0, fmt.Errorf("%s: file type %q has no place in a layer", name, f.Type)
	}
	if err := w.header(h); err != nil {
		return 0, err
	}
	start := w.offset.n
	if f.Type != link.Regular {
		return start, nil
	}
	n, err := io.CopyBuffer(w.tw, body, w.copies)
	if err == nil && n != f.Size {
		err = fmt.Errorf("%d bytes where %d were announced", n, f.Size)
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return start, nil
}

func (w *tarWriter) header(h *tar.Header) error {
	if err := w.tw.WriteHeader(h); err != nil {
		return fmt.Errorf("%s: %w", h.Name, err)
	}
	return nil
}

// flush pads the last file; the end-of-archive blocks are left out.
func (w *tarWriter) flush() error { return w.tw.Flush() }

// tarTime is the whole second in which t lies: python compares a source's time with the one that its .pyc records in whole
// seconds, rounded down. What lies before 1970 has no portable form.
func tarTime(t time.Time) time.Time { return time.Unix(max(t.Unix(), 0), 0) }

// checkName refuses what would mean something else in a layer: a whiteout, or a way out of the image.
func checkName(name string) error {
	if name == "." || path.IsAbs(name) || path.Clean(name) != name || name == ".." || strings.HasPrefix(name, "../") || strings.Contains(name, "\x00") {
		return fmt.Errorf("path %q: not a clean path below the image's root", name)
	}
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, ".wh.") {
			return fmt.Errorf("path %q: names that begin with .wh. delete files in an image layer, and are refused", name)
		}
	}
	return nil
}
