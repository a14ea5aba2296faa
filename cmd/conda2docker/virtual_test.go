package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
)

// lookup looks a variable up in "A=1 B=", where B is set and empty.
func lookup(setting string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for _, kv := range strings.Fields(setting) {
			if value, ok := strings.CutPrefix(kv, name+"="); ok {
				return value, true
			}
		}
		return "", false
	}
}

func TestVirtualPackages(t *testing.T) {
	t.Parallel()
	cpu := facts{Glibc: "2.36"}
	gpu := facts{Glibc: "2.35", CUDA: "12.6", CUDAArch: "8.6", Archspec: "x86_64_v3"}
	for _, test := range []struct {
		facts  facts
		subdir conda.Subdir
		env    string
		rc     map[string]string
		want   string
	}{
		{cpu, conda.Linux64, "", nil, "__archspec=1=x86_64 __glibc=2.36=0 __linux=4.18=0 __unix=0=0"},
		{cpu, conda.LinuxAarch64, "", nil, "__archspec=1=aarch64 __glibc=2.36=0 __linux=4.18=0 __unix=0=0"},
		{gpu, conda.Linux64, "", nil, "__archspec=1=x86_64_v3 __cuda=12.6=0 __cuda_arch=8.6=0 __glibc=2.35=0 __linux=4.18=0 __unix=0=0"},
		{
			cpu, conda.Linux64, "CONDA_OVERRIDE_GLIBC=2.17 CONDA_OVERRIDE_LINUX=5.10.4 CONDA_OVERRIDE_CUDA=11.8 CONDA_OVERRIDE_CUDA_ARCH=9.0 CONDA_OVERRIDE_ARCHSPEC=zen4",
			nil, "__archspec=1=zen4 __cuda=11.8=0 __cuda_arch=9.0=0 __glibc=2.17=0 __linux=5.10.4=0 __unix=0=0",
		},
		{
			gpu, conda.Linux64, "CONDA_OVERRIDE_GLIBC= CONDA_OVERRIDE_LINUX= CONDA_OVERRIDE_CUDA= CONDA_OVERRIDE_ARCHSPEC= CONDA_OVERRIDE_UNIX=",
			nil, "__archspec=1=x86_64_v3 __linux=4.18=0 __unix=0=0",
		},
		{gpu, conda.Linux64, "CONDA_OVERRIDE_CUDA_ARCH=", nil, "__archspec=1=x86_64_v3 __cuda=12.6=0 __glibc=2.35=0 __linux=4.18=0 __unix=0=0"},
		{cpu, conda.Linux64, "CONDA_OVERRIDE_CUDA_ARCH=9.0", nil, "__archspec=1=x86_64 __glibc=2.36=0 __linux=4.18=0 __unix=0=0"},
		{
			gpu, conda.Linux64, "CONDA_OVERRIDE_CUDA=12.8",
			map[string]string{"cuda": "11.0", "glibc": "", "linux": "6.1"},
			"__archspec=1=x86_64_v3 __cuda=12.8=0 __cuda_arch=8.6=0 __linux=6.1=0 __unix=0=0",
		},
		{cpu, conda.Linux64, "CONDA_OVERRIDE_UNIX=9 CONDA_OVERRIDE_WIN=10 CONDA_OVERRIDE_OSX=13.0", nil, "__archspec=1=x86_64 __glibc=2.36=0 __linux=4.18=0 __unix=0=0"},
	} {
		got, err := test.facts.virtualPackages(test.subdir, newOverrides(lookup(test.env), test.rc))
		require.NoError(t, err)
		var all []string
		for _, p := range got {
			all = append(all, p.String())
		}
		require.Equal(t, test.want, strings.Join(all, " "), "%s %v", test.env, test.rc)
	}
}

func TestWrongOverridesAreRefused(t *testing.T) {
	t.Parallel()
	for env, want := range map[string]string{
		"CONDA_OVERRIDE_GLIBC=2..17":       `CONDA_OVERRIDE_GLIBC: "2..17": want a version such as 2.36`,
		"CONDA_OVERRIDE_GLIBC=2.17=0":      `CONDA_OVERRIDE_GLIBC: "2.17=0": want a version such as 2.36`,
		"CONDA_OVERRIDE_LINUX=5":           `CONDA_OVERRIDE_LINUX: "5": want a version such as 5.10`,
		"CONDA_OVERRIDE_LINUX=5.10-amd64":  `CONDA_OVERRIDE_LINUX: "5.10-amd64": want a version such as 5.10`,
		"CONDA_OVERRIDE_CUDA=>=12":         `CONDA_OVERRIDE_CUDA: ">=12": want a version such as 12.4`,
		"CONDA_OVERRIDE_CUDA_ARCH=9.0a":    `CONDA_OVERRIDE_CUDA_ARCH: "9.0a": want a compute capability such as 8.6`,
		"CONDA_OVERRIDE_ARCHSPEC=x86-64":   `CONDA_OVERRIDE_ARCHSPEC: "x86-64": want a microarchitecture such as x86_64_v3`,
		"CONDA_OVERRIDE_ARCHSPEC=1=x86_64": `CONDA_OVERRIDE_ARCHSPEC: "1=x86_64": want a microarchitecture such as x86_64_v3`,
	} {
		_, err := facts{Glibc: "2.36"}.virtualPackages(conda.Linux64, newOverrides(lookup(env), nil))
		require.EqualError(t, err, want)
		require.Equal(t, exitUsage, exitCode(err))
	}
	_, err := facts{}.virtualPackages(conda.Linux64, newOverrides(lookup(""), map[string]string{"linux": "new"}))
	require.EqualError(t, err, `override_virtual_packages: linux: "new": want a version such as 5.10`)
}

func TestMicroarchitectures(t *testing.T) {
	t.Parallel()
	require.NoError(t, checkArchspec("", conda.Linux64))
	require.NoError(t, checkArchspec("x86_64_v3", conda.Linux64))
	require.NoError(t, checkArchspec("neoverse_n1", conda.LinuxAarch64))
	require.EqualError(t, checkArchspec("m1", conda.Linux64), `"m1" is a microarchitecture of linux-aarch64, and the image is for linux-64`)
	require.ErrorContains(t, checkArchspec("x86_64-v3", conda.Linux64), `"x86_64-v3" is not a microarchitecture that archspec knows: want one of x86_64, x86_64_v2, `)
	for subdir, names := range microarchitectures {
		require.Equal(t, genericArch(subdir), names[0])
	}
}

func TestComputeCapability(t *testing.T) {
	t.Parallel()
	require.NoError(t, checkCUDAArch("", "", acceleratorCPU))
	require.NoError(t, checkCUDAArch("8.6", "", acceleratorAuto))
	require.ErrorContains(t, checkCUDAArch("8", "", acceleratorAuto), "want a compute capability such as 8.6")
	require.ErrorContains(t, checkCUDAArch("8.6", "", acceleratorCPU), "add --accelerator cuda")
}
