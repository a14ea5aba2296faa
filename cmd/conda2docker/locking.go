package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/lock"
	"github.com/datalayer/conda2docker/conda/matchspec"
	"github.com/datalayer/conda2docker/conda/pip"
	"github.com/datalayer/conda2docker/envspec"
)

// assumedGlibc is the C library that packages may expect where no base image says it: that of the oldest distribution that is
// widely supported (RHEL 8), as pixi assumes it too. The bases that are built on by default have a newer one.
const assumedGlibc = "2.28"

// locking is one run of the lock command.
type locking struct {
	options lockOptions
	build   *build // reads, and resolves
	old     *lock.Lock
	said    map[string]bool // warnings, which are the same for each platform
}

func runLock(ctx context.Context, env environment, o lockOptions) error {
	s, err := loadSettings(env.Getenv)
	if err != nil {
		return err
	}
	l := &locking{options: o, build: &build{locks: true, options: o.build, settings: s, env: env, console: newConsole(env.Stderr, o.build.Progress)}, said: map[string]bool{}}
	if l.build.profile, err = s.chooseProfile(o.build.Profile); err != nil {
		return err
	}
	unlock, err := l.build.useCache(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	defer l.build.closeEngine()
	if o.Check || len(o.Update) > 0 {
		if l.old, err = lock.ReadFile(o.Lock, lock.Options{Environment: o.build.LockEnv}); err != nil {
			return usageError{err}
		}
	}
	var inputs []input
	if err := l.build.console.stage("spec", func(*stage) (said string, err error) { inputs, said, err = l.read(ctx); return }); err != nil {
		return err
	}
	if o.Check {
		return l.check(ctx, inputs)
	}
	return l.lock(ctx, inputs)
}

// read reads the environment for each platform: what it asks for may differ.
func (l *locking) read(ctx context.Context) ([]input, string, error) {
	if _, err := l.build.readFiles(ctx); err != nil {
		return nil, "", err
	}
	subdirs, err := l.subdirs(ctx)
	if err != nil {
		return nil, "", err
	}
	if l.options.Format == lock.Explicit && !l.options.Check && len(subdirs) > 1 {
		return nil, "", usageError{fmt.Errorf("a list of URLs is for one platform, and there are %s: choose one with --platform, or --format conda-lock", list(subdirs))}
	}
	inputs := make([]input, len(subdirs))
	for i, s := range subdirs {
		if err := checkArchspec(l.options.build.Archspec, s); err != nil {
			return nil, "", usageError{fmt.Errorf("--archspec: %w", err)}
		}
		if inputs[i], err = l.readFor(ctx, s); err != nil {
			return nil, "", err
		}
		if len(inputs[i].env.Pip) > 0 && !l.options.Check {
			if err := l.of(s).canRunPip(false); err != nil {
				return nil, "", err
			}
		}
		for _, w := range inputs[i].warnings {
			l.say(w)
		}
	}
	return inputs, fmt.Sprintf("%d conda and %d pip requirements for %s", len(inputs[0].env.Dependencies), len(inputs[0].env.Pip), list(subdirs)), nil
}

func (l *locking) say(text string) {
	if !l.said[text] {
		l.build.console.say("%s", text)
	}
	l.said[text] = true
}

func (l *locking) readFor(ctx context.Context, s conda.Subdir) (input, error) {
	b := l.of(s)
	in, err := b.readEnvironment(ctx)
	if err == nil && in.lock != nil {
		err = usageError{fmt.Errorf("%s is a lock already: want the environment file that it is to be made of", in.lockName)}
	}
	return in, err
}

// of is the build of one platform.
func (l *locking) of(s conda.Subdir) *build {
	b := *l.build
	b.options.Subdir = s
	return &b
}

// subdirs are the platforms to lock for: the flags', else the environment's, else those of the lock that there is.
func (l *locking) subdirs(ctx context.Context) ([]conda.Subdir, error) {
	if len(l.options.Subdirs) > 0 {
		return l.options.Subdirs, nil
	}
	in, err := l.readFor(ctx, conda.Linux64)
	if err != nil {
		other, otherErr := l.readFor(ctx, conda.LinuxAarch64)
		if otherErr != nil || len(other.env.Platforms) == 0 || slices.Contains(other.env.Platforms, conda.Linux64) {
			return nil, err
		}
		in = other
	}
	named, of := in.env.Platforms, "the environment"
	if len(named) == 0 {
		if named, err = l.oldSubdirs(); err != nil {
			return nil, err
		}
		of = l.options.Lock
	}
	var out []conda.Subdir
	for _, s := range named {
		if _, err := ociPlatform(s); err == nil {
			out = append(out, s)
		} else if len(in.env.Platforms) > 0 || l.old == nil {
			l.say(fmt.Sprintf("note: %s of %s's platforms is left out: images are made for linux-64 and linux-aarch64", s, of))
		}
	}
	slices.Sort(out)
	if len(out) == 0 {
		out = []conda.Subdir{conda.Linux64}
	}
	if len(named) > 0 && len(in.env.Platforms) == 0 && l.old == nil && !slices.Equal(out, []conda.Subdir{conda.Linux64}) {
		l.say(fmt.Sprintf("note: %s is for %s, and stays so: --platform chooses others", of, list(out)))
	}
	return out, nil
}

// oldSubdirs are the platforms of the lock that is checked or updated, or that is written over.
func (l *locking) oldSubdirs() ([]conda.Subdir, error) {
	if l.old != nil {
		return l.old.Subdirs(), nil
	}
	if l.options.Lock == "" || l.options.Format != lock.CondaLock {
		return nil, nil
	}
	data, err := os.ReadFile(l.options.Lock)
	if err != nil || lock.Detect(data) != lock.CondaLock {
		return nil, nil //nolint:nilerr // there is none yet, or none that says its platforms
	}
	old, err := lock.Read(bytes.NewReader(data), l.options.Lock, lock.Options{})
	if err != nil {
		return nil, usageError{fmt.Errorf("%w\n(for which platforms it was is not known therefore: say with --platform for which ones it is made anew)", err)}
	}
	return old.Subdirs(), nil
}

func list(subdirs []conda.Subdir) string {
	texts := make([]string, len(subdirs))
	for i, s := range subdirs {
		texts[i] = string(s)
	}
	return strings.Join(texts, ", ")
}

// system is what packages may expect on one platform, and what of it is only assumed.
func (l *locking) system(ctx context.Context, s *stage, b *build, in input) (target, string, error) {
	if b.options.CUDA != "" {
		b.options.Accelerator = acceleratorCUDA
	}
	if b.options.Base != "" {
		t, err := b.chooseTarget(ctx, s, in)
		return t, "of base " + b.options.Base, err
	}
	of := newOverrides(b.env.LookupEnv, in.conda.VirtualPackages)
	var t target
	t.accelerator, t.reason = b.chooseAccelerator(in)
	if t.accelerator == acceleratorCUDA && b.options.CUDA == "" && !of("CUDA").set {
		return t, "", usageError{fmt.Errorf("the environment wants CUDA (%s): say which the driver will support with --cuda VERSION, or --accelerator cpu", t.reason)}
	}
	f := facts{Glibc: l.options.Glibc, CUDA: b.options.CUDA, CUDAArch: b.options.CUDAArch, Archspec: b.options.Archspec}
	var assumed []string
	if f.Glibc == "" {
		f.Glibc = assumedGlibc
		if !of("GLIBC").set {
			assumed = append(assumed, "glibc "+assumedGlibc)
		}
	}
	if of("LINUX").value == "" {
		assumed = append(assumed, "Linux "+linuxVersion)
	}
	var err error
	t.virtual, err = f.virtualPackages(b.options.Subdir, of)
	if len(assumed) == 0 {
		return t, "", err
	}
	return t, "assumed: " + strings.Join(assumed, ", ") + " (--base or --glibc say otherwise)", err
}

// lock resolves for each platform, and writes the lock when all are.
func (l *locking) lock(ctx context.Context, inputs []input) error {
	if err := l.checkNames(inputs); err != nil {
		return err
	}
	var platforms []lock.Platform
	for _, in := range inputs {
		err := l.build.console.stage("resolve", func(s *stage) (string, error) {
			p, said, err := l.resolve(ctx, s, in)
			platforms = append(platforms, p)
			return said, err
		})
		if err != nil {
			return err
		}
	}
	var channels []conda.Channel
	var files []string
	for _, in := range inputs { // selectors may make a difference
		channels, files = append(channels, in.channels...), append(files, in.env.Files...)
	}
	made, err := lock.New(distinct(channels), sources(distinct(files), l.options.Output), platforms...)
	if err != nil {
		return err
	}
	if l.old != nil {
		made = l.kept(made)
	}
	body, err := lockBody(made, l.options.Format)
	if err != nil {
		return err
	}
	if l.options.Output == "-" {
		if _, err := l.build.env.Stdout.Write(body); err != nil {
			return fmt.Errorf("writing the lock: %w", err)
		}
		return nil
	}
	return l.build.console.stage("write", func(*stage) (string, error) {
		return l.options.Output, writeWhole(l.options.Output, body)
	})
}

// distinct are values in their order, each once.
func distinct[T comparable](values []T) []T {
	var out []T
	for _, v := range values {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// kept is the new lock with the old one's other platforms, and says what has changed.
func (l *locking) kept(made *lock.Lock) *lock.Lock {
	if l.options.Format == lock.CondaLock {
		made = made.With(l.old)
	}
	changes := slices.DeleteFunc(lock.Diff(l.old, made), func(c lock.Change) bool { return !slices.Contains(made.Subdirs(), c.Subdir) })
	if len(changes) == 0 {
		l.build.console.say("nothing has changed")
	}
	for _, line := range diffLines(changes) {
		l.build.console.say("%s", line)
	}
	return made
}

// checkNames refuses to update what there is not.
func (l *locking) checkNames(inputs []input) error {
	for _, name := range l.options.Update {
		n, err := conda.ParsePackageName(name)
		if err != nil {
			return usageError{fmt.Errorf("--update: %w", err)}
		}
		if !l.has(n) && !slices.ContainsFunc(inputs, func(in input) bool {
			return slices.ContainsFunc(in.env.Specs(), func(s matchspec.Spec) bool { return s.Name == n })
		}) {
			return usageError{fmt.Errorf("--update %s: neither %s nor the environment has a package of that name", name, l.options.Lock)}
		}
	}
	return nil
}

func (l *locking) has(n conda.PackageName) bool {
	return slices.ContainsFunc(l.old.Platforms, func(p lock.Platform) bool {
		return slices.ContainsFunc(p.Packages, func(k lock.Package) bool { return k.Record.Name == n }) ||
			slices.ContainsFunc(p.Pip, func(k lock.PipPackage) bool { return pip.NormalName(k.Name) == pip.NormalName(string(n)) })
	})
}

// resolve chooses the packages for one platform.
func (l *locking) resolve(ctx context.Context, s *stage, in input) (lock.Platform, string, error) {
	subdir := in.subdir
	b := l.of(subdir)
	fail := func(err error) (lock.Platform, string, error) {
		var usage usageError
		var place *envspec.Error
		if !errors.As(err, &usage) && !errors.As(err, &place) { // which begin with the place of the fault, as editors want it
			err = fmt.Errorf("%s: %w", subdir, err)
		}
		return lock.Platform{}, "", err
	}
	env := resolved{subdir: subdir}
	var assumed string
	var err error
	if env.target, assumed, err = l.system(ctx, s, b, in); err != nil {
		return fail(err)
	}
	in = b.withInit(in, env.target.base.Facts.Tini != "")
	if env.client, err = b.client(in); err != nil {
		return fail(err)
	}
	if l.old != nil && l.old.Has(subdir) {
		if env.favored, err = l.favored(subdir, in.categories()); err != nil {
			return fail(usageError{err})
		}
	}
	records, err := b.solve(ctx, s, in, env)
	if err != nil {
		return fail(err)
	}
	p := lock.Platform{Subdir: subdir, Request: in.request(subdir), Virtual: env.target.virtual, Packages: lock.Packages(records)}
	said := fmt.Sprintf("%s: %d packages", subdir, len(records))
	if len(in.env.Pip) > 0 {
		if p.Pip, p.PipVersion, err = l.askPip(ctx, s, b, in, env, records); err != nil {
			return fail(err)
		}
		said += fmt.Sprintf(", and %d of pip's", len(p.Pip))
	}
	if assumed != "" {
		said += "; " + assumed
	}
	return p, said, nil
}

// favored are the old lock's packages, but for those that shall be chosen anew.
func (l *locking) favored(s conda.Subdir, categories []string) ([]*conda.Record, error) {
	records, err := l.old.Records(s, categories...)
	return slices.DeleteFunc(records, func(r *conda.Record) bool {
		return slices.ContainsFunc(l.options.Update, func(name string) bool { return strings.EqualFold(name, string(r.Name)) })
	}), err
}

// check says whether the old lock is one of the environment, for every platform.
func (l *locking) check(ctx context.Context, inputs []input) error {
	var why []string
	for _, in := range inputs {
		virtual, err := l.checkedSystem(ctx, in)
		if err != nil {
			return err
		}
		found, err := l.build.staleness(l.old, in.subdir, in, virtual)
		if err != nil {
			return usageError{err}
		}
		for _, w := range found {
			why = append(why, string(in.subdir)+": "+w)
		}
	}
	if len(why) > 0 {
		return staleLockError{fmt.Errorf("lock %s is stale:\n  %s", l.options.Lock, strings.Join(why, "\n  "))}
	}
	l.build.console.say("%s is up to date", l.options.Lock)
	return nil
}

// checkedSystem is what a lock is held against: the system that the flags describe, else the one that the lock says it is for.
func (l *locking) checkedSystem(ctx context.Context, in input) ([]conda.VirtualPackage, error) {
	o := l.options
	described := o.build.Base != "" || o.Glibc != "" || o.build.CUDA != "" || o.build.Archspec != "" || o.build.CUDAArch != ""
	p, err := l.old.Platform(in.subdir)
	if !described && err == nil && len(p.Virtual) > 0 {
		return p.Virtual, nil
	}
	var t target
	err = l.build.console.stage("system", func(s *stage) (said string, err error) { t, said, err = l.system(ctx, s, l.of(in.subdir), in); return })
	return t.virtual, err
}
