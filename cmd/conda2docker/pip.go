package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/datalayer/conda2docker/builder/layer"
	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/fetch"
	"github.com/datalayer/conda2docker/conda/lock"
	"github.com/datalayer/conda2docker/conda/pip"
	"github.com/datalayer/conda2docker/envspec"
)

// pipSection is what pip installs, on its way from requirements, or from a lock, to wheels.
type pipSection struct {
	*build
	stage    *stage
	in       input
	env      resolved
	root     execution // where pip is: the base, the layers, and what was run on them
	segments []layer.Segment
	client   *fetch.Client
	from     string   // the folder that the lock's paths are relative to
	kept     []string // constraints besides the section's own
}

// wheel is a file that pip installs without a network.
type wheel struct {
	pip.Wheel
	path, sha256 string
	implied      bool   // only other packages asked for it
	direct       string // the URL that it was asked for by; "" where it is an index's
}

// wantsPip reports whether there is something for pip to do.
func (b *build) wantsPip(in input, env resolved) bool {
	return len(in.env.Pip) > 0 || len(pipPackages(env.lock, env.subdir)) > 0
}

func pipPackages(l *lock.Lock, s conda.Subdir) []lock.PipPackage {
	if l == nil {
		return nil
	}
	packages, err := l.PipPackages(s)
	if err != nil {
		return nil // which is said where the lock is taken
	}
	return packages
}

// pip makes wheels of what pip shall install: those of the lock, else those that pip chooses, which then are in it.
func (b *build) pip(ctx context.Context, s *stage, in input, env resolved, ls layers) (resolved, string, error) {
	steps, err := b.postLinkSteps(env, ls.scripts)
	if err != nil {
		return env, "", err
	}
	p, err := b.newPipSection(s, in, env, execution{base: env.target.base, layers: ls.all, steps: steps, epoch: ls.epoch})
	if err != nil {
		return env, "", err
	}
	p.segments = ls.segments
	files, err := p.choose(ctx)
	if err != nil {
		return env, "", err
	}
	built, err := p.makeWheels(ctx, files)
	if err != nil {
		return env, "", err
	}
	if !env.locked {
		env.lock = env.lock.WithPip(env.subdir, pipRecord(env.records).Version.String(), packagesOf(files))
	}
	if env.wheels, err = wheelsOf(files); err != nil {
		return env, "", err
	}
	p.warnOfOverwriting(env.wheels)
	if err := b.writeLock(env); err != nil {
		return env, "", err
	}
	how := "chosen by pip"
	if env.locked {
		how = "locked"
	}
	return env, fmt.Sprintf("%d packages %s, %d of them built from source%s", len(files), how, built, b.lockWritten(env)), nil
}

// leastPip is the first that can say what it would install without installing it.
const leastPip = "22.2"

func pipRecord(records []*conda.Record) *conda.Record {
	i := slices.IndexFunc(records, func(r *conda.Record) bool { return r.Name == "pip" })
	if i < 0 {
		return nil
	}
	return records[i]
}

// checkPip says, before anything is fetched, why pip cannot do what it has to.
func (b *build) checkPip(in input, env resolved) error {
	if !b.wantsPip(in, env) {
		return nil
	}
	if err := b.canRunPip(env.locked); err != nil {
		return err
	}
	r := pipRecord(env.records)
	if r == nil {
		return usageError{errors.New("there are packages for pip to install, and pip is not among the conda packages: add it to the dependencies")}
	}
	if !env.locked && !pipAtLeast(env, leastPip) {
		return usageError{fmt.Errorf("pip %s cannot say what it would install: put \"pip >=%s\" into the dependencies", r.Version, leastPip)}
	}
	return checkLocalSources(in.env)
}

// readsLock reports whether there is a file that the packages may be taken from.
func (b *build) readsLock() bool {
	if b.options.Lock == "" || b.options.UpdateLock {
		return false
	}
	_, err := os.Stat(b.options.Lock)
	return err == nil
}

// canRunPip says, before anything is fetched, what a run of pip would lack. From a lock, it is not asked what to install.
func (b *build) canRunPip(locked bool) error {
	if b.options.Offline && !locked {
		return usageError{errors.New("pip needs the network to choose the packages of the pip section: build without --offline, or from a lock that has them (--lock FILE)")}
	}
	return b.needRuntime()
}

// newPipSection prepares for running pip in a root.
func (b *build) newPipSection(s *stage, in input, env resolved, root execution) (*pipSection, error) {
	p := &pipSection{build: b, stage: s, in: in, env: env, root: root, from: b.lockFolder(in)}
	o := b.fetchOptions(in)
	o.Mirrors = maps.Clone(o.Mirrors)
	clear(o.Mirrors) // they are channels'
	keys, err := p.keys()
	if err != nil {
		return nil, err
	}
	chain := fetch.Chain{keys}
	if o.Credentials != nil {
		chain = append(chain, o.Credentials)
	}
	o.Credentials = chain
	p.client, err = fetch.New(o)
	return p, err
}

// lockFolder is where the lock is, or would be.
func (b *build) lockFolder(in input) string {
	switch {
	case in.lock != nil:
		return filepath.Dir(in.lockName)
	case b.options.Lock != "":
		return filepath.Dir(b.options.Lock)
	}
	return "."
}

// choose is what is to be installed, fetched and verified, and complete enough to be locked: with checksums, and with what source
// distributions are built with.
func (p *pipSection) choose(ctx context.Context) ([]pipFile, error) {
	packages := pipPackages(p.env.lock, p.env.subdir)
	if !p.env.locked {
		var err error
		if packages, err = p.ask(ctx); err != nil {
			return nil, err
		}
	}
	files, err := p.fetchAll(ctx, packages)
	if err != nil {
		return nil, err
	}
	return files, p.findBuildPackages(ctx, files)
}

// pipFile is a package, and its file on this machine: what its author released, then the wheel that is made of it.
type pipFile struct {
	lock.PipPackage
	path   string
	sha256 string // of the file
}

func packagesOf(files []pipFile) []lock.PipPackage {
	out := make([]lock.PipPackage, len(files))
	for i, f := range files {
		out[i] = f.PipPackage
	}
	return out
}

// wheelsOf reads the wheels, and holds each to be the package that it is there for.
func wheelsOf(files []pipFile) ([]wheel, error) {
	out := make([]wheel, len(files))
	for i, f := range files {
		w, err := pip.ReadWheel(f.path)
		if err != nil {
			return nil, fmt.Errorf("%s %s (%s): %w", f.Name, f.Version, f.URL, err)
		}
		if pip.NormalName(w.Name) != pip.NormalName(f.Name) || f.Version != "" && !pip.Satisfies(w.Version, "=="+f.Version) {
			return nil, fmt.Errorf("%s is %s %s, and should be %s %s", f.URL, w.Name, w.Version, f.Name, f.Version)
		}
		out[i] = wheel{Wheel: w, path: f.path, sha256: f.sha256, implied: f.Implied}
		if f.Source != "" && strings.Contains(f.Source, "://") {
			out[i].direct = f.Source
		}
	}
	return out, nil
}

// warnOfOverwriting names the conda packages that pip takes away, or writes over: conda's records of them are no longer true then.
func (p *pipSection) warnOfOverwriting(wheels []wheel) {
	site := sitePackages(p.env.records)
	owners := map[string]string{}                // path → name-version-build
	distributions := map[string]map[string]int{} // normalised name → name-version-build → files
	for _, s := range p.segments {
		for _, e := range s.Entries {
			owners[e.Path.Path] = s.Dist
			if name, _, ok := pip.Distribution(e.Path.Path); ok {
				if distributions[name] == nil {
					distributions[name] = map[string]int{}
				}
				distributions[name][s.Dist]++
			}
		}
	}
	for _, w := range wheels {
		replaced := distributions[pip.NormalName(w.Name)]
		for _, dist := range slices.Sorted(maps.Keys(replaced)) {
			p.console.say("warning: pip replaces conda package %s by %s %s: leave one of them out", dist, w.Name, w.Version)
		}
		over := map[string][]string{}
		for _, path := range w.Paths(site) {
			if dist := owners[path]; dist != "" && replaced[dist] == 0 {
				over[dist] = append(over[dist], path)
			}
		}
		for _, dist := range slices.Sorted(maps.Keys(over)) {
			p.console.say("warning: pip's %s %s writes over files of conda package %s: %s", w.Name, w.Version, dist, enumerate(over[dist]))
		}
	}
}

// sitePackages is where python's packages are, relative to the prefix.
func sitePackages(records []*conda.Record) string {
	py := pythonOf(records)
	switch {
	case py == nil:
		return ""
	case py.SitePackages != "":
		return py.SitePackages
	}
	return "lib/python" + py.Version + "/site-packages"
}

func pipNames(requirements []envspec.Requirement) string {
	names := make([]string, len(requirements))
	for i, r := range requirements {
		if names[i] = r.Name; r.Name == "" {
			names[i] = r.String()
		}
	}
	return strings.Join(names, ", ")
}
