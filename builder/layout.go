package builder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// layout is an OCI layout that the engine exports an image to. It is a content store for writing; a blob that is
// on this disk already is linked, and the engine told that it is there.
type layout struct {
	dir   string
	known map[digest.Digest]string // files by digest
}

var _ content.Store = (*layout)(nil)

// unfinished begins the names of files and folders that are not whole yet.
const unfinished = ".tmp-"

// newLayout begins a layout in a folder of layouts.
func newLayout(parent string, known map[digest.Digest]string) (*layout, error) {
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(parent, unfinished)
	if err != nil {
		return nil, err
	}
	l := &layout{dir: dir, known: known}
	return l, errors.Join(os.Chmod(dir, 0o755), os.MkdirAll(filepath.Join(dir, blobsDir), 0o755)) //nolint:gosec // the layout is for other programs to read
}

const blobsDir = "blobs/sha256"

func (l *layout) discard() { _ = os.RemoveAll(l.dir) }

func (l *layout) blob(d digest.Digest) string { return filepath.Join(l.dir, blobsDir, d.Encoded()) }

// image reads the image of a digest from what was exported, and makes sure that all of it is there.
func (l *layout) image(d digest.Digest) (Image, error) {
	img := Image{Digest: d, Layout: l.dir}
	raw, err := os.ReadFile(l.blob(d))
	if err != nil {
		return Image{}, fmt.Errorf("the engine exported something else than it pushed: %w", err)
	}
	if err := json.Unmarshal(raw, &img.Manifest); err != nil {
		return Image{}, fmt.Errorf("manifest %s: %w", d, err)
	}
	config, err := os.ReadFile(l.blob(img.Manifest.Config.Digest))
	if err != nil {
		return Image{}, fmt.Errorf("configuration of %s: %w", d, err)
	}
	if err := json.Unmarshal(config, &img.Config); err != nil {
		return Image{}, fmt.Errorf("configuration of %s: %w", d, err)
	}
	img.Size = int64(len(raw) + len(config))
	for _, b := range img.Manifest.Layers {
		info, err := os.Stat(l.blob(b.Digest))
		if err != nil {
			return Image{}, fmt.Errorf("layer %s: %w", b.Digest, err)
		}
		if info.Size() != b.Size {
			return Image{}, fmt.Errorf("layer %s has %d bytes, want %d", b.Digest, info.Size(), b.Size)
		}
		img.Size += b.Size
	}
	img.Descriptor = ocispecs.Descriptor{
		MediaType: img.Manifest.MediaType, Digest: d, Size: int64(len(raw)), Platform: &img.Config.Platform,
	}
	return img, nil
}

// keep gives the layout its place, and completes the one that is there of an earlier build.
func (l *layout) keep(img Image) (string, error) {
	if err := writeIndex(l.dir, img.Descriptor); err != nil {
		return "", err
	}
	place := filepath.Join(filepath.Dir(l.dir), img.Digest.Algorithm().String()+"-"+img.Digest.Encoded())
	err := os.Rename(l.dir, place)
	if err == nil {
		return place, nil
	}
	if !errors.Is(err, fs.ErrExist) && !errors.Is(err, errNotEmpty) {
		return "", err
	}
	err = filepath.WalkDir(l.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(l.dir, path)
		if err != nil {
			return err
		}
		to := filepath.Join(place, rel)
		if e.IsDir() {
			return os.MkdirAll(to, 0o755)
		}
		return os.Rename(path, to) //nolint:gosec // both are ours
	})
	now := time.Now()
	_ = os.Chtimes(place, now, now) // the cache's pruning is by last use
	return place, err
}

// writeIndex makes a folder with blobs a layout of one image.
func writeIndex(dir string, image ocispecs.Descriptor) error {
	index, marker, err := layoutFiles(image)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, ocispecs.ImageLayoutFile), marker, 0o644),
		os.WriteFile(filepath.Join(dir, ocispecs.ImageIndexFile), index, 0o644),
	)
}

// layoutFiles are index.json and oci-layout.
func layoutFiles(image ocispecs.Descriptor) (index, marker []byte, err error) {
	index, err = json.Marshal(ocispecs.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispecs.MediaTypeImageIndex,
		Manifests: []ocispecs.Descriptor{image},
	})
	if err != nil {
		return nil, nil, err
	}
	marker, err = json.Marshal(ocispecs.ImageLayout{Version: ocispecs.ImageLayoutVersion})
	return index, marker, err
}

// link puts a known blob in its place, when it is what it is known as.
func (l *layout) link(d digest.Digest) bool {
	path, ok := l.known[d]
	if !ok {
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return false // BuildKit has it
	}
	defer f.Close()
	v := d.Verifier()
	if _, err := io.Copy(v, f); err != nil || !v.Verified() {
		return false
	}
	return linkOrCopy(path, l.blob(d)) == nil
}

// linkOrCopy makes a file appear at a second place, sharing its bytes where the file system can.
func linkOrCopy(from, to string) (err error) {
	if err := os.Link(from, to); err == nil || errors.Is(err, fs.ErrExist) {
		return nil
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.CreateTemp(filepath.Dir(to), unfinished)
	if err != nil {
		return err
	}
	defer os.Remove(out.Name()) // moved away, when all went well
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Chmod(0o644), out.Close()); err != nil {
		return err
	}
	return os.Rename(out.Name(), to)
}

// Info implements content.Store.
func (l *layout) Info(_ context.Context, d digest.Digest) (content.Info, error) {
	if err := checkDigest(d); err != nil {
		return content.Info{}, err
	}
	info, err := os.Stat(l.blob(d))
	if err != nil {
		return content.Info{}, fmt.Errorf("blob %s: %w", d, errdefs.ErrNotFound)
	}
	return content.Info{Digest: d, Size: info.Size(), CreatedAt: info.ModTime(), UpdatedAt: info.ModTime()}, nil
}

// Writer implements content.Store.
func (l *layout) Writer(_ context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	var o content.WriterOpts
	for _, opt := range opts {
		if err := opt(&o); err != nil {
			return nil, err
		}
	}
	d := o.Desc.Digest
	if err := checkDigest(d); err != nil {
		return nil, err
	}
	if _, err := os.Stat(l.blob(d)); err == nil || l.link(d) {
		return nil, fmt.Errorf("blob %s: %w", d, errdefs.ErrAlreadyExists)
	}
	f, err := os.CreateTemp(filepath.Join(l.dir, blobsDir), unfinished)
	if err != nil {
		return nil, err
	}
	return &blobWriter{file: f, to: l.blob(d), want: d, total: o.Desc.Size, digester: d.Algorithm().Digester(), began: time.Now()}, nil
}

func checkDigest(d digest.Digest) error {
	if err := d.Validate(); err != nil || d.Algorithm() != digest.SHA256 {
		return fmt.Errorf("blob %q: want a sha256 digest: %w", d, errdefs.ErrInvalidArgument)
	}
	return nil
}

// ReaderAt implements content.Store.
func (l *layout) ReaderAt(context.Context, ocispecs.Descriptor) (content.ReaderAt, error) {
	return nil, errWriteOnly()
}

// Walk implements content.Store.
func (l *layout) Walk(context.Context, content.WalkFunc, ...string) error { return errWriteOnly() }

// Update implements content.Store: labels are of no use in a layout.
func (l *layout) Update(_ context.Context, info content.Info, _ ...string) (content.Info, error) {
	return info, nil
}

// Delete implements content.Store.
func (l *layout) Delete(context.Context, digest.Digest) error { return errWriteOnly() }

// Status implements content.Store: nothing is taken up again.
func (l *layout) Status(context.Context, string) (content.Status, error) {
	return content.Status{}, errdefs.ErrNotFound
}

// ListStatuses implements content.Store.
func (l *layout) ListStatuses(context.Context, ...string) ([]content.Status, error) { return nil, nil }

// Abort implements content.Store.
func (l *layout) Abort(context.Context, string) error { return nil }

func errWriteOnly() error {
	return fmt.Errorf("this content store is for writing: %w", errdefs.ErrNotImplemented)
}

// blobWriter receives one blob, which appears when it is whole and what it should be.
type blobWriter struct {
	file     *os.File
	to       string
	want     digest.Digest
	total    int64
	offset   int64
	digester digest.Digester
	began    time.Time
}

var _ content.Writer = (*blobWriter)(nil)

func (w *blobWriter) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	w.digester.Hash().Write(p[:n])
	w.offset += int64(n)
	return n, err
}

func (w *blobWriter) Digest() digest.Digest { return w.digester.Digest() }

func (w *blobWriter) Status() (content.Status, error) {
	return content.Status{Offset: w.offset, Total: w.total, Expected: w.want, StartedAt: w.began, UpdatedAt: w.began}, nil
}

func (w *blobWriter) Truncate(size int64) error {
	if size != 0 {
		return fmt.Errorf("truncating blob %s to %d: %w", w.want, size, errdefs.ErrNotImplemented)
	}
	w.offset = 0
	w.digester.Hash().Reset()
	_, err := w.file.Seek(0, io.SeekStart)
	return errors.Join(err, w.file.Truncate(0))
}

func (w *blobWriter) Commit(_ context.Context, size int64, expected digest.Digest, _ ...content.Opt) error {
	if size > 0 && size != w.offset {
		return fmt.Errorf("blob %s: %d bytes came, want %d: %w", w.want, w.offset, size, errdefs.ErrFailedPrecondition)
	}
	if got := w.Digest(); got != w.want || (expected != "" && got != expected) {
		return fmt.Errorf("blob %s: what came is %s: %w", w.want, got, errdefs.ErrFailedPrecondition)
	}
	if err := errors.Join(w.file.Chmod(0o644), w.file.Close()); err != nil {
		return err
	}
	return os.Rename(w.file.Name(), w.to)
}

// Close ends a write that was not committed.
func (w *blobWriter) Close() error {
	_ = w.file.Close()
	if err := os.Remove(w.file.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
