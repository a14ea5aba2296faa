package layer

import (
	"context"
	"errors"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/link"
)

// Input is a package to make a segment of.
type Input struct {
	Record        *conda.Record
	ArchivePath   string
	ArchiveSHA256 string // lower-case hex, already checked
	Target        link.Target
}

// Segment is one package's part of a layer: a compressed tar without its end. Segments do not change.
type Segment struct {
	ID      string            // its key in the cache, hex
	Name    conda.PackageName // the package's
	Dist    string            // the package's name-version-build
	Prefix  string            // where the files are, "/opt/conda"
	TarSize int64             // bytes of the tar, without the end-of-archive blocks
	Size    int64             // bytes of the segment, compressed
	Entries []Entry           // what it puts in the prefix, by path; directories that only lead to others are not listed
	Package link.Package      // what conda-meta wants to know

	blob blob
}

// Entry is a path of a segment.
type Entry struct {
	link.Path
	ModTime time.Time // whole seconds
}

type blob struct {
	path           string
	digest, diffID digest.Digest // of the segment with its end: a layer of its own
	size           int64         // with its end
}

// Event tells that a segment is there.
type Event struct {
	Segment     Segment
	Cached      bool // it was there before
	Done, Total int
}

// Segment makes the package's segment, or finds it in the cache.
func (c *Cache) Segment(ctx context.Context, in Input) (Segment, error) {
	_, _ = ctx, in
	return Segment{}, errors.New("layer: not written yet")
}

// Segments makes the segments of all inputs, at most parallel at once (the number of processors when 0), in the order of the inputs. Calls of progress do not overlap;
// it may be nil. The first error cancels the rest.
func (c *Cache) Segments(ctx context.Context, inputs []Input, parallel int, progress func(Event)) ([]Segment, error) {
	_, _, _, _ = ctx, inputs, parallel, progress
	return nil, errors.New("layer: not written yet")
}
