package main

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/datalayer/conda2docker/conda"
	condaversion "github.com/datalayer/conda2docker/conda/version"
)

// facts are what is known of the system that packages will run on; "" is what it does not have, or what is not known of it.
type facts struct {
	Glibc    string // version of the C library
	CUDA     string // version that the driver supports
	CUDAArch string // compute capability of the device
	Archspec string // microarchitecture; the platform's generic one where nothing is known
}

// override is what is said of a virtual package in place of what is known: by CONDA_OVERRIDE_NAME, else by conda's configuration.
type override struct {
	value, by string
	set       bool
}

// overrides look a virtual package up by its upper-case name without underscores, such as "CUDA".
type overrides func(name string) override

// newOverrides reads the environment first, then override_virtual_packages of conda's configuration, by lower-case name.
func newOverrides(lookupEnv func(string) (string, bool), configured map[string]string) overrides {
	return func(name string) override {
		if v, ok := lookupEnv("CONDA_OVERRIDE_" + name); ok {
			return override{value: strings.TrimSpace(v), by: "CONDA_OVERRIDE_" + name, set: true}
		}
		if v, ok := configured[strings.ToLower(name)]; ok {
			return override{value: strings.TrimSpace(v), by: "override_virtual_packages: " + strings.ToLower(name), set: true}
		}
		return override{}
	}
}

// linuxVersion is the kernel that packages may expect: an image has none of its own. The number is that of the oldest
// distribution that is widely supported (RHEL 8), as pixi assumes it too.
const linuxVersion = "4.18"

var (
	// kernelVersion is the form that CEP 30 wants of CONDA_OVERRIDE_LINUX.
	kernelVersion = regexp.MustCompile(`^[0-9]+\.[0-9]+(\.[0-9]+)?(\.[0-9]+)?$`)
	// capability is that of a CUDA device, without the letter of a subarchitecture (CEP 46).
	capability  = regexp.MustCompile(`^[0-9]+\.[0-9]+$`)
	buildString = regexp.MustCompile(`^[a-zA-Z0-9_.+]+$`)
)

// virtualPackages are the facts as packages may depend on them (CEP 30), in the order of their names. An override that is empty takes
// __glibc, __cuda or __cuda_arch away, as with conda; __linux, __archspec and __unix are always there, so that an empty one leaves
// the first two as they are known, and nothing changes the last.
func (f facts) virtualPackages(subdir conda.Subdir, of overrides) ([]conda.VirtualPackage, error) {
	glibc, err := of("GLIBC").apply(f.Glibc, isVersion, "a version such as 2.36")
	if err != nil {
		return nil, err
	}
	linux, err := of("LINUX").applyOr(linuxVersion, kernelVersion.MatchString, "a version such as 5.10")
	if err != nil {
		return nil, err
	}
	cuda, err := of("CUDA").apply(f.CUDA, isVersion, "a version such as 12.4")
	if err != nil {
		return nil, err
	}
	cudaArch, err := of("CUDA_ARCH").apply(f.CUDAArch, capability.MatchString, "a compute capability such as 8.6")
	if err != nil {
		return nil, err
	}
	if cuda == "" {
		cudaArch = "" // CEP 46: there is no device without a driver
	}
	archspec, err := of("ARCHSPEC").applyOr(cmp.Or(f.Archspec, genericArch(subdir)), buildString.MatchString, "a microarchitecture such as x86_64_v3")
	if err != nil {
		return nil, err
	}
	var out []conda.VirtualPackage
	for _, p := range [][2]string{
		{"__archspec", "1=" + archspec}, {"__cuda", cuda}, {"__cuda_arch", cudaArch}, {"__glibc", glibc}, {"__linux", linux}, {"__unix", "0"},
	} {
		if p[1] == "" {
			continue
		}
		v, err := conda.ParseVirtualPackage(p[0] + "=" + p[1])
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// isVersion reports whether conda reads a text as a version (CEP 33).
func isVersion(s string) bool {
	_, err := condaversion.Parse(s)
	return err == nil
}

// apply is the override's value, or the known one where there is no override.
func (o override) apply(known string, valid func(string) bool, want string) (string, error) {
	switch {
	case !o.set:
		return known, nil
	case o.value != "" && !valid(o.value):
		return "", usageError{fmt.Errorf("%s: %q: want %s", o.by, o.value, want)}
	}
	return o.value, nil
}

// applyOr is apply for what is always there.
func (o override) applyOr(known string, valid func(string) bool, want string) (string, error) {
	v, err := o.apply(known, valid, want)
	return cmp.Or(v, known), err
}

func genericArch(s conda.Subdir) string {
	if s == conda.LinuxAarch64 {
		return "aarch64"
	}
	return "x86_64"
}

// microarchitectures are the names that __archspec can have on a platform, the generic one first: those of the archspec project
// (archspec.readthedocs.io).
var microarchitectures = map[conda.Subdir][]string{
	conda.Linux64: strings.Fields(`x86_64 x86_64_v2 x86_64_v3 x86_64_v4 nocona core2 nehalem westmere sandybridge ivybridge haswell broadwell
		skylake mic_knl skylake_avx512 cannonlake cascadelake icelake sapphirerapids alderlake arrowlake arrowlake_s k10 bulldozer
		piledriver steamroller excavator zen zen2 zen3 zen4 zen5`),
	conda.LinuxAarch64: strings.Fields(`aarch64 armv8.1a armv8.2a armv8.3a armv8.4a armv8.5a armv8.6a armv9.0a armv9.2a thunderx2 a64fx
		cortex_a72 neoverse_n1 neoverse_v1 neoverse_v2 neoverse_n2 neoverse_v3ae ampere1 ampere1a m1 m2 m3 m4`),
}

// checkArchspec refuses what is no microarchitecture of the platform; "" is none.
func checkArchspec(name string, subdir conda.Subdir) error {
	known := microarchitectures[subdir]
	if name == "" || slices.Contains(known, name) {
		return nil
	}
	for other, names := range microarchitectures {
		if other != subdir && slices.Contains(names, name) {
			return fmt.Errorf("%q is a microarchitecture of %s, and the image is for %s", name, other, subdir)
		}
	}
	return fmt.Errorf("%q is not a microarchitecture that archspec knows: want one of %s", name, strings.Join(known, ", "))
}

// checkCUDAArch refuses what is no compute capability; "" is none.
func checkCUDAArch(s, cuda string, a accelerator) error {
	switch {
	case s == "":
		return nil
	case !capability.MatchString(s):
		return fmt.Errorf("%q: want a compute capability such as 8.6", s)
	case a == acceleratorCPU && cuda == "":
		return errors.New("says which GPU there is, but the base is for the CPU: add --accelerator cuda")
	}
	return nil
}
