package base

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// tree is the file system that an image's layers make, by path without a leading slash.
type tree map[string]node

// node is one file, as far as it is of interest.
type node struct {
	dir   bool
	link  string // target of a symbolic link
	text  []byte // content of the small files that are read
	glibc string // version, where the file is glibc
}

const (
	whiteout  = ".wh."
	opaque    = ".wh..wh..opq"
	textLimit = 1 << 20
)

// texts are the files whose content is kept.
var texts = map[string]bool{"etc/passwd": true, "etc/group": true, "etc/os-release": true, "usr/lib/os-release": true}

var (
	libcFile    = regexp.MustCompile(`^libc(-2\.\d+)?\.so(\.6)?$`)
	libcVersion = regexp.MustCompile(`GNU C Library [^\n]*release version (\d+(?:\.\d+)+)`)
)

// apply puts a layer on the tree.
func (t tree) apply(ctx context.Context, file string, l Layer) (err error) {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	blob, content := l.Digest.Verifier(), l.DiffID.Verifier()
	compressed := &counted{ctx: ctx, r: io.TeeReader(f, blob)}
	plain, err := decompress(compressed)
	if err != nil {
		return err
	}
	defer plain.Close()
	all := io.TeeReader(plain, content)
	if err := t.applyTar(tar.NewReader(all)); err != nil {
		return err
	}
	for _, r := range []io.Reader{all, compressed} { // what follows the tar's end counts
		if _, err := io.Copy(io.Discard, r); err != nil {
			return err
		}
	}
	if !blob.Verified() {
		return errors.New("it is damaged: its digest is another")
	}
	if !content.Verified() {
		return fmt.Errorf("its content is not what the image's configuration says (%s)", l.DiffID)
	}
	return nil
}

func (t tree) applyTar(r *tar.Reader) error {
	made := map[string]bool{} // by this layer: an opaque mark does not hide these
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		p := clean(h.Name)
		if p == "" {
			continue
		}
		dir, name := path.Split(p)
		if name == opaque {
			t.removeBelow(strings.TrimSuffix(dir, "/"), made)
			continue
		}
		if hidden, ok := strings.CutPrefix(name, whiteout); ok {
			t.remove(dir+hidden, made)
			continue
		}
		n, err := t.read(h, p, r)
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		if t[p].dir && !n.dir {
			t.removeBelow(p, made)
		}
		t[p], made[p] = n, true
	}
}

// read makes the node of one entry.
func (t tree) read(h *tar.Header, p string, r io.Reader) (node, error) {
	switch h.Typeflag {
	case tar.TypeDir:
		return node{dir: true}, nil
	case tar.TypeSymlink:
		target := h.Linkname
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(p), target) //nolint:gosec // a key of the tree, no file
		}
		return node{link: orRoot(clean(target))}, nil
	case tar.TypeLink:
		return t[clean(h.Linkname)], nil
	case tar.TypeReg:
		switch {
		case texts[p]:
			b, err := io.ReadAll(io.LimitReader(r, textLimit))
			return node{text: b}, err
		case libcFile.MatchString(path.Base(p)) && h.Size < 64<<20:
			b, err := io.ReadAll(r)
			if m := libcVersion.FindSubmatch(b); m != nil {
				return node{glibc: string(m[1])}, err
			}
			return node{}, err
		}
	}
	return node{}, nil
}

func (t tree) remove(p string, made map[string]bool) {
	if !made[p] {
		delete(t, p)
	}
	t.removeBelow(p, made)
}

func (t tree) removeBelow(dir string, made map[string]bool) {
	for p := range t {
		if !made[p] && (dir == "" || strings.HasPrefix(p, dir+"/")) {
			delete(t, p)
		}
	}
}

// resolve follows symbolic links in all parts of a path. It reports whether there is something at its end, which
// may be a directory that no layer names.
func (t tree) resolve(p string) (string, bool) {
	parts, done := strings.Split(p, "/"), ""
	for hops := 0; len(parts) > 0; {
		next := path.Join(done, parts[0])
		parts = parts[1:]
		link := t[next].link
		if link == "" {
			done = next
			continue
		}
		if hops++; hops > 40 {
			return "", false
		}
		done, parts = "", append(strings.Split(link, "/"), parts...)
	}
	if _, ok := t[done]; ok || done == "." {
		return done, true
	}
	for p := range t {
		if strings.HasPrefix(p, done+"/") {
			return done, true
		}
	}
	return "", false
}

// clean makes a path absolute within the image, without its leading slash; "" is the root.
func clean(p string) string { return strings.TrimPrefix(path.Clean("/"+p), "/") }

// orRoot spares a link to the root from looking like none.
func orRoot(p string) string {
	if p == "" {
		return "."
	}
	return p
}

// decompress tells the compressions that layers may have by their first bytes.
func decompress(r io.Reader) (io.ReadCloser, error) {
	br := bufio.NewReaderSize(r, 1<<16)
	magic, err := br.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		return gzip.NewReader(br)
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		d, err := zstd.NewReader(br)
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	}
	return io.NopCloser(br), nil
}
