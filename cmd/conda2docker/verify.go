package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/datalayer/conda2docker/builder/graph"
	"github.com/datalayer/conda2docker/conda"
)

// The user that an image is verified as is nobody's account, in the group that clusters give arbitrary users.
const strangerID = "123456:0"

const (
	verifierPath = "/run/conda2docker/verify"
	modulesPath  = "/run/conda2docker/modules.txt"
	foundName    = "found.txt"
)

//go:embed verify.py
var verifyPython []byte

//go:embed verify.sh
var verifyShell []byte

// finding is one thing that is wrong with an image.
type finding struct {
	kind  string // elf or module
	name  string // path or module
	lines []string
	owner string // the package it is of
}

// verify looks, inside of the image, as an arbitrary user on a read-only root without a network, whether python starts, every module
// can be imported, and every ELF file finds the libraries that it is linked to.
func (b *build) verify(ctx context.Context, s *stage, env resolved, ls layers, img built) (string, error) {
	loader, err := loaderOf(b.options.Subdir)
	if err != nil {
		return "", err
	}
	owners := ownersAfter(ls, img.changes)
	modules := map[string]string{}
	steps := slices.Clone(img.steps)
	step := graph.Step{
		Name: "verify the environment", User: strangerID, ReadOnly: true, Env: img.Config.Config.Env,
		Args:  []string{"/bin/bash", verifierPath, prefix, loader, modulesPath, graph.OutputDir + "/" + foundName},
		Files: []graph.File{{Path: verifierPath, Body: verifyShell}},
	}
	switch python := pythonOf(env.records); {
	case python != nil && canVerify(python.Version):
		modules = modulesOf(owners, python.Version, path.Join(prefix, cmp.Or(python.SitePackages, "lib/python"+python.Version+"/site-packages")))
		modules = exceptModules(modules, b.options.VerifyExcept)
		start := step
		start.Name = "start python as an arbitrary user on a read-only root"
		start.Args, start.Files = []string{prefix + "/bin/python", "-c", "import os, sys, encodings, sysconfig, subprocess"}, nil
		steps = append(steps, start)
		step.Args[0], step.Files = prefix+"/bin/python", []graph.File{
			{Path: verifierPath, Body: verifyPython}, {Path: modulesPath, Body: []byte(strings.Join(sortedKeys(modules), "\n"))},
		}
	case !env.target.base.Facts.Bash:
		return "", fmt.Errorf("base image %s has no bash and the environment no python to verify with: build without --verify", env.target.base.Ref)
	case python != nil:
		b.console.say("warning: the modules of python %s are not imported: --verify can do that with 3.5 and later", python.Version)
	}
	var found []finding
	var counts map[string]string
	e := execution{base: env.target.base, layers: ls.all, steps: append(steps, step), epoch: ls.epoch}
	err = b.execute(ctx, s, e, func(h *tar.Header, r io.Reader) (err error) {
		if h.Name == foundName {
			found, counts, err = readFindings(r)
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("verifying the image: %w", err)
	}
	if counts == nil {
		return "", errors.New("verifying the image: it says nothing")
	}
	if found = settle(found, owners, modules, b.options.VerifyExcept); len(found) > 0 {
		return "", &unsoundError{found}
	}
	return fmt.Sprintf("%s ELF files, %s modules", counts["elf"], cmp.Or(counts["module"], "no")), nil
}

// loaderOf is the dynamic loader of a platform's C library.
func loaderOf(s conda.Subdir) (string, error) {
	switch s {
	case conda.Linux64:
		return "/lib64/ld-linux-x86-64.so.2", nil
	case conda.LinuxAarch64:
		return "/lib/ld-linux-aarch64.so.1", nil
	}
	return "", fmt.Errorf("images of %s cannot be verified", s)
}

// canVerify says whether a python understands the program that verifies.
func canVerify(version string) bool {
	var major, minor int
	n, err := fmt.Sscanf(version, "%d.%d", &major, &minor)
	return err == nil && n == 2 && (major > 3 || major == 3 && minor >= 5)
}

// readFindings reads what verify.py writes.
func readFindings(r io.Reader) (found []finding, counts map[string]string, err error) {
	counts = map[string]string{}
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		line := sc.Text()
		if said, ok := strings.CutPrefix(line, "\t"); ok && len(found) > 0 {
			last := &found[len(found)-1]
			last.lines = append(last.lines, said)
			continue
		}
		kind, name, _ := strings.Cut(line, " ")
		if kind == "count" {
			what, n, _ := strings.Cut(name, " ")
			counts[what] = n
			continue
		}
		found = append(found, finding{kind: kind, name: name})
	}
	return found, counts, sc.Err()
}

// settle leaves out what is no fault of the image, says whose the rest is, and orders it by package.
func settle(found []finding, owners, modules map[string]string, except []string) []finding {
	places := map[string]string{}
	for at := range owners {
		if name := path.Base(at); strings.Contains(name, ".so") && (places[name] == "" || at < places[name]) {
			places[name] = at
		}
	}
	var out []finding
	for _, f := range found {
		if f.kind == "elf" {
			f.owner = owners[f.name]
			f.lines = missing(f.lines, places)
			if len(f.lines) == 0 || exceptPath(f.name, except) {
				continue
			}
		} else {
			f.owner = owners[modules[f.name]]
		}
		f.owner = cmp.Or(f.owner, "no package")
		out = append(out, f)
	}
	slices.SortStableFunc(out, func(a, b finding) int {
		return cmp.Or(strings.Compare(a.owner, b.owner), strings.Compare(a.kind, b.kind), strings.Compare(a.name, b.name))
	})
	return out
}

// missing are the loader's complaints but for those about the GPU driver's libraries, which come from the machine at run time. A library
// that is in the environment all the same is said to be.
func missing(said []string, places map[string]string) []string {
	var out []string
	for _, line := range said {
		name, rest, _ := strings.Cut(line, " => ")
		if rest == "not found" {
			if isDriver(name) {
				continue
			}
			if at := places[name]; at != "" {
				line += " (there is " + at + ", but not on the file's run path)"
			}
		}
		out = append(out, line)
	}
	return out
}

// isDriver says whether a library is one that NVIDIA's container runtime mounts.
func isDriver(name string) bool {
	for _, glob := range []string{"libcuda.so*", "libcudadebugger.so*", "libnvidia-*.so*", "libnvcuvid.so*", "libnvoptix.so*"} {
		if ok, _ := path.Match(glob, name); ok {
			return true
		}
	}
	return false
}

// exceptPath says whether a file is left out: its path in the image or in the prefix, or its name where the pattern has no folder.
func exceptPath(at string, globs []string) bool {
	for _, g := range globs {
		for _, name := range []string{at, strings.TrimPrefix(at, prefix+"/"), path.Base(at)} {
			if ok, _ := path.Match(g, name); ok {
				return true
			}
		}
	}
	return false
}

func exceptModules(modules map[string]string, globs []string) map[string]string {
	out := map[string]string{}
	for name, at := range modules {
		if !slices.ContainsFunc(globs, func(g string) bool { ok, _ := path.Match(g, name); return ok }) {
			out[name] = at
		}
	}
	return out
}

// unsoundError says what is wrong with an image, by package.
type unsoundError struct{ found []finding }

// findingsShown is how many faults a person is shown.
const findingsShown = 25

// Error implements error.
func (e *unsoundError) Error() string {
	var out bytes.Buffer
	fmt.Fprintf(&out, "the image is not sound (--verify): %d of its files and modules fail:", len(e.found))
	for i, f := range e.found {
		if i == findingsShown {
			fmt.Fprintf(&out, "\n  and %d more", len(e.found)-i)
			break
		}
		what := f.name
		if f.kind == "module" {
			what = "module " + f.name
		}
		fmt.Fprintf(&out, "\n  %s: %s: %s", f.owner, what, strings.Join(f.lines, "; "))
	}
	out.WriteString("\nwhat is known and of no harm is left out with --verify-except GLOB, of a module's name or a file's path")
	return out.String()
}
