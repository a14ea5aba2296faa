package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/datalayer/conda2docker/builder/engine"
	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/condarc"
	"github.com/datalayer/conda2docker/conda/lock"
	"github.com/datalayer/conda2docker/envspec"
)

// input is what the user asks for, read and checked.
type input struct {
	env      envspec.Environment
	overlay  *envspec.Overlay // nil where there is none
	conda    condarc.Config
	channels []conda.Channel
	targets  []name.Tag // what the image will be called
	lock     *lock.Lock // what is given in place of environment files, and how it is called; nil where there are some
	lockName string
	warnings []string
	subdir   conda.Subdir // that it was read for
}

// readInput reads the environment files, the overlay and conda's configuration. Nothing has been fetched or
// written when it refuses something.
func (b *build) readInput(ctx context.Context) (input, string, error) {
	in, err := b.readEnvironment(ctx)
	if err != nil {
		return in, "", err
	}
	if err := in.env.CheckCredentials(b.options.AllowEnv); err != nil {
		return in, "", inputError(err)
	}
	for _, w := range in.warnings {
		b.console.say("%s", w)
	}
	if in.overlay, err = b.readOverlay(ctx); err != nil {
		return in, "", err
	}
	if in.targets, err = b.targets(in.overlay); err != nil {
		return in, "", err
	}
	if len(in.env.Pip) > 0 || len(pipPackages(in.lock, in.subdir)) > 0 {
		if err := b.canRunPip(in.lock != nil || b.readsLock()); err != nil {
			return in, "", err
		}
	}
	if err := b.canPush(ctx, in.targets); err != nil {
		return in, "", err
	}
	if in.lock != nil {
		return in, "the packages of " + in.lockName, nil
	}
	return in, fmt.Sprintf("%d conda and %d pip requirements", len(in.env.Dependencies), len(in.env.Pip)), nil
}

// readEnvironment reads the environment files, or the lock that is given in place of them, and conda's configuration.
func (b *build) readEnvironment(ctx context.Context) (input, error) {
	in := input{subdir: b.options.Subdir}
	files, err := b.readFiles(ctx)
	if err != nil {
		return in, err
	}
	if in.lock, in.lockName, err = b.lockAlone(files); err != nil {
		return in, err
	}
	if in.lock == nil {
		var warnings []envspec.Warning
		if in.env, warnings, err = envspec.ParseEnvironment(files, envspec.Options{Subdir: b.options.Subdir, Getenv: b.env.Getenv}); err != nil {
			return in, inputError(err)
		}
		for _, w := range warnings {
			in.warnings = append(in.warnings, w.String())
		}
	}
	if in.conda, err = condarc.Load(condarc.Options{Getenv: b.env.Getenv}); err != nil {
		return in, usageError{err}
	}
	for _, w := range in.conda.Warnings {
		in.warnings = append(in.warnings, "warning: "+w)
	}
	if in.channels, err = b.channels(in); err != nil {
		return in, err
	}
	if in.env, in.channels, err = resolvePins(in.env, in.channels, in.conda); err != nil {
		return in, err
	}
	if in.lock == nil && len(in.channels) == 0 {
		return in, usageError{errors.New("there is no channel to search: the environment names none, and has nodefaults, or the default one is forbidden by conda's configuration")}
	}
	return in, nil
}

// readFiles reads the environment files, each once: it may be a pipe.
func (b *build) readFiles(ctx context.Context) ([]envspec.File, error) {
	if b.files != nil {
		return b.files, nil
	}
	for _, path := range b.options.Files {
		f, err := readInputFile(ctx, path)
		if err != nil {
			return nil, err
		}
		b.files = append(b.files, f)
	}
	return b.files, nil
}

// readOverlay reads the overlay; nil where there is none.
func (b *build) readOverlay(ctx context.Context) (*envspec.Overlay, error) {
	if b.options.Overlay == "" {
		return nil, nil
	}
	f, err := readInputFile(ctx, b.options.Overlay)
	if err != nil {
		return nil, err
	}
	overlay, err := envspec.ParseOverlay(f, b.env.Getenv)
	if err != nil {
		return nil, inputError(err)
	}
	if err := overlay.CheckCredentials(b.options.AllowEnv); err != nil {
		return nil, inputError(err)
	}
	for _, w := range overlay.Warnings() {
		b.console.say("%s", w)
	}
	return overlay, nil
}

// readInputFile reads an input file, which may be a pipe that nobody ever writes to.
func readInputFile(ctx context.Context, path string) (envspec.File, error) {
	type answer struct {
		file envspec.File
		err  error
	}
	read := make(chan answer, 1)
	go func() {
		f, err := envspec.ReadFile(path)
		read <- answer{f, err}
	}()
	select {
	case r := <-read:
		if r.err != nil {
			return envspec.File{}, usageError{r.err}
		}
		return r.file, nil
	case <-ctx.Done():
		return envspec.File{}, fmt.Errorf("reading %s: %w", path, ctx.Err())
	}
}

// inputError makes a fault in a file that the user wrote an error of usage.
func inputError(err error) error {
	var place *envspec.Error
	if errors.As(err, &place) {
		return usageError{err}
	}
	return err
}

// canPush asks the registries, before the work is done that they shall keep.
func (b *build) canPush(ctx context.Context, targets []name.Tag) error {
	if !b.options.Push {
		return nil
	}
	for _, repo := range repositories(targets) {
		if err := b.settings.Registries.CheckPush(ctx, repo); err != nil {
			return err
		}
	}
	return nil
}

// needRuntime says what the engine lacks to execute steps.
func (b *build) needRuntime() error {
	opts, err := b.settings.engine(nil)
	if err != nil {
		return err
	}
	platform, err := ociPlatform(b.options.Subdir)
	if err != nil {
		return err
	}
	return engine.NeedRuntime(opts, platform)
}

// targets are the names that the image will get: those of the flags, else the overlay's.
func (b *build) targets(overlay *envspec.Overlay) ([]name.Tag, error) {
	targets := b.options.Tags
	if len(targets) == 0 && overlay != nil {
		tag, err := parseTag(overlay.DockerImage())
		if err != nil {
			return nil, usageError{fmt.Errorf("%s: dockerImage is not a name that an image can be given (--tag gives another): %w", overlay.DockerImagePosition(), err)}
		}
		targets = []name.Tag{tag}
	}
	targets = slices.Clone(targets)
	for i, t := range targets {
		var err error
		if targets[i], err = b.settings.Registries.ParseTag(t.Name()); err != nil {
			return nil, err
		}
	}
	if b.options.Push && len(targets) == 0 {
		return nil, usageError{errors.New("--push needs a name for the image: --tag REFERENCE, or an overlay with a dockerImage")}
	}
	return targets, nil
}

// parseTag reads a name that an image can be given. Its error never shows what stands before an "@".
func parseTag(s string) (name.Tag, error) {
	if _, after, ok := strings.Cut(s, "@"); ok {
		if strings.HasPrefix(after, "sha256:") {
			return name.Tag{}, errors.New("it is pinned to a digest already, which cannot be moved: want a name with a tag")
		}
		return name.Tag{}, errors.New("there is an \"@\" in it: credentials of registries come from Docker's configuration")
	}
	return name.NewTag(s)
}

// channels are those that are searched, in order: the flags', the environment's, and the configured default ones.
func (b *build) channels(in input) ([]conda.Channel, error) {
	refs := append([]string{}, b.options.Channels...)
	defaults := in.conda.Channels()
	names := make([]string, len(defaults))
	for i, c := range defaults {
		names[i] = c.URL
	}
	refs = append(refs, in.env.ChannelRefs(names...)...)
	var out []conda.Channel
	seen := map[string]bool{}
	for _, ref := range refs {
		channels, err := in.conda.Resolve(ref)
		if err != nil {
			return nil, usageError{blameFile(in, ref, err)}
		}
		for _, c := range channels {
			if !seen[c.URL] {
				seen[c.URL] = true
				out = append(out, c)
			}
		}
	}
	return out, nil
}

// blameFile puts an error about a channel, which may be written as a reference or be a URL that one leads to, at the place in the
// environment file that names it.
func blameFile(in input, channel string, err error) error {
	for _, c := range in.env.Channels {
		named, _ := in.conda.Resolve(c.Ref())
		if c.Ref() == channel || slices.ContainsFunc(named, func(n conda.Channel) bool { return n.URL == channel }) {
			return inputError(c.Fault(err))
		}
	}
	for _, d := range in.env.Dependencies {
		if ref := d.ChannelRef(); ref != "" {
			named, _ := in.conda.Resolve(ref)
			if slices.ContainsFunc(named, func(n conda.Channel) bool { return n.URL == channel }) {
				return inputError(d.Fault(err))
			}
		}
	}
	return err
}
