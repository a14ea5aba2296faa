// Package layer turns packages into image layers, each made once: a deterministic compressed tar segment per package in a
// content-addressed cache, groups of segments that become layers without compressing again, and one last layer for what depends
// on the whole environment.
package layer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/datalayer/conda2docker/conda/link"
)

// formatVersion goes into the key of everything that the cache holds. It must change whenever the bytes of a segment may: with
// this package's tar and compression, with the compressor's own version, with what conda/link hands out. A golden
// test holds it to the bytes.
const formatVersion = 1

// Compression is how layers are compressed.
type Compression string

// The compressions that images may have.
const (
	Gzip Compression = "gzip" // understood everywhere
	Zstd Compression = "zstd" // smaller and faster; needs containerd 1.5, Docker 23
)

// Options tells how segments are made and where they are kept.
type Options struct {
	Dir         string      // the cache's root; segments/ and layers/ are below it
	Compression Compression // Gzip by default
	Level       int         // the compressor's own scale, 1 to 9 for gzip and 1 to 22 for zstd; 0 is the default
	Parallel    int         // chunks that are compressed at once over all segments; the number of processors by default
	Verify      bool        // check the sha256 of cached blobs before each use, not only their sizes
	Linker      link.Linker // limits on what a package may hold
}

// Cache makes segments and layers, and keeps them. It is safe for concurrent use, also by several processes on one folder.
// Every entry may vanish at any time and is made again when it is needed; each use touches the entry's modification time.
type Cache struct {
	opts   Options
	codec  codec
	tokens chan struct{} // bounds the compression that goes on at once
	making sync.Map      // entry name → chan struct{}: one maker per entry in this process
}

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
		return nil, err
	}
	for _, d := range []string{segmentsDir, layersDir} {
		if err := os.MkdirAll(filepath.Join(o.Dir, d), 0o755); err != nil {
			return nil, fmt.Errorf("opening the layer cache: %w", err)
		}
	}
	return &Cache{opts: o, codec: cd, tokens: make(chan struct{}, o.Parallel)}, nil
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

const (
	segmentsDir = "segments"
	layersDir   = "layers"
)

// codec is a compressor with its level.
type codec struct {
	kind  Compression
	level int
}

const (
	defaultGzipLevel = 3
	defaultZstdLevel = 3
)

func newCodec(kind Compression, level int) (codec, error) {
	switch kind {
	case "", Gzip:
		if level == 0 {
			level = defaultGzipLevel
		}
		if level < 1 || level > 9 {
			return codec{}, fmt.Errorf("gzip level %d: want 1 to 9", level)
		}
		return codec{Gzip, level}, nil
	case Zstd:
		if level == 0 {
			level = defaultZstdLevel
		}
		if level < 1 || level > 22 {
			return codec{}, fmt.Errorf("zstd level %d: want 1 to 22", level)
		}
		return codec{Zstd, int(zstd.EncoderLevelFromZstd(level))}, nil
	default:
		return codec{}, fmt.Errorf("layer compression %q: want gzip or zstd", kind)
	}
}

func (c codec) mediaType() string {
	if c.kind == Zstd {
		return specs.MediaTypeImageLayerZstd
	}
	return specs.MediaTypeImageLayerGzip
}
