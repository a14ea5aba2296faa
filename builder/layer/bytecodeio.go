package layer

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/datalayer/conda2docker/conda/link"
)

// compiledTogether is how many files of a package one process compiles. Files of other packages have no part in that. With 64,
// what new processes cost is a third on top.
const compiledTogether = 512

// sources writes what CompileProgram reads: for each file a line with its number, that of its chunk, its time, and the sizes of
// what follows, which are its path and its content.
type sources struct {
	w             io.Writer
	chunk, filled int // filled is how many files the chunk has
}

// Sources writes the python files of packages' segments for CompileProgram. The packages' files are numbered in the order of
// Package.Compiles, the next package's after the one's.
func (c *Cache) Sources(ctx context.Context, packages []Segment, w io.Writer) error {
	buffered := bufio.NewWriter(w)
	out := &sources{w: buffered}
	first := 0
	for _, s := range packages {
		if err := c.sources(ctx, s, first, out); err != nil {
			return fmt.Errorf("collecting the python files of %s: %w", s.Dist, err)
		}
		first += len(s.Package.Compiles())
	}
	return buffered.Flush()
}

// sources writes a package's files: regular ones in the order of its segment, then those that are links.
func (c *Cache) sources(ctx context.Context, s Segment, first int, out *sources) error {
	s, err := c.present(ctx, s)
	if err != nil {
		return err
	}
	out.chunk, out.filled = out.chunk+1, 0
	number := map[string]int{}
	for i, b := range s.Package.Compiles() {
		number[s.imagePath(b.Source)] = first + i
	}
	err = c.wholeLayer(s).Walk(func(h *tar.Header, r io.Reader) error {
		n, ok := number[h.Name]
		if !ok || h.Typeflag != tar.TypeReg {
			return ctx.Err()
		}
		delete(number, h.Name)
		return out.file(n, h.ModTime, "/"+h.Name, h.Size, r)
	})
	if err != nil {
		return err
	}
	for i, b := range s.Package.Compiles() {
		if _, left := number[s.imagePath(b.Source)]; left {
			if err := c.linkedSource(ctx, s, b.Source, first+i, out); err != nil {
				return err
			}
		}
	}
	return nil
}

// linkedSource writes a file that is a link to one of its package's, which others are not.
func (c *Cache) linkedSource(ctx context.Context, s Segment, source string, number int, out *sources) error {
	e, ok := s.Find(source)
	for range maxHops {
		if ok && e.Type == link.Symlink {
			e, ok = s.Find(path.Join(path.Dir(e.Path.Path), e.Link))
		}
	}
	name := path.Join(s.Prefix, source)
	if !ok || e.Type != link.Regular && e.Type != link.Hardlink {
		return out.file(number, time.Time{}, name, 1, strings.NewReader("?")) // which does not compile
	}
	r, err := c.Open(ctx, s, e)
	if err != nil {
		return err
	}
	return errors.Join(out.file(number, e.ModTime, name, e.Size, r), r.Close())
}

func (o *sources) file(number int, t time.Time, name string, size int64, body io.Reader) error {
	if o.filled == compiledTogether {
		o.chunk, o.filled = o.chunk+1, 0
	}
	o.filled++
	if _, err := fmt.Fprintf(o.w, "%d %d %d %d %d\n%s", number, o.chunk, tarTime(t).Unix(), len(name), size, name); err != nil {
		return err
	}
	n, err := io.Copy(o.w, body)
	if err == nil && n != size {
		err = fmt.Errorf("%s has %d bytes where %d were announced", name, n, size)
	}
	return err
}

func countFiles(packages []Segment) int {
	n := 0
	for _, s := range packages {
		n += len(s.Package.Compiles())
	}
	return n
}

// readCompiled finds in what CompileProgram wrote the files by their numbers; those that do not compile are nil.
func readCompiled(r io.ReaderAt, size int64, files int) ([]*io.SectionReader, error) {
	found, seen := make([]*io.SectionReader, files), 0
	at := &counter{w: io.Discard}
	in := bufio.NewReader(io.NewSectionReader(r, 0, size))
	for {
		line, err := in.ReadString('\n')
		if errors.Is(err, io.EOF) && line == "" {
			break
		}
		at.n += int64(len(line))
		var number int
		var length int64
		if _, scanErr := fmt.Sscanf(line, "%d %d\n", &number, &length); err != nil || scanErr != nil {
			return nil, fmt.Errorf("line %q: want a file's number and size", line)
		}
		if number < 0 || number >= files || found[number] != nil || length < -1 || length > size-at.n {
			return nil, fmt.Errorf("line %q: there is no such file, or it is there twice or cut short", line)
		}
		seen++
		if length < 0 {
			continue
		}
		found[number] = io.NewSectionReader(r, at.n, length)
		if _, err := io.CopyN(at, in, length); err != nil {
			return nil, err
		}
	}
	if seen != files {
		return nil, fmt.Errorf("%d of %d files were compiled", seen, files)
	}
	return found, nil
}
