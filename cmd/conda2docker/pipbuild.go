package main

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/datalayer/conda2docker/builder/graph"
	"github.com/datalayer/conda2docker/conda/pip"
)

const (
	wheelBuilderPath = "/run/conda2docker/build.py"
	buildWheelsPath  = "/run/conda2docker/build" // a folder of wheels
	sourcePath       = "/run/conda2docker/source"
	builtName        = "wheel" // a folder of the output
)

// wheelBuilder runs pip so that the same source makes the same wheel.
//
//go:embed pipbuild.py
var wheelBuilder []byte

// makeWheels makes wheels of the source distributions among the files, and says how many there are. One that was built before is
// not built again.
func (p *pipSection) makeWheels(ctx context.Context, files []pipFile) (int, error) {
	n := 0
	for i, f := range files {
		if !pip.IsSource(path.Base(f.path)) {
			continue
		}
		n++
		var err error
		if files[i].path, err = p.makeWheel(ctx, f); err != nil {
			return n, fmt.Errorf("building %s %s from source: %w", f.Name, f.Version, err)
		}
		if files[i].sha256, err = fileSum(files[i].path); err != nil {
			return n, err
		}
	}
	return n, nil
}

func (p *pipSection) makeWheel(ctx context.Context, f pipFile) (string, error) {
	keys := p.wheelKeys(f)
	for _, key := range keys {
		if file := p.builtBefore(key); file != "" {
			return file, nil
		}
	}
	p.console.say("pip: building %s %s from source", f.Name, f.Version)
	step, err := p.buildStep(ctx, f)
	if err != nil {
		return "", err
	}
	e := p.root
	e.steps = append(e.steps[:len(e.steps):len(e.steps)], step)
	tmp, err := p.wheelFolder()
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	made := ""
	err = p.execute(ctx, p.stage, e, func(h *tar.Header, r io.Reader) error {
		dir, name := path.Split(h.Name)
		if h.Typeflag != tar.TypeReg || dir != builtName+"/" || !strings.HasSuffix(name, ".whl") || !plainName.MatchString(name) {
			return nil
		}
		made = filepath.Join(tmp, name)
		return saveFile(made, r)
	})
	if err != nil {
		return "", fmt.Errorf("%w\n(it is built without a network: what it asks for beyond the \"requires\" of its pyproject.toml, or as \"setup_requires\", is not there; "+
			"a wheel, or a conda package, of it can be had in its place)", err)
	}
	if made == "" {
		return "", errors.New("pip has made no wheel of it")
	}
	w, err := pip.ReadWheel(made)
	if err != nil {
		return "", err
	}
	if !w.Pure {
		return p.keepWheel(tmp, filepath.Base(made), keys[1])
	}
	return p.keepWheel(tmp, filepath.Base(made), keys[0])
}

// buildStep makes a wheel of a source distribution without a network.
func (p *pipSection) buildStep(ctx context.Context, f pipFile) (graph.Step, error) {
	step := p.pipStep(fmt.Sprintf("pip: building %s %s from source", f.Name, f.Version))
	at := path.Join(sourcePath, archivedName(f.path))
	step.Args = []string{
		prefix + "/bin/python", wheelBuilderPath, "wheel", "--isolated", "--no-input", "--disable-pip-version-check", "--no-cache-dir", "--no-deps", "--no-index",
		"--use-pep517", "--wheel-dir", path.Join(graph.OutputDir, builtName),
	}
	step.Env = append(step.Env, "PIP_CONFIG_FILE=/dev/null", "PYTHONHASHSEED=0")
	step.Files = []graph.File{
		{Path: wheelBuilderPath, Body: wheelBuilder},
		{Path: at, Source: f.path, Digest: digest.NewDigestFromEncoded(digest.SHA256, f.sha256)},
	}
	for _, k := range f.Build {
		file, sum, err := p.fetchBuild(ctx, k)
		if err != nil {
			return step, err
		}
		step.Files = append(step.Files, graph.File{
			Path: path.Join(buildWheelsPath, archivedName(file)), Source: file, Digest: digest.NewDigestFromEncoded(digest.SHA256, sum),
		})
	}
	if len(f.Build) > 0 {
		step.Args = append(step.Args, "--find-links", buildWheelsPath)
	}
	step.Args = append(step.Args, at)
	return step, nil
}

// wheelFormat changes when a source makes another wheel than before.
const wheelFormat = 1

// wheelKeys are what a wheel is found by in the cache: by its source, what it is built with and the python, where it is for any
// platform; and one of compiled parts also by everything else that there is.
func (p *pipSection) wheelKeys(f pipFile) []string {
	var b strings.Builder
	fmt.Fprintf(&b, "wheel %d\nsource %s %s\nepoch %d\n", wheelFormat, f.sha256, archivedName(f.path), p.root.epoch.Unix())
	for _, k := range f.Build {
		fmt.Fprintf(&b, "with %s %s %s\n", k.Name, k.Version, k.SHA256)
	}
	for _, r := range p.env.records {
		if r.Name == "python" {
			fmt.Fprintf(&b, "python %s %s %s\n", r.Dist(), r.SHA256, r.MD5)
		}
	}
	pure := keyOf(b.String())
	fmt.Fprintf(&b, "base %s\n", p.root.base.Digest)
	for _, r := range p.env.records {
		fmt.Fprintf(&b, "package %s %s %s\n", r.Dist(), r.SHA256, r.MD5)
	}
	return []string{pure, keyOf(b.String())}
}

func keyOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// wheelsDir is the cache's folder of wheels that were built: KEY/SHA256/NAME.
const wheelsDir = "wheels"

func (p *pipSection) wheelFolder() (string, error) {
	dir := filepath.Join(p.settings.Cache.Dir, wheelsDir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	return os.MkdirTemp(dir, ".tmp-*")
}

// builtBefore is the wheel of a key, if it is there and whole.
func (p *pipSection) builtBefore(key string) string {
	dir := filepath.Join(p.settings.Cache.Dir, wheelsDir, key)
	found, err := filepath.Glob(filepath.Join(dir, "*", "*.whl"))
	if err != nil || len(found) != 1 {
		return ""
	}
	if sum, err := fileSum(found[0]); err != nil || sum != filepath.Base(filepath.Dir(found[0])) {
		return ""
	}
	now := time.Now()
	_ = os.Chtimes(dir, now, now) // for pruning by age
	return found[0]
}

// keepWheel moves a wheel from a folder of its own to its place.
func (p *pipSection) keepWheel(tmp, name, key string) (string, error) {
	sum, err := fileSum(filepath.Join(tmp, name))
	if err != nil {
		return "", err
	}
	if err := os.Mkdir(filepath.Join(tmp, sum), 0o755); err != nil {
		return "", err
	}
	if err := os.Rename(filepath.Join(tmp, name), filepath.Join(tmp, sum, name)); err != nil {
		return "", err
	}
	dir := filepath.Join(p.settings.Cache.Dir, wheelsDir, key)
	if err := os.Rename(tmp, dir); err != nil {
		if file := p.builtBefore(key); file != "" {
			return file, nil // another process has made it
		}
		if err := errors.Join(os.RemoveAll(dir), os.Rename(tmp, dir)); err != nil {
			return "", err
		}
	}
	return filepath.Join(dir, sum, name), os.Chmod(dir, 0o755) //nolint:gosec // a folder of the cache, as the others are
}

func saveFile(path string, r io.Reader) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644) //nolint:gosec // wheels are no secret
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}
