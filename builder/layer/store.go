package layer

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/datalayer/conda2docker/conda/link"
)

// A segment is a folder of two files, which appears and vanishes as one.
const (
	blobFile  = "blob"
	indexFile = "index"
)

// index is what is kept beside a segment's blob.
type index struct {
	Format         int
	TarSize, Size  int64
	BlobSize       int64
	Digest, DiffID string
	Chunks         []int64
	Head           head
	Package        link.Package
	Places         []placed // of Package.Paths
}

func (c *Cache) segmentDir(id string) string { return filepath.Join(c.opts.Dir, segmentsDir, id) }

// loadSegment finds a segment in the cache; one that is not whole is as good as none.
func (c *Cache) loadSegment(id string, in Input) (Segment, bool) {
	dir := c.segmentDir(id)
	raw, err := os.ReadFile(filepath.Join(dir, indexFile))
	if err != nil {
		return Segment{}, false
	}
	ix, err := unmarshalIndex(raw)
	if err != nil {
		return Segment{}, false
	}
	s := ix.segment(id, in, filepath.Join(dir, blobFile))
	if !c.whole(s.blob.path, s.blob.size, s.blob.digest) {
		return Segment{}, false
	}
	touch(dir)
	return s, true
}

func (ix index) segment(id string, in Input, blobPath string) Segment {
	s := Segment{
		ID: id, Name: in.Record.Name, Dist: in.Record.Dist(), Prefix: in.Target.Prefix,
		TarSize: ix.TarSize, Size: ix.Size,
		Entries: make([]Entry, 0, len(ix.Places)),
		Package: ix.Package,
		blob: blob{
			path: blobPath, digest: digest.Digest(ix.Digest), diffID: digest.Digest(ix.DiffID),
			size: ix.BlobSize, chunks: ix.Chunks, head: ix.Head,
		},
		input: in,
	}
	for i, p := range ix.Places {
		if p.Offset != omitted {
			s.Entries = append(s.Entries, Entry{Path: &ix.Package.Paths[i], ModTime: time.Unix(p.ModTime, 0).UTC(), offset: p.Offset})
		}
	}
	return s
}

// makeSegment makes a package's segment.
func (c *Cache) makeSegment(ctx context.Context, id string, in Input) (Segment, error) {
	return c.storeSegment(id, in, func(w io.Writer) (index, error) { return c.write(ctx, in, w) })
}

// storeSegment has a segment written in a folder of its own, which is then moved to its place.
func (c *Cache) storeSegment(id string, in Input, write func(io.Writer) (index, error)) (_ Segment, err error) {
	tmp, err := os.MkdirTemp(filepath.Join(c.opts.Dir, segmentsDir), tempPrefix)
	if err != nil {
		return Segment{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	var ix index
	err = writeFile(filepath.Join(tmp, blobFile), func(w io.Writer) (err error) {
		ix, err = write(w)
		return err
	})
	if err != nil {
		return Segment{}, err
	}
	if err := writeFile(filepath.Join(tmp, indexFile), ix.write); err != nil {
		return Segment{}, err
	}
	return c.installSegment(tmp, id, in, ix)
}

// installSegment moves a new segment to its place. If something is there by now, it is another process's equal segment, or
// the broken one that this one replaces.
func (c *Cache) installSegment(tmp, id string, in Input, ix index) (Segment, error) {
	dir := c.segmentDir(id)
	for range 3 {
		err := os.Rename(tmp, dir)
		if err == nil {
			return ix.segment(id, in, filepath.Join(dir, blobFile)), nil
		}
		if !errors.Is(err, os.ErrExist) {
			return Segment{}, err
		}
		if s, ok := c.loadSegment(id, in); ok {
			return s, nil
		}
		if err := os.RemoveAll(dir); err != nil {
			return Segment{}, err
		}
	}
	return Segment{}, fmt.Errorf("%s: other processes keep writing it", dir)
}

// write writes structs as arrays: half the size, and the format version says which fields there are.
func (ix index) write(w io.Writer) error {
	h := sha256.New()
	buffered := bufio.NewWriter(io.MultiWriter(w, h))
	enc := msgpack.NewEncoder(buffered)
	enc.UseArrayEncodedStructs(true)
	if err := errors.Join(enc.Encode(ix), buffered.Flush()); err != nil {
		return fmt.Errorf("writing the index: %w", err)
	}
	_, err := w.Write(h.Sum(nil))
	return err
}

// sealed is what the cache notes of a blob, with its checksum: what is damaged on disk is made again, not believed.
func sealed(note []byte) []byte {
	sum := sha256.Sum256(note)
	return append(note, sum[:]...)
}

// unsealed is the note, if it is as it was written.
func unsealed(raw []byte) ([]byte, bool) {
	at := len(raw) - sha256.Size
	if at < 0 {
		return nil, false
	}
	sum := sha256.Sum256(raw[:at])
	return raw[:at:at], bytes.Equal(sum[:], raw[at:])
}

func unmarshalIndex(raw []byte) (index, error) {
	note, ok := unsealed(raw)
	if !ok {
		return index{}, errors.New("reading the index: it is damaged")
	}
	var ix index
	if err := msgpack.Unmarshal(note, &ix); err != nil {
		return index{}, fmt.Errorf("reading the index: %w", err)
	}
	if ix.Format != formatVersion || len(ix.Places) != len(ix.Package.Paths) || ix.Head.Chunks < 0 || ix.Head.Chunks > len(ix.Chunks) {
		return index{}, fmt.Errorf("reading the index: it is not of format %d, or not whole", formatVersion)
	}
	return ix, nil
}

// whole reports whether a blob is what it should be, as far as the options want that checked.
func (c *Cache) whole(path string, size int64, want digest.Digest) bool {
	if !there(path, size) {
		return false
	}
	if !c.opts.Verify {
		return true
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return err == nil && digest.NewDigest(digest.SHA256, h) == want
}

// there reports whether a blob is a file of its size.
func there(path string, size int64) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.Mode().IsRegular() && fi.Size() == size
}

// touch marks an entry as used now. It is not worth an error: the entry may have been pruned, or belong to someone else.
func touch(path string) {
	now := time.Now()
	_ = os.Chtimes(path, now, now)
}

// writeFile writes a new file.
func writeFile(path string, write func(io.Writer) error) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return write(f)
}

// install writes a file under a temporary name and moves it to the one that write tells when it is done.
func install(dir string, write func(io.Writer) (name string, err error)) (err error) {
	f, err := os.CreateTemp(dir, tempPrefix)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	name, err := write(f)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(dir, name))
}
