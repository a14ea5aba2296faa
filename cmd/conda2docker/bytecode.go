package main

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/datalayer/conda2docker/builder/graph"
	"github.com/datalayer/conda2docker/builder/layer"
	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/fetch"
	"github.com/datalayer/conda2docker/conda/link"
)

// Where the step that compiles finds what it is given.
const (
	compileProgramPath = "/run/conda2docker/compile.py"
	compileSourcesPath = "/run/conda2docker/sources"
)

// withBytecode says whether the files of noarch python packages are compiled, as conda does.
func (b *build) withBytecode() bool {
	return !b.options.NoBytecode && (b.settings.Bytecode == nil || *b.settings.Bytecode)
}

// cannotCompile says what compiling lacks, of a package that needs it.
func cannotCompile(dist string, lacking error) error {
	return fmt.Errorf("the python files of %s are to be compiled, by the image's own python: %w; "+
		"or build with --no-bytecode, which leaves it to python to compile them whenever it starts", dist, lacking)
}

// canCompile says before anything is fetched what compiling would lack, where the channels' records tell that it will be needed:
// of a noarch python package that was not compiled before.
func (b *build) canCompile(cache *layer.Cache, env resolved) error {
	if !b.withBytecode() {
		return nil
	}
	lacking := b.needRuntime()
	python := recordOf(env.records, "python")
	if lacking == nil || python == nil || python.SHA256 == "" {
		return nil
	}
	target := b.linkTarget(env)
	for _, r := range env.records {
		in := layer.Input{Record: r, ArchiveSHA256: r.SHA256, Target: target}
		if r.NoArch == conda.NoArchPython && r.SHA256 != "" && !cache.HasBytecode(in, layer.Compiler(python.SHA256)) {
			return cannotCompile(r.Dist(), lacking)
		}
	}
	return nil
}

func recordOf(records []*conda.Record, name conda.PackageName) *conda.Record {
	i := slices.IndexFunc(records, func(r *conda.Record) bool { return r.Name == name })
	if i < 0 {
		return nil
	}
	return records[i]
}

// compilation is what an environment's python packages are compiled with.
type compilation struct {
	*build

	stage    *stage
	cache    *layer.Cache
	env      resolved
	segments []layer.Segment // of env.records
	compiler layer.Compiler
}

// bytecode gives for each of the environment's segments that of its compiled files. What was compiled before is taken from the
// cache; all the rest is compiled in one step.
func (b *build) bytecode(ctx context.Context, s *stage, cache *layer.Cache, env resolved, segments []layer.Segment, archives []fetch.Archive) ([]layer.Segment, error) {
	python := slices.IndexFunc(env.records, func(r *conda.Record) bool { return r.Name == "python" })
	if python < 0 || !b.withBytecode() {
		return nil, nil
	}
	c := compilation{build: b, stage: s, cache: cache, env: env, segments: segments, compiler: layer.Compiler(archives[python].SHA256)}
	out, missing, err := c.find(ctx)
	if err != nil || len(missing) == 0 {
		return out, err
	}
	packages := make([]layer.Segment, len(missing))
	for i, at := range missing {
		packages[i] = segments[at]
	}
	if err := b.needRuntime(); err != nil {
		return nil, cannotCompile(packages[0].Dist, err)
	}
	made, err := c.make(ctx, packages)
	if err != nil {
		if ctx.Err() == nil {
			err = cannotCompile(packages[0].Dist, err)
		}
		return nil, err
	}
	for i, at := range missing {
		out[at] = made[i]
	}
	return out, nil
}

// find looks for what was compiled before, and tells the numbers of those that were not.
func (c *compilation) find(ctx context.Context) (found []layer.Segment, missing []int, err error) {
	found = make([]layer.Segment, len(c.segments))
	there := make([]bool, len(c.segments))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, s := range c.segments {
		g.Go(func() (err error) {
			found[i], there[i], err = c.cache.Bytecode(ctx, s, c.compiler)
			return err
		})
	}
	err = g.Wait()
	for i, ok := range there {
		if !ok {
			missing = append(missing, i)
		}
	}
	return found, missing, err
}

// make compiles packages, in a root that has python and what it depends on, and nothing of theirs.
func (c *compilation) make(ctx context.Context, packages []layer.Segment) (_ []layer.Segment, err error) {
	dir, err := os.MkdirTemp(filepath.Join(c.settings.Cache.Dir, "segments"), ".tmp-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	sources := filepath.Join(dir, "sources")
	if err := writeTo(sources, func(w io.Writer) error { return c.cache.Sources(ctx, packages, w) }); err != nil {
		return nil, err
	}
	root, err := c.root(ctx)
	if err != nil {
		return nil, err
	}
	step := graph.Step{
		Name: fmt.Sprintf("compile the python files of %d packages", len(packages)),
		Args: []string{
			prefix + "/bin/python", "-W", "ignore", "-S", "-s", "-B", compileProgramPath, compileSourcesPath, graph.OutputDir,
		},
		Env:      []string{"PYTHONHASHSEED=0", "LANG=C.UTF-8"},
		ReadOnly: true,
		Files:    []graph.File{{Path: compileProgramPath, Body: layer.CompileProgram()}, {Path: compileSourcesPath, Source: sources}},
	}
	compiled := filepath.Join(dir, "compiled")
	err = writeTo(compiled, func(w io.Writer) error {
		return c.execute(ctx, c.stage, execution{base: c.env.target.base, layers: root, steps: []graph.Step{step}}, func(h *tar.Header, r io.Reader) error {
			if h.Typeflag != tar.TypeReg {
				return nil
			}
			_, err := io.Copy(w, r)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	f, err := os.Open(compiled)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return c.cache.AddBytecode(ctx, packages, c.compiler, f, info.Size())
}

func writeTo(file string, write func(io.Writer) error) (err error) {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	buffered := bufio.NewWriterSize(f, 1<<20)
	return errors.Join(write(buffered), buffered.Flush())
}

// root is the layers that python needs to start: each package's own, which are there already.
func (c *compilation) root(ctx context.Context) ([]layer.Layer, error) {
	needed := closure(c.env.records, "python")
	var segments []layer.Segment
	for i, r := range c.env.records {
		if needed[r.Name] {
			segments = append(segments, c.segments[i])
		}
	}
	segments, conflicts, err := c.cache.Settle(ctx, segments)
	if err != nil {
		return nil, err
	}
	var groups []layer.Group
	for _, s := range segments {
		if s.TarSize > 0 {
			groups = append(groups, layer.Group{Name: s.Dist, Segments: []layer.Segment{s}})
		}
	}
	layers, err := c.cache.Layers(ctx, groups, 0)
	if err != nil || len(conflicts.Winners) == 0 {
		return layers, err
	}
	last, err := c.cache.Environment(ctx, layer.Environment{Prefix: prefix, Winners: conflicts.Winners, Name: "files of several packages"})
	return append(layers, last), err
}

// closure is a package and what it depends on, but for python packages, which are no programs.
func closure(records []*conda.Record, name conda.PackageName) map[conda.PackageName]bool {
	out := map[conda.PackageName]bool{}
	for next := []conda.PackageName{name}; len(next) > 0; next = next[1:] {
		r := recordOf(records, next[0])
		if r == nil || out[r.Name] || r.NoArch == conda.NoArchPython {
			continue
		}
		out[r.Name] = true
		for _, d := range r.Depends {
			next = append(next, conda.DependencyName(d))
		}
	}
	return out
}

// behind puts each package's compiled files behind it, where there are some.
func behind(segments, compiled []layer.Segment) []layer.Segment {
	if compiled == nil {
		return segments
	}
	out := make([]layer.Segment, 0, 2*len(segments))
	for i := range segments {
		out = append(out, segments[i], compiled[i])
	}
	return out
}

// apart undoes behind.
func apart(both []layer.Segment, compiled []layer.Segment) (segments, code []layer.Segment) {
	if compiled == nil {
		return both, nil
	}
	for i := 0; i < len(both); i += 2 {
		segments, code = append(segments, both[i]), append(code, both[i+1])
	}
	return segments, code
}

// uncompiled says how many files python could not compile, for the stage's line.
func uncompiled(segments, compiled []layer.Segment) string {
	all, there := 0, 0
	for i := range compiled {
		all += len(segments[i].Package.Compiles())
		there += len(compiled[i].Entries)
	}
	if all == there {
		return ""
	}
	return fmt.Sprintf("; %d of %d python files do not compile", all-there, all)
}

// recorded is a package as conda-meta is told of it.
func (ls layers) recorded(i int) link.Package {
	p := ls.segments[i].Package
	if ls.compiled == nil {
		return p
	}
	sizes := map[string]int64{}
	for _, e := range ls.compiled[i].Entries {
		sizes[e.Path.Path] = e.Size
	}
	return p.WithBytecode(sizes)
}
