package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"gopkg.in/yaml.v3"

	"github.com/datalayer/conda2docker/examples/sandbox"
)

// runExamples builds every example and shows what came out.
func runExamples(ctx context.Context, o options) error {
	start := time.Now()
	server, err := serve(ctx, o)
	if err != nil {
		return err
	}
	defer server.Close()
	names, err := exampleNames(o.examples)
	if err != nil {
		return err
	}
	var rows []row
	var failed []error
	for _, n := range names {
		r, err := runExample(ctx, o, server, n)
		if err != nil {
			say("%s FAILED: %v", n, err)
			failed = append(failed, fmt.Errorf("%s: %w", n, err))
			r.Name, r.Failed = n, true
		}
		rows = append(rows, r)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if err := writeTable(os.Stdout, rows); err != nil {
		return err
	}
	fmt.Printf("%d of %d examples in %s\n", len(names)-len(failed), len(names), time.Since(start).Round(100*time.Millisecond))
	return errors.Join(failed...)
}

// serve starts what the examples are built in: the whole sandbox, or only its registry.
func serve(ctx context.Context, o options) (*sandbox.Server, error) {
	if o.online {
		return sandbox.ServeRegistry(ctx, filepath.Join(o.runs(), "registry"))
	}
	made, err := sandbox.Make(ctx, sandbox.Options{Dir: o.sandbox(), Mirror: os.Getenv("DEBIAN_MIRROR"), Log: say})
	if err != nil {
		return nil, err
	}
	return made.Serve(ctx)
}

// exampleNames are the folders that have an environment.yml.
func exampleNames(dir string) ([]string, error) {
	found, err := filepath.Glob(filepath.Join(dir, "*", "environment.yml"))
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no examples in %s", dir)
	}
	names := make([]string, len(found))
	for i, f := range found {
		names[i] = filepath.Base(filepath.Dir(f))
	}
	// The simplest first: it warms what the others share.
	slices.SortStableFunc(names, func(a, b string) int {
		return rank(a) - rank(b)
	})
	return names, nil
}

func rank(name string) int {
	if i := slices.Index([]string{"python-simple", "xarray", "pip", "gpu"}, name); i >= 0 {
		return i
	}
	return 100
}

// runExample builds and pushes one example, and checks what its manifest names: that the tag is the digest, that the image
// is sound, that it does what it is for.
func runExample(ctx context.Context, o options, server *sandbox.Server, example string) (row, error) {
	dir := filepath.Join(o.runs(), example)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return row{}, err
	}
	say("== %s", example)
	start := time.Now()
	manifestFile := filepath.Join(dir, "runtime.yaml")
	if err := build(ctx, o, server, example, dir, manifestFile); err != nil {
		return row{}, err
	}
	took := time.Since(start)
	pinned, tag, err := readManifest(manifestFile)
	if err != nil {
		return row{}, err
	}
	image, err := pull(ctx, pinned, tag)
	if err != nil {
		return row{}, err
	}
	var thorough []validate.Option
	if exists(filepath.Join(bundle(dir, pinned), "rootfs.done")) {
		thorough = append(thorough, validate.Fast) // every byte of it was looked at when it was unpacked
	}
	if err := validate.Image(image, thorough...); err != nil {
		return row{}, err
	}
	if err := check(ctx, o, example, bundle(dir, pinned), image); err != nil {
		return row{}, fmt.Errorf("checking inside the image: %w", err)
	}
	r, err := newRow(example, dir, manifestFile, pinned, image)
	r.Took = took
	return r, err
}

// build runs conda2docker.
func build(ctx context.Context, o options, server *sandbox.Server, example, dir, manifest string) error {
	binary, err := filepath.Abs(o.binary)
	if err != nil {
		return err
	}
	args := []string{
		"build", "--overlay", "runtime.yaml", "--push", "--verify", "--verify-except", "matplotlib_inline", // it imports matplotlib, and does not depend on it
		"--progress", "plain", "--manifest", manifest, "--evidence", filepath.Join(dir, "evidence"), "environment.yml",
	}
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir = filepath.Join(o.examples, example)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	cmd.Env = append(os.Environ(), "DATALAYER_DOCKER_REGISTRY="+server.Registry, "CONDA2DOCKER_CACHE="+o.cache)
	if !o.online {
		settings, err := server.Settings()
		if err != nil {
			return err
		}
		file := filepath.Join(o.runs(), "settings.yaml")
		if err := os.WriteFile(file, settings, 0o644); err != nil {
			return err
		}
		// The configuration of the one who runs the examples is not to change what they are.
		cmd.Env = append(cmd.Env, "CONDA2DOCKER_CONFIG="+file, "CONDARC="+filepath.Join(o.runs(), "condarc"))
		if err := os.WriteFile(filepath.Join(o.runs(), "condarc"), []byte("{}\n"), 0o644); err != nil {
			return err
		}
	}
	say("conda2docker %s", strings.Join(args, " "))
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("conda2docker build: %w", err)
	}
	return nil
}

// readManifest reads from a RuntimeEnvironment the digest that it is pinned to, and the tag that the image got.
func readManifest(file string) (name.Digest, name.Tag, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return name.Digest{}, name.Tag{}, err
	}
	var m struct {
		Metadata struct {
			Annotations map[string]string `yaml:"annotations"`
		} `yaml:"metadata"`
		Spec struct {
			DockerImage string `yaml:"dockerImage"`
		} `yaml:"spec"`
	}
	if err := yaml.Unmarshal(b, &m); err != nil {
		return name.Digest{}, name.Tag{}, err
	}
	pinned, err := name.NewDigest(m.Spec.DockerImage)
	if err != nil {
		return name.Digest{}, name.Tag{}, fmt.Errorf("the manifest is not pinned: %w", err)
	}
	tag, err := name.NewTag(m.Metadata.Annotations["conda2docker.datalayer.io/image"])
	return pinned, tag, err
}

// pull gets the image by digest, after making sure that the registry answers that digest for the tag.
func pull(ctx context.Context, pinned name.Digest, tag name.Tag) (v1.Image, error) {
	head, err := remote.Head(tag, remote.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	if head.Digest.String() != pinned.DigestStr() {
		return nil, fmt.Errorf("the manifest has %s, the registry answers %s for %s", pinned.DigestStr(), head.Digest, tag)
	}
	return remote.Image(pinned, remote.WithContext(ctx))
}

// clean removes the examples' part of the cache.
func clean(o options) error {
	for _, dir := range []string{o.runs(), o.sandbox(), filepath.Join(o.cache, "buildkit")} {
		if err := unmountBelow(dir); err != nil {
			return err
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}
