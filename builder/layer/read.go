package layer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/datalayer/conda2docker/conda/link"
)

// Find is the entry at a path, which is relative to the prefix.
func (s Segment) Find(path string) (Entry, bool) {
	for _, e := range s.Entries {
		if e.Path.Path == path {
			return e, true
		}
	}
	return Entry{}, false
}

// Open reads the bytes of one of a segment's regular files or hard links, without reading what comes before it.
func (c *Cache) Open(ctx context.Context, s Segment, e Entry) (io.ReadCloser, error) {
	s, e, err := c.content(ctx, s, e)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(s.blob.path)
	if err != nil {
		return nil, fmt.Errorf("segment of %s: %w", s.Dist, err)
	}
	start, offset := s.blob.headSize(), e.offset-s.blob.head.TarSize
	for _, size := range s.blob.chunks[s.blob.head.Chunks:][:offset/chunkSize] {
		start += size
	}
	z, err := c.codec.reader(contextReader{ctx, io.NewSectionReader(f, start, s.Size-start)})
	if err == nil {
		_, err = io.CopyN(io.Discard, z, offset%chunkSize)
	}
	if err != nil {
		return nil, errors.Join(&brokenError{s, err}, f.Close())
	}
	return &stacked{Reader: io.LimitReader(z, e.Size), closers: []io.Closer{z, f}}, nil
}

// content is the segment, made again if it has vanished, and the regular file whose bytes an entry has.
func (c *Cache) content(ctx context.Context, s Segment, e Entry) (Segment, Entry, error) {
	s, err := c.present(ctx, s)
	if err != nil {
		return Segment{}, Entry{}, err
	}
	at := e.Path.Path
	for range s.Entries { // looked up, because the entry may be of the segment that was there before
		found, ok := s.Find(at)
		switch {
		case !ok:
			return Segment{}, Entry{}, fmt.Errorf("segment of %s: it has no %s", s.Dist, at)
		case found.Type == link.Regular:
			return s, found, nil
		case found.Type != link.Hardlink:
			return Segment{}, Entry{}, fmt.Errorf("segment of %s: %s has no content: it is a %s", s.Dist, at, found.Type)
		}
		at = found.Link
	}
	return Segment{}, Entry{}, fmt.Errorf("segment of %s: %s is a hard link to itself", s.Dist, e.Path.Path)
}
