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
	base        base.Image
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
	t.base, err = base.Open(ctx, ref, base.Options{
		Platform: platform, Registries: b.settings.Registries, Dir: b.settings.Cache.Dir, Offline: b.options.Offline,
		Progress: s.count(&got, "base image "+ref),
	})
	if err != nil {
		return t, fmt.Errorf("opening base image %s: %w", ref, err)
	}
	if t.base.Facts.Conda {
		return t, fmt.Errorf("base image %s has something in %s already: use a base without Conda", ref, prefix)
	}
	t.virtual, err = b.virtualPackages(t)
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
	return acceleratorCPU, "nothing asks for a GPU"
}

// linuxVersion is the kernel that packages may expect: an image has none of its own. The number is that of the oldest
// distribution that is widely supported (RHEL 8), as pixi assumes it too.
const linuxVersion = "4.18"

// virtualPackages are the facts about the target (CEP 30). CONDA_OVERRIDE_GLIBC, _LINUX, _CUDA and _ARCHSPEC change them.
func (b *build) virtualPackages(t target) ([]conda.VirtualPackage, error) {
	if err := t.base.Facts.RequireGlibc(); err != nil {
		return nil, fmt.Errorf("base image %s: %w", t.base.Ref, err)
	}
	facts := [][2]string{{"__glibc", t.base.Facts.Glibc}, {"__linux", linuxVersion}, {"__unix", "0"}, {"__archspec", "1=" + genericArch(b.options.Subdir)}}
	if t.accelerator == acceleratorCUDA {
		v, err := b.cudaVersion(t.base)
		if err != nil {
			return nil, err
		}
		facts = append(facts, [2]string{"__cuda", v})
	} else if b.options.CUDA != "" {
		return nil, usageError{errors.New("--cuda says that there is a CUDA driver, but the base is for the CPU: add --accelerator cuda")}
	}
	for name, key := range map[string]string{"__glibc": "GLIBC", "__linux": "LINUX", "__cuda": "CUDA", "__archspec": "ARCHSPEC"} {
		v := b.env.Getenv("CONDA_OVERRIDE_" + key)
		if v == "" {
			continue
		}
		if name == "__archspec" {
			v = "1=" + v
		}
		facts = slices.DeleteFunc(facts, func(f [2]string) bool { return f[0] == name })
		facts = append(facts, [2]string{name, v})
	}
	var out []conda.VirtualPackage
	for _, f := range facts {
		p, err := conda.ParseVirtualPackage(f[0] + "=" + f[1])
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b conda.VirtualPackage) int { return strings.Compare(string(a.Name), string(b.Name)) })
	return out, nil
}

func genericArch(s conda.Subdir) string {
	if s == conda.LinuxAarch64 {
		return "aarch64"
	}
	return "x86_64"
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
