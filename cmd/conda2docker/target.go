package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/datalayer/conda2docker/builder/base"
	"github.com/datalayer/conda2docker/conda"
)

// accelerator is what a base offers besides the processor.
type accelerator string

const (
	acceleratorAuto accelerator = "auto"
	acceleratorCPU  accelerator = "cpu"
	acceleratorCUDA accelerator = "cuda"
)

func parseAccelerator(s string) (accelerator, error) {
	switch a := accelerator(s); a {
	case acceleratorAuto, acceleratorCPU, acceleratorCUDA:
		return a, nil
	}
	return "", fmt.Errorf("%q: want auto, cpu or cuda", s)
}

// target is the system that the environment will run on: what is known of it comes from the base image and from options, never
// from the machine that builds.
type target struct {
	base        base.Image // what the environment is put on
	original    base.Image // what that was made from, by installing Debian packages in it; else the same
	accelerator accelerator
	reason      string // why this accelerator
	virtual     []conda.VirtualPackage
}

// chooseTarget opens the base image and says what packages may expect of it.
func (b *build) chooseTarget(ctx context.Context, s *stage, in input) (target, error) {
	var t target
	t.accelerator, t.reason = b.chooseAccelerator(in)
	ref := b.options.Base
	if ref == "" {
		ref = b.settings.Bases.CPU
		if t.accelerator == acceleratorCUDA {
			ref = b.settings.Bases.CUDA
		}
	}
	platform, err := ociPlatform(b.options.Subdir)
	if err != nil {
		return t, err
	}
	var got int64
	s.show("base image " + ref)
	from := base.Options{
		Platform: platform, Registries: b.settings.Registries, Dir: b.settings.Cache.Dir, Offline: b.options.Offline,
		Progress: s.count(&got, "base image "+ref),
	}
	if t.original, err = base.Open(ctx, ref, from); err != nil {
		return t, fmt.Errorf("opening base image %s: %w", ref, err)
	}
	if t.base, err = b.withApt(ctx, s, t.original, from); err != nil {
		return t, err
	}
	if t.base.Facts.Conda {
		return t, fmt.Errorf("base image %s has something in %s already: use a base without Conda", ref, prefix)
	}
	t.virtual, err = b.virtualPackages(t, newOverrides(b.env.LookupEnv, in.conda.VirtualPackages))
	return t, err
}

// chooseAccelerator decides by the flag, else the overlay's resources, else the names in the environment.
func (b *build) chooseAccelerator(in input) (accelerator, string) {
	if a := b.options.Accelerator; a != acceleratorAuto {
		return a, "--accelerator"
	}
	if in.overlay != nil && in.overlay.GPUs() {
		return acceleratorCUDA, "the overlay asks for nvidia.com/gpu"
	}
	if hint, ok := in.env.WantsCUDA(); ok {
		return acceleratorCUDA, hint.String()
	}
	if in.lock != nil && lockUsesCUDA(in.lock, b.options.Subdir) {
		return acceleratorCUDA, in.lockName + " has packages for CUDA"
	}
	return acceleratorCPU, "nothing asks for a GPU"
}

// virtualPackages are what packages may depend on: the base's facts, the options, and what overrides them.
func (b *build) virtualPackages(t target, of overrides) ([]conda.VirtualPackage, error) {
	if err := t.base.Facts.RequireGlibc(); err != nil {
		return nil, fmt.Errorf("base image %s: %w", t.base.Ref, err)
	}
	f := facts{Glibc: t.base.Facts.Glibc, CUDAArch: b.options.CUDAArch, Archspec: b.options.Archspec}
	if t.accelerator == acceleratorCUDA && !of("CUDA").set {
		var err error
		if f.CUDA, err = b.cudaVersion(t.base); err != nil {
			return nil, err
		}
	}
	if t.accelerator != acceleratorCUDA && b.options.CUDA != "" {
		return nil, usageError{errors.New("--cuda says that there is a CUDA driver, but the base is for the CPU: add --accelerator cuda")}
	}
	return f.virtualPackages(b.options.Subdir, of)
}

var cudaNumber = regexp.MustCompile(`^[0-9]+(\.[0-9]+)*$`)

var requiresCUDA = regexp.MustCompile(`\bcuda>=([0-9]+\.[0-9]+)`)

// cudaVersion is the CUDA version that a driver below the image will support at least.
func (b *build) cudaVersion(img base.Image) (string, error) {
	if b.options.CUDA != "" {
		return b.options.CUDA, nil
	}
	version := ""
	for _, kv := range img.Config.Config.Env {
		key, value, _ := strings.Cut(kv, "=")
		switch key {
		case "NVIDIA_REQUIRE_CUDA":
			if m := requiresCUDA.FindStringSubmatch(value); m != nil {
				return m[1], nil
			}
		case "CUDA_VERSION":
			if parts := strings.Split(value, "."); len(parts) >= 2 {
				version = parts[0] + "." + parts[1]
			}
		}
	}
	if version == "" {
		return "", usageError{fmt.Errorf("base image %s does not say which CUDA it is for: say it with --cuda VERSION", img.Ref)}
	}
	return version, nil
}

// usesCUDA says whether a package is a build for CUDA.
func usesCUDA(r *conda.Record) bool {
	name := string(r.Name)
	if name == "cudatoolkit" || name == "cuda-cudart" || name == "cuda-runtime" || strings.Contains(r.Build, "cuda") {
		return true
	}
	return slices.ContainsFunc(r.Depends, func(d string) bool { return conda.DependencyName(d) == "__cuda" })
}

// checkAccelerator finds the contradiction between what was resolved and what it is put on.
func (b *build) checkAccelerator(in input, t target, records []*conda.Record) error {
	if b.options.Accelerator == acceleratorCUDA {
		return nil // the user knows: his own code may be what wants the driver
	}
	i := slices.IndexFunc(records, usesCUDA)
	switch {
	case t.accelerator == acceleratorCPU && i >= 0:
		return fmt.Errorf("%s is built for CUDA, but the base is for the CPU (%s): build with --accelerator cuda, or ask for the package's CPU build", records[i].Dist(), t.reason)
	case t.accelerator == acceleratorCUDA && i < 0 && len(in.env.Pip) == 0:
		return fmt.Errorf("no resolved package is built for CUDA, but the base is (%s): build with --accelerator cpu for a smaller image, or with --accelerator cuda to keep it", t.reason)
	}
	return nil
}
