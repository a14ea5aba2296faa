package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/gofrs/flock"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/datalayer/conda2docker/builder/engine"
	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/envspec"
)

// prefix is where the environment is in the image.
const prefix = "/opt/conda"

// build is one run of the build command. Its stages hand each other values; what is here holds for all of them.
type build struct {
	options  buildOptions
	settings settings
	env      environment
	console  *console
	profile  profile
	locks    bool           // it is run by the lock command
	files    []envspec.File // the environment files, once they are read
	opened   *engine.Engine // once it is needed
}

// run is the way from the files to the pinned manifest. Nothing has a name before the gate has passed.
func (b *build) run(ctx context.Context) error {
	unlock, err := b.useCache(ctx)
	if err != nil {
		return err
	}
	err = b.stages(ctx)
	b.closeEngine()
	unlock()
	if err != nil {
		return err
	}
	return b.trimCache()
}

func (b *build) stages(ctx context.Context) error {
	var (
		in  input
		env resolved
		ls  layers
		img built
		ev  evidence
		out []byte
	)
	stages := []struct {
		name string
		run  func(*stage) (string, error)
		when func() bool // nil: always
	}{
		{"spec", func(*stage) (said string, err error) { in, said, err = b.readInput(ctx); return }, nil},
		{"resolve", func(s *stage) (said string, err error) { env, said, err = b.resolve(ctx, s, in); return }, nil},
		{"fetch", func(s *stage) (said string, err error) { ls, said, err = b.makeLayers(ctx, s, in, env); return }, nil},
		{"pip", func(s *stage) (said string, err error) { env, said, err = b.pip(ctx, s, in, env, ls); return }, func() bool { return b.wantsPip(in, env) }},
		{"build", func(s *stage) (said string, err error) { img, said, err = b.assemble(ctx, s, in, env, ls); return }, nil},
		{"sbom", func(*stage) (said string, err error) { ev, said, err = b.list(ctx, in, env, img); return }, nil},
		{"scan", func(*stage) (said string, err error) { said, err = b.scan(ctx, env, &ev); return }, nil},
		{"publish", func(*stage) (said string, err error) { out, said, err = b.publish(ctx, in, env, img, ev); return }, nil},
	}
	for _, s := range stages {
		if s.when != nil && !s.when() {
			continue
		}
		if err := b.console.stage(s.name, s.run); err != nil {
			return err
		}
	}
	if _, err := b.env.Stdout.Write(out); err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	return nil
}

// useCache marks the cache as used, so that no prune takes away what this build counts on. The first to use it clears away what
// builds left that were killed.
func (b *build) useCache(ctx context.Context) (func(), error) {
	dir := b.settings.Cache.Dir
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("making the cache: %w", err)
	}
	if err := unix.Access(dir, unix.W_OK); err != nil {
		return nil, fmt.Errorf("the cache %s cannot be written (%w): name a folder with CONDA2DOCKER_CACHE", dir, err)
	}
	lock := flock.New(filepath.Join(dir, cacheLock))
	alone, err := lock.TryLock()
	if err == nil && alone {
		err = errors.Join(clearUnfinished(dir), lock.Unlock())
	}
	if err == nil {
		_, err = lock.TryRLockContext(ctx, 200*time.Millisecond)
	}
	if err != nil {
		return nil, fmt.Errorf("locking the cache %s: %w", dir, err)
	}
	return func() { _ = lock.Unlock() }, nil
}

// engine says which BuildKit builds, and how much of its own cache it may keep.
func (s settings) engine(say func(string)) (engine.Options, error) {
	limit, err := s.cacheLimit()
	return engine.Options{
		Root: filepath.Join(s.Cache.Dir, "buildkit"), Address: s.Builder, Registries: s.Registries, KeepBytes: limit / 2, Say: say,
	}, err
}

// ociPlatform is a subdir as image registries name it.
func ociPlatform(s conda.Subdir) (ocispecs.Platform, error) {
	switch s {
	case conda.Linux64:
		return ocispecs.Platform{OS: "linux", Architecture: "amd64"}, nil
	case conda.LinuxAarch64:
		return ocispecs.Platform{OS: "linux", Architecture: "arm64"}, nil
	}
	return ocispecs.Platform{}, fmt.Errorf("images can be built for linux-64 and linux-aarch64, not for %s", s)
}

// sourceDateEpoch reads SOURCE_DATE_EPOCH (seconds since 1970; reproducible-builds.org).
func sourceDateEpoch(getenv func(string) string) (*time.Time, error) {
	s := getenv("SOURCE_DATE_EPOCH")
	if s == "" {
		return nil, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return nil, fmt.Errorf("SOURCE_DATE_EPOCH %q: want seconds since 1970", s)
	}
	t := time.Unix(n, 0).UTC()
	return &t, nil
}
