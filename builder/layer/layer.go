// Package layer turns packages into image layers, each made once: a deterministic compressed tar segment per package in a
// content-addressed cache, groups of segments that become layers without compressing again, and one last layer for what depends
// on the whole environment. No layer has a path twice.
//
// A package takes less than 64 MiB of memory while its segment is made: 45 MiB at 2 GiB, 58 MiB at 50,000 files (each file takes
// half a KiB, since what it became is what Segment tells: 100,000 files take 82 MiB). On top of that comes what its decompression
// asks for beyond zstd's usual 8 MiB, at most 128 MiB more (archive.Limits.Window), for one package at a time.
package layer

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/datalayer/conda2docker/conda/archive"
	"github.com/datalayer/conda2docker/conda/link"
)

// formatVersion goes into the key of everything that the cache holds. It must change whenever the bytes of a segment may: with
// this package's tar and compression, with the compressor's own version, with what conda/link hands out, and with the fields
// of link.Package. Golden tests hold it to the bytes.
const formatVersion = 3

// Compression is how layers are compressed.
type Compression string

// The compressions that layers may have.
const (
	Gzip Compression = "gzip" // understood everywhere
	Zstd Compression = "zstd" // smaller at the same speed; needs containerd 1.5 or Docker 23
)

// Options tells how segments are made and where they are kept.
type Options struct {
	Dir         string      // the cache's root; segments/ and layers/ are below it
	Compression Compression // Gzip by default
	Level       int         // on the compressor's own scale: 1 to 9 for gzip, 1 to 22 for zstd; 3 by default
	Parallel    int         // chunks that are compressed at once, over all segments; the number of processors by default
	Verify      bool        // check the sha256 of cached blobs before each use, not only their sizes
	Linker      link.Linker // limits on what a package may hold
}

// Cache makes segments and layers, and keeps them. It is safe for concurrent use, also by several processes on one folder:
// those may do the same work twice, with the same bytes as result. Every entry may vanish at any time and is made again when
// it is needed; each use touches the entry's modification time.
type Cache struct {
	opts   Options
	codec  codec
	press  *press
	making sync.Map // name of an entry → chan struct{}: one maker per entry in this process
}

const (
	segmentsDir = "segments"
	layersDir   = "layers"
	tempPrefix  = ".tmp-"
)

// Open opens the cache at o.Dir, which is made if needed.
func Open(o Options) (*Cache, error) {
	if o.Dir == "" {
		return nil, errors.New("opening the layer cache: no directory given")
	}
	if o.Parallel <= 0 {
		o.Parallel = runtime.GOMAXPROCS(0)
	}
	cd, err := newCodec(o.Compression, o.Level)
	if err != nil {
		return nil, fmt.Errorf("opening the layer cache: %w", err)
	}
	for _, d := range []string{segmentsDir, layersDir} {
		if err := os.MkdirAll(filepath.Join(o.Dir, d), 0o755); err != nil {
			return nil, fmt.Errorf("opening the layer cache: %w", err)
		}
	}
	if o.Linker.Decoders == nil {
		o.Linker.Decoders = &archive.Decoders{}
	}
	return &Cache{opts: o, codec: cd, press: newPress(cd, o.Parallel)}, nil
}

// alone waits until no one else in this process makes the entry of that name.
func (c *Cache) alone(ctx context.Context, name string) (release func(), err error) {
	v, _ := c.making.LoadOrStore(name, make(chan struct{}, 1))
	ch, ok := v.(chan struct{})
	if !ok {
		return nil, fmt.Errorf("lock of %s: unexpected %T", name, v)
	}
	select {
	case ch <- struct{}{}:
		return func() { <-ch }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Layer is a finished layer blob on disk.
type Layer struct {
	Digest    digest.Digest // of the blob
	DiffID    digest.Digest // of the tar inside it
	Size      int64         // of the blob
	MediaType string        // OCI's, gzip or zstd
	Path      string        // the blob's file
	Name      string        // what it holds, for people: the image's history
}

// Open reads the layer's tar, decompressed.
func (l Layer) Open() (io.ReadCloser, error) {
	f, err := os.Open(l.Path)
	if err != nil {
		return nil, fmt.Errorf("opening layer %s: %w", l.Digest, err)
	}
	cd := codec{kind: Gzip}
	if l.MediaType == specs.MediaTypeImageLayerZstd {
		cd.kind = Zstd
	}
	z, err := cd.reader(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening layer %s: %w", l.Digest, err), f.Close())
	}
	return &stacked{Reader: z, closers: []io.Closer{z, f}}, nil
}

// Walk calls fn for each entry of the layer's tar; the reader is valid during the call only.
func (l Layer) Walk(fn func(*tar.Header, io.Reader) error) error {
	r, err := l.Open()
	if err != nil {
		return err
	}
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return r.Close()
		}
		if err == nil {
			err = fn(h, tr)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("reading layer %s (%s): %w", l.Digest, l.Name, err), r.Close())
		}
	}
}

// stacked is a reader on top of others, which are closed with it.
type stacked struct {
	io.Reader
	closers []io.Closer
}

func (s *stacked) Close() error {
	errs := make([]error, 0, len(s.closers))
	for _, c := range s.closers {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
