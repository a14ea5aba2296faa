package main

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/datalayer/conda2docker/conda/solve"
	"github.com/datalayer/conda2docker/scan"
)

// Exit codes, as the README lists them.
const (
	exitError      = 1
	exitUsage      = 2
	exitGate       = 3
	exitNoSolution = 4
	exitStaleLock  = 5
)

// usageError is a wrong way of calling the program.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// staleLockError says that a lock was made from other input than the build is given.
type staleLockError struct{ error }

func (e staleLockError) Unwrap() error { return e.error }

// remedy is what to do about an error that says, somewhere deep inside, that the disk is full. Where that is another one than the cache's,
// clearing the cache would be of no use.
func remedy(err error, cache string) string {
	if !errors.Is(err, syscall.ENOSPC) && !strings.Contains(err.Error(), syscall.ENOSPC.Error()) { // BuildKit's errors are text
		return ""
	}
	var place *fs.PathError
	if errors.As(err, &place) && !sameDisk(place.Path, cache) {
		return "\nthe disk of " + place.Path + " is full: free some of it, or name another place"
	}
	return "\nthe disk is full: free some of it, remove what the cache can do without (conda2docker cache prune --keep 0), or name another folder with CONDA2DOCKER_CACHE"
}

// sameDisk reports whether two paths, of which the first need not be there any more, are on one file system.
func sameDisk(path, other string) bool {
	var a, b unix.Stat_t
	for unix.Stat(path, &a) != nil {
		if path == filepath.Dir(path) {
			return false
		}
		path = filepath.Dir(path)
	}
	return unix.Stat(other, &b) == nil && a.Dev == b.Dev
}

// cacheDir is where the cache is, for messages; "" where the settings are broken.
func cacheDir(getenv func(string) string) string {
	s, err := loadSettings(getenv)
	if err != nil {
		return ""
	}
	return s.Cache.Dir
}

// exitCode is the program's exit code for an error.
func exitCode(err error) int {
	var (
		usage usageError
		stale staleLockError
		gate  *scan.GateError
		unsat *solve.UnsatisfiableError
		other foreignError
	)
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &gate):
		return exitGate
	case errors.As(err, &unsat), errors.As(err, &other):
		return exitNoSolution
	case errors.As(err, &stale):
		return exitStaleLock
	}
	return exitError
}
