package layer

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	_ "embed" // the program that compiles
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/datalayer/conda2docker/conda/link"
)

//go:embed compile.py
var compileProgram []byte

// CompileProgram is the program that compiles: python -S -s -B PROGRAM SOURCES FOLDER, with PYTHONHASHSEED=0, for the sources
// that Sources writes. What it puts in the folder, one file behind the other in any order, is what AddBytecode reads.
func CompileProgram() []byte { return slices.Clone(compileProgram) }

// Compiler is the python that packages' files are compiled with: the sha256 of its package's archive, in hex. The same files
// compiled with the same python are the same bytes, whatever else is compiled with them.
type Compiler string

// bytecode is what only segments of compiled files have.
type bytecode struct {
	sources map[string]string // path → what it was compiled from; both are relative to the prefix
}

// bytecodeID is the hash of everything that the compiled files of a package depend on.
func (c *Cache) bytecodeID(in Input, by Compiler) string {
	in.Target, in.omit = in.target(), nil
	key := fmt.Sprintf("bytecode of %s by %s with %x, %d files at a time\n", c.segmentID(in), strings.ToLower(string(by)), sha256.Sum256(compileProgram), compiledTogether)
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// HasBytecode reports whether the cache has what a package's files were compiled to, as far as can be told without looking into
// it. The package itself need not be there.
func (c *Cache) HasBytecode(in Input, by Compiler) bool {
	_, err := os.Stat(filepath.Join(c.segmentDir(c.bytecodeID(in, by)), indexFile))
	return err == nil
}

// Bytecode finds in the cache what the files of a package's segment were compiled to, as a segment of its own. For Settle and
// Groups it stands directly behind the package's. A package that compiles nothing has none, and an empty one is found.
func (c *Cache) Bytecode(ctx context.Context, s Segment, by Compiler) (Segment, bool, error) {
	if len(s.Package.Compiles()) == 0 {
		return newBytecode(Segment{Name: s.Name, Dist: s.Dist, Prefix: s.Prefix, input: s.input}), true, nil
	}
	id := c.bytecodeID(s.input, by)
	release, err := c.alone(ctx, id)
	if err != nil {
		return Segment{}, false, err
	}
	defer release()
	found, ok := c.loadSegment(id, s.input)
	return newBytecode(found), ok, nil
}

// newBytecode makes a segment that was read or written one of compiled files.
func newBytecode(s Segment) Segment {
	s.bytecode = &bytecode{sources: map[string]string{}}
	for _, b := range s.Package.Bytecode {
		s.bytecode.sources[b.Path] = b.Source
	}
	return s
}

// AddBytecode keeps what the files of packages were compiled to: what CompileProgram made of what Sources wrote of the same
// packages' segments. What does not compile is left out.
func (c *Cache) AddBytecode(ctx context.Context, packages []Segment, by Compiler, compiled io.ReaderAt, size int64) ([]Segment, error) {
	bodies, err := readCompiled(compiled, size, countFiles(packages))
	if err != nil {
		return nil, fmt.Errorf("reading what python compiled: %w", err)
	}
	out := make([]Segment, len(packages))
	for i, s := range packages {
		if out[i], err = c.addBytecode(ctx, s, by, bodies[:len(s.Package.Compiles())]); err != nil {
			return nil, fmt.Errorf("making the segment of the compiled files of %s: %w", s.Dist, err)
		}
		bodies = bodies[len(s.Package.Compiles()):]
	}
	return out, nil
}

func (c *Cache) addBytecode(ctx context.Context, s Segment, by Compiler, bodies []*io.SectionReader) (Segment, error) {
	times := map[string]time.Time{}
	for _, e := range s.Entries {
		times[e.Path.Path] = e.ModTime
	}
	var files []compiledFile
	for i, b := range s.Package.Compiles() {
		if bodies[i] != nil {
			files = append(files, compiledFile{Bytecode: b, time: times[b.Source], size: bodies[i].Size(), body: bodies[i]})
		}
	}
	slices.SortFunc(files, func(a, b compiledFile) int { return strings.Compare(a.Path, b.Path) })
	return c.makeBytecode(ctx, c.bytecodeID(s.input, by), s.input, func(out io.Writer) (index, error) {
		return c.writeBytecode(ctx, out, s.Prefix, files, func(write func(io.Reader) error) error {
			for _, f := range files {
				if err := write(f.body); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// withoutBytecode is a segment of compiled files without some of them.
func (c *Cache) withoutBytecode(ctx context.Context, s Segment, paths []string) (Segment, error) {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s without %q", s.ID, paths))
	id := hex.EncodeToString(sum[:])
	if found, ok := c.loadSegment(id, s.input); ok {
		return newBytecode(found), nil
	}
	var files []compiledFile
	kept := map[string]bool{}
	for _, e := range s.Entries {
		if at := e.Path.Path; !slices.Contains(paths, at) {
			kept[s.imagePath(at)] = true
			files = append(files, compiledFile{
				Bytecode: link.Bytecode{Source: s.bytecode.sources[at], Path: at}, time: e.ModTime, size: e.Size,
			})
		}
	}
	return c.makeBytecode(ctx, id, s.input, func(out io.Writer) (index, error) {
		return c.writeBytecode(ctx, out, s.Prefix, files, func(write func(io.Reader) error) error {
			return c.wholeLayer(s).Walk(func(h *tar.Header, r io.Reader) error {
				if !kept[h.Name] {
					return nil
				}
				return write(r)
			})
		})
	})
}

func (c *Cache) makeBytecode(ctx context.Context, id string, in Input, write func(io.Writer) (index, error)) (Segment, error) {
	release, err := c.alone(ctx, id)
	if err != nil {
		return Segment{}, err
	}
	defer release()
	s, err := c.storeSegment(id, in, write)
	return newBytecode(s), err
}

// compiledFile is a file of a segment of compiled files.
type compiledFile struct {
	link.Bytecode

	time time.Time // its source's
	size int64
	body io.Reader
}

// writeBytecode writes files, which are sorted by path, as a segment; bodies hands their bytes on, in that order.
func (c *Cache) writeBytecode(ctx context.Context, out io.Writer, prefix string, files []compiledFile, bodies func(func(io.Reader) error) error) (index, error) {
	ch := newChunker(c.press, out)
	defer ch.abort()
	tw := newTarWriter(ch)
	inImage := func(p string) string { return path.Join(prefix, p)[1:] }
	ix := index{Format: formatVersion, Package: link.Package{Prefix: prefix}}
	for _, f := range files {
		if err := tw.folder(path.Dir(inImage(f.Path))); err != nil {
			return index{}, err
		}
		ix.Package.Bytecode = append(ix.Package.Bytecode, f.Bytecode)
	}
	ix.Head.TarSize = tw.offset.n
	var err error
	if ix.Head.Chunks, err = ch.cut(); err != nil {
		return index{}, err
	}
	err = bodies(func(r io.Reader) error {
		f := files[len(ix.Places)]
		sum := sha256.New()
		p := link.Path{Path: f.Path, Type: link.Regular, Mode: 0o644, Size: f.size}
		offset, err := tw.linked(inImage(f.Path), link.File{Path: f.Path, Type: p.Type, Mode: p.Mode, ModTime: f.time, Size: f.size},
			io.TeeReader(contextReader{ctx, r}, sum), "")
		p.SHA256 = hex.EncodeToString(sum.Sum(nil))
		ix.Package.Paths = append(ix.Package.Paths, p)
		ix.Places = append(ix.Places, placed{ModTime: tarTime(f.time).Unix(), Offset: offset})
		return err
	})
	if err == nil && len(ix.Places) != len(files) {
		err = fmt.Errorf("%d of %d files are there", len(ix.Places), len(files))
	}
	if err = errors.Join(err, tw.flush()); err != nil {
		return index{}, err
	}
	done, err := ch.close()
	ix.TarSize, ix.Size, ix.BlobSize, ix.Chunks = done.tarSize, done.packedSize, done.size, done.chunks
	ix.Digest, ix.DiffID = done.digest.String(), done.diffID.String()
	return ix, err
}
