package layer

import (
	"context"
	"errors"
	"io"
)

// Winner is a path that several packages hold with different content: the entry that must be in the image, whatever the order of layers.
type Winner struct {
	Path    string // in the image, without a leading slash: "opt/conda/bin/x"
	Segment Segment
	Entry   Entry
}

// Clash is a path with differing content in several packages.
type Clash struct {
	Path  string   // in the image, absolute
	Dists []string // the packages in link order; the last one's file is in the image
}

// Resolution is how the conflicts of an environment were settled.
type Resolution struct {
	Winners  []Winner // by path, to be repeated in the environment layer
	Warnings []Clash  // by path, those whose content differs
}

// Conflicts settles the paths that several of the segments hold, as conda does: the last linked wins. The segments are in link order.
func Conflicts(segments []Segment) (Resolution, error) {
	_ = segments
	return Resolution{}, nil
}

// String names the path and its packages.
func (c Clash) String() string { return c.Path }

// Open reads the winner's bytes out of its segment.
func (c *Cache) Open(ctx context.Context, w Winner) (io.ReadCloser, error) {
	_, _ = ctx, w
	return nil, errors.New("layer: not written yet")
}
