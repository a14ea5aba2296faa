package layer

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/datalayer/conda2docker/conda/link"
)

// File is a file of the environment layer: a symlink if Link is not empty, a directory if Dir is set, else a regular file.
type File struct {
	Path     string      // absolute, in the image
	Mode     fs.FileMode // permission bits, with fs.ModeSticky and its like; by default 0644, and 0755 for a directory
	UID, GID int
	Body     []byte
	Link     string
	Dir      bool
	// Source is a file on this disk that is read instead of Body, of any size; its SHA256, in lower-case hex, and its Size say which
	// bytes are meant.
	Source string
	SHA256 string
	Size   int64
}

// Environment is what the last layer holds: what depends on the whole environment and not on one package.
type Environment struct {
	Prefix  string    // directories that lead to files are written below it; elsewhere they are the base's, unless they are given
	Files   []File    // they win over packages' files
	Winners []Winner  // of Conflicts
	Epoch   time.Time // the modification time of Files; directories have the same everywhere
	Name    string    // what the layer holds, for people; "conda environment" by default
}

// Environment makes the environment's last layer, or finds it in the cache.
func (c *Cache) Environment(ctx context.Context, e Environment) (Layer, error) {
	if e.Name == "" {
		e.Name = "conda environment"
	}
	items, err := e.items()
	if err != nil {
		return Layer{}, fmt.Errorf("making the layer of the %s: %w", e.Name, err)
	}
	return c.layer(ctx, c.environmentKey(e, items), e.Name, func(w io.Writer) (blobInfo, error) {
		ch := newChunker(c.press, w)
		defer ch.abort()
		tw := newTarWriter(ch)
		for _, it := range items {
			if err := c.writeItem(ctx, tw, e, it); err != nil {
				return blobInfo{}, err
			}
		}
		if err := tw.flush(); err != nil {
			return blobInfo{}, err
		}
		done, err := ch.close()
		return blobInfo{Digest: done.digest, DiffID: done.diffID, Size: done.size}, err
	})
}

// item is a file or a winner, with its path in the image without the leading slash.
type item struct {
	path   string
	file   File
	winner *Winner
}

// items are the environment's files and winners by path.
func (e Environment) items() ([]item, error) {
	seen := map[string]bool{}
	items := make([]item, 0, len(e.Files)+len(e.Winners))
	for _, f := range e.Files {
		name, ok := strings.CutPrefix(f.Path, "/")
		if !ok {
			return nil, fmt.Errorf("path %q: not absolute", f.Path)
		}
		if err := checkName(name); err != nil {
			return nil, err
		}
		content := f.Body != nil || f.Source != ""
		if f.Dir && (f.Link != "" || content) || f.Link != "" && content || f.Source != "" && f.Body != nil {
			return nil, fmt.Errorf("%s: more than one of directory, symlink and regular file", f.Path)
		}
		if seen[name] {
			return nil, fmt.Errorf("%s: given twice", f.Path)
		}
		seen[name] = true
		items = append(items, item{path: name, file: f})
	}
	for i, w := range e.Winners {
		if !seen[w.Path] {
			items = append(items, item{path: w.Path, winner: &e.Winners[i]})
		}
	}
	slices.SortFunc(items, func(a, b item) int { return strings.Compare(a.path, b.path) })
	return items, nil
}

func (c *Cache) environmentKey(e Environment, items []item) string {
	h := sha256.New()
	fmt.Fprintf(h, "environment %d %s %q %d\n", formatVersion, c.codec, e.Prefix, tarTime(e.Epoch).Unix())
	for _, it := range items {
		if w := it.winner; w != nil {
			fmt.Fprintf(h, "winner %q %s %s %q\n", it.path, w.Segment.ID, w.Entry.Type, w.Entry.Path.Path)
			continue
		}
		f := it.file
		sum := f.SHA256
		if f.Source == "" {
			sum = fmt.Sprintf("%x", sha256.Sum256(f.Body))
		}
		fmt.Fprintf(h, "file %q %o %d %d %q %t %s\n", it.path, f.Mode, f.UID, f.GID, f.Link, f.Dir, sum)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (c *Cache) writeItem(ctx context.Context, tw *tarWriter, e Environment, it item) error {
	if strings.HasPrefix("/"+it.path, e.Prefix+"/") {
		if err := tw.parents(it.path); err != nil {
			return err
		}
	}
	if it.winner != nil {
		return c.writeWinner(ctx, tw, *it.winner)
	}
	return tw.file(it.path, it.file, e.Epoch)
}

// file writes a file that is given with its bytes.
func (w *tarWriter) file(name string, f File, epoch time.Time) error {
	mode := f.Mode
	if mode == 0 {
		mode = 0o644
	}
	h := &tar.Header{
		Typeflag: tar.TypeReg, Name: name, Size: int64(len(f.Body)), ModTime: tarTime(epoch), Uid: f.UID, Gid: f.GID,
	}
	switch {
	case f.Dir:
		if f.Mode == 0 {
			mode = 0o755
		}
		w.dirs[name] = true
		h.Typeflag, h.Name, h.ModTime = tar.TypeDir, name+"/", dirTime()
	case f.Link != "":
		mode = 0o777
		h.Typeflag, h.Linkname = tar.TypeSymlink, f.Link
	}
	h.Mode = unixMode(mode)
	if f.Source != "" {
		h.Size = f.Size
	}
	if err := w.header(h); err != nil {
		return err
	}
	if f.Source != "" {
		return w.source(f)
	}
	if _, err := w.tw.Write(f.Body); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// source writes a file's bytes from where they are on this disk, and makes sure that they are those that were announced.
func (w *tarWriter) source(f File) (err error) {
	r, err := os.Open(f.Source)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	h := sha256.New()
	n, err := io.CopyBuffer(w.tw, io.TeeReader(io.LimitReader(r, f.Size+1), h), w.copies)
	if got := hex.EncodeToString(h.Sum(nil)); errors.Is(err, tar.ErrWriteTooLong) || err == nil && (n != f.Size || got != f.SHA256) {
		return fmt.Errorf("%s changed while it was copied", f.Source)
	}
	return err
}

func unixMode(m fs.FileMode) int64 {
	u := int64(m.Perm())
	for bit, is := range map[int64]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if m&is != 0 {
			u |= bit
		}
	}
	return u
}

// writeWinner repeats a file of a segment. A hard link becomes a file of its own: its target may be another package's by now.
func (c *Cache) writeWinner(ctx context.Context, tw *tarWriter, w Winner) error {
	e := w.Entry
	f := link.File{Path: e.Path.Path, Type: e.Type, Mode: e.Mode, ModTime: e.ModTime, Size: e.Size, Link: e.Link}
	if e.Type != link.Regular && e.Type != link.Hardlink {
		_, err := tw.linked(w.Path, f, nil, "")
		return err
	}
	s, t, err := c.content(ctx, w.Segment, e)
	if err != nil {
		return err
	}
	r, err := c.Open(ctx, s, t)
	if err != nil {
		return err
	}
	f.Type, f.Size = link.Regular, t.Size
	h := sha256.New()
	_, err = tw.linked(w.Path, f, io.TeeReader(r, h), "")
	err = errors.Join(err, r.Close())
	if got := hex.EncodeToString(h.Sum(nil)); err == nil && got != t.SHA256 {
		err = fmt.Errorf("%s: its sha256 is %s and should be %s", e.Path.Path, got, t.SHA256)
	}
	if err != nil && ctx.Err() == nil {
		return &brokenError{s, err}
	}
	return err
}
