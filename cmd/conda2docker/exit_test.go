package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
)

// Clearing the cache is advised only where it would help.
func TestRemedy(t *testing.T) {
	cache := t.TempDir()
	full := func(path string) error {
		return fmt.Errorf("writing: %w", &fs.PathError{Op: "write", Path: path, Err: syscall.ENOSPC})
	}
	require.Empty(t, remedy(errors.New("other"), cache))
	require.Contains(t, remedy(full(filepath.Join(cache, "archives/a.conda")), cache), "cache prune")
	require.Contains(t, remedy(errors.New("rpc error: no space left on device"), cache), "cache prune")
	require.Equal(t, "\nthe disk of /dev/full is full: free some of it, or name another place", remedy(full("/dev/full"), cache))
}

func TestHints(t *testing.T) {
	v, err := conda.ParseVirtualPackage("__glibc=2.28")
	require.NoError(t, err)
	virtual := []conda.VirtualPackage{v}
	require.Equal(t, "choose another base with --base", hints(virtual, false)["__glibc"])
	require.Contains(t, hints(virtual, true)["__glibc"], "--glibc")
}
