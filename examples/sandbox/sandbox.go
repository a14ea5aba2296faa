// Package sandbox makes what the examples and the tests run in where conda-forge, Docker Hub, PyPI and Grype's site are out of reach: base
// images, a channel of genuine conda packages and a package index, all made of Debian's packages, and a database of real advisories.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/sync/errgroup"

	"github.com/datalayer/conda2docker/scan/scantest"
)

// Options says where a sandbox is and whom it tells of its progress.
type Options struct {
	Dir    string               // everything of the sandbox is below it
	Mirror string               // of Debian's archive; default deb.debian.org
	Log    func(string, ...any) // one line each
}

// Sandbox is a sandbox that has been made.
type Sandbox struct{ dir string }

// The folders of a sandbox.
func (s *Sandbox) channel() string  { return filepath.Join(s.dir, "channel") }
func (s *Sandbox) wheels() string   { return filepath.Join(s.dir, "wheels") }
func (s *Sandbox) registry() string { return filepath.Join(s.dir, "registry") }

// Base is the OCI layout of the base image for machines without a GPU.
func (s *Sandbox) Base() string { return filepath.Join(s.dir, "bases", "cpu") }

// CUDABase is the OCI layout of the base image into which NVIDIA's runtime mounts a driver.
func (s *Sandbox) CUDABase() string { return filepath.Join(s.dir, "bases", "cuda") }

// Advisories is the folder of the vulnerability database.
func (s *Sandbox) Advisories() string { return filepath.Join(s.dir, "grype") }

// Cache is conda2docker's cache on this machine, below which the examples keep their sandbox: $CONDA2DOCKER_CACHE, else the user's.
func Cache() (string, error) {
	if dir := os.Getenv("CONDA2DOCKER_CACHE"); dir != "" {
		return dir, nil
	}
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "conda2docker"), err
}

// Make makes the parts of a sandbox that are not there yet. It goes on where an earlier, interrupted make stopped.
func Make(ctx context.Context, o Options) (*Sandbox, error) {
	if o.Log == nil {
		o.Log = func(string, ...any) {}
	}
	if o.Mirror == "" {
		o.Mirror = debianArchive
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, err
	}
	lock := flock.New(filepath.Join(o.Dir, "lock"))
	if _, err := lock.TryLockContext(ctx, 200*time.Millisecond); err != nil {
		return nil, fmt.Errorf("waiting for another make of the sandbox %s: %w", o.Dir, err)
	}
	defer lock.Unlock() //nolint:errcheck // the process's end unlocks too
	s := &Sandbox{dir: o.Dir}
	d := debian{dir: filepath.Join(o.Dir, "apt"), mirror: o.Mirror, log: o.Log}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return timed(o.Log, "base images", func() error { return s.makeBases(ctx, d, o.Log) }) })
	g.Go(func() error {
		err := timed(o.Log, "channel", func() error {
			return channel{dir: s.channel(), work: filepath.Join(o.Dir, "work"), debian: d, log: o.Log}.make(ctx)
		})
		if err != nil {
			return err
		}
		return timed(o.Log, "package index", func() error { return s.makeWheels(ctx, d) })
	})
	g.Go(func() error { return timed(o.Log, "advisories", func() error { return s.makeAdvisories(ctx) }) })
	return s, g.Wait()
}

// timed names the part whose making failed, and says how long one took that had to be made.
func timed(log func(string, ...any), part string, run func() error) error {
	start := time.Now()
	if err := run(); err != nil {
		return fmt.Errorf("making the sandbox's %s: %w", part, err)
	}
	if took := time.Since(start); took > time.Second {
		log("made the sandbox's %s in %s", part, took.Round(time.Second))
	}
	return nil
}

// makeAdvisories makes the vulnerability database.
func (s *Sandbox) makeAdvisories(ctx context.Context) error {
	if done(s.Advisories(), advisoriesID) {
		return nil
	}
	tmp := s.Advisories() + ".part"
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	if err := scantest.Write(ctx, tmp); err != nil {
		return err
	}
	return finish(tmp, s.Advisories(), advisoriesID)
}

// advisoriesID changes when another database is to be made.
const advisoriesID = "2"

// done says whether a folder has been made whole, from what id names.
func done(dir, id string) bool {
	b, err := os.ReadFile(dir + ".done")
	_, statErr := os.Stat(dir)
	return err == nil && statErr == nil && string(b) == id
}

// finish gives a folder its name, once it is whole.
func finish(tmp, dir, id string) error {
	if err := os.RemoveAll(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(tmp, dir); err != nil {
		return err
	}
	return writeFile(dir+".done", []byte(id))
}
