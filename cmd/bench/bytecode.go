package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/datalayer/conda2docker/builder/layer"
)

// compiling is how long each took to compile the same packages' files.
type compiling struct {
	ours, python, again, theirs []time.Duration // python is the part of ours that python takes, again is ours when all is there
	pythonCPU, theirsCPU        []time.Duration // what the processors worked, which other work on the machine changes less
}

func processorTime(cmd *exec.Cmd) time.Duration {
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}

// benchBytecode compiles noarch python packages with a python of this machine, without the container that a build does it in.
func benchBytecode(ctx context.Context, b *bench) error {
	python, err := exec.LookPath("python3")
	if err != nil {
		return err
	}
	said, err := exec.CommandContext(ctx, python, "-V").Output() //nolint:gosec // python
	if err != nil {
		return err
	}
	cache, packages, err := b.pythonPackages(ctx, find(filepath.Join(filepath.Dir(b.dir), "sandbox", "channel"), ".conda"))
	if err != nil {
		return err
	}
	files := 0
	for _, s := range packages {
		files += len(s.Package.Compiles())
	}
	var c compiling
	for i := range b.runs {
		say("bytecode, run %d of %d", i+1, b.runs)
		if err := b.compile(ctx, cache, packages, python, layer.Compiler(fmt.Sprint(i)), &c); err != nil {
			return err
		}
	}
	version := strings.TrimSpace(string(said))
	b.heading("Compiling Python", fmt.Sprintf("`make bench` → `bench bytecode`: the %d python files of %d noarch packages of the sandbox's channel, compiled by %s: from layer segments to segments of "+
		"compiled files. The rival compiles files that are unpacked already. What a build's container takes to start comes on top, once for all packages. Medians of %d, in turn.",
		files, len(packages), version, b.runs))
	each := func(d time.Duration) string { return shown(d / time.Duration(len(packages))) }
	ours := median(c.ours)
	b.table([][]string{
		{"", "all", "for a package", "compileall / it", "processor time", "compileall / it"},
		{"conda2docker", shown(ours), each(ours), times(median(c.theirs), ours), "", ""},
		{"of that in python", shown(median(c.python)), each(median(c.python)), "", shown(median(c.pythonCPU)), times(median(c.theirsCPU), median(c.pythonCPU))},
		{"conda2docker, when it was done before", shown(median(c.again)), each(median(c.again)), times(median(c.theirs), median(c.again)), "", ""},
		{fmt.Sprintf("`python -m compileall -j%d`", runtime.NumCPU()), shown(median(c.theirs)), each(median(c.theirs)), "1", shown(median(c.theirsCPU)), "1"},
	})
	return nil
}

// pythonPackages are the segments of those packages that have something to compile.
func (b *bench) pythonPackages(ctx context.Context, paths []string) (*layer.Cache, []layer.Segment, error) {
	dir := filepath.Join(b.dir, "bytecode")
	if err := os.RemoveAll(dir); err != nil {
		return nil, nil, err
	}
	cache, err := layer.Open(layer.Options{Dir: dir})
	if err != nil {
		return nil, nil, err
	}
	var packages []layer.Segment
	for _, path := range paths {
		if filepath.Base(filepath.Dir(path)) != "noarch" {
			continue
		}
		in, err := segmentInput(ctx, path)
		if err != nil {
			return nil, nil, err
		}
		s, err := cache.Segment(ctx, in)
		if err != nil {
			return nil, nil, err
		}
		if len(s.Package.Compiles()) > 0 {
			packages = append(packages, s)
		}
	}
	if len(packages) == 0 {
		return nil, nil, errors.New("the sandbox's channel holds no python packages: `make sandbox` makes them")
	}
	return cache, packages, nil
}

// compile has each do the same.
func (b *bench) compile(ctx context.Context, cache *layer.Cache, packages []layer.Segment, python string, by layer.Compiler, c *compiling) error {
	dir, err := os.MkdirTemp(b.dir, "bytecode-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program, tree, out := filepath.Join(dir, "compile.py"), filepath.Join(dir, "tree"), filepath.Join(dir, "out")
	if err := errors.Join(os.WriteFile(program, layer.CompileProgram(), 0o600), os.Mkdir(out, 0o700), unpackPython(ctx, cache, packages, tree)); err != nil {
		return err
	}
	start := time.Now()
	var sources bytes.Buffer
	if err := cache.Sources(ctx, packages, &sources); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "sources"), sources.Bytes(), 0o600); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, python, "-W", "ignore", "-S", "-s", "-B", program, filepath.Join(dir, "sources"), out) //nolint:gosec // python
	cmd.Env = append(os.Environ(), "PYTHONHASHSEED=0")
	_, took, err := timed(cmd)
	if err != nil {
		return err
	}
	c.pythonCPU = append(c.pythonCPU, processorTime(cmd))
	var compiled []byte
	chunks, _ := filepath.Glob(filepath.Join(out, "*")) // the pattern is sound
	for _, f := range chunks {
		body, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		compiled = append(compiled, body...)
	}
	if _, err := cache.AddBytecode(ctx, packages, by, bytes.NewReader(compiled), int64(len(compiled))); err != nil {
		return err
	}
	c.ours, c.python = append(c.ours, time.Since(start)), append(c.python, took)
	start = time.Now()
	for _, s := range packages {
		if _, ok, err := cache.Bytecode(ctx, s, by); err != nil || !ok {
			return fmt.Errorf("the compiled files of %s are not there: %w", s.Dist, err)
		}
	}
	c.again = append(c.again, time.Since(start))
	cmd = exec.CommandContext(ctx, python, "-W", "ignore", "-m", "compileall", "-q", fmt.Sprintf("-j%d", runtime.NumCPU()), tree) //nolint:gosec // the rival
	start = time.Now()
	_ = cmd.Run() // some files do not compile
	c.theirs, c.theirsCPU = append(c.theirs, time.Since(start)), append(c.theirsCPU, processorTime(cmd))
	return nil
}

// unpackPython writes the packages' files below a folder, each package's in one of its own.
func unpackPython(ctx context.Context, cache *layer.Cache, packages []layer.Segment, dir string) error {
	layers := make([]layer.Group, len(packages))
	for i, s := range packages {
		layers[i] = layer.Group{Name: s.Dist, Segments: []layer.Segment{s}}
	}
	made, err := cache.Layers(ctx, layers, 0)
	if err != nil {
		return err
	}
	for _, l := range made {
		err := l.Walk(func(h *tar.Header, r io.Reader) error {
			if h.Typeflag != tar.TypeReg || !strings.HasSuffix(h.Name, ".py") {
				return nil
			}
			to := filepath.Join(dir, l.Name, filepath.FromSlash(h.Name))
			body, err := io.ReadAll(r)
			return errors.Join(err, os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, body, 0o600))
		})
		if err != nil {
			return err
		}
	}
	return nil
}
