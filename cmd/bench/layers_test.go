package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda/condatest"
)

// What is measured are the packages' segments, each of a package's own.
func TestSegmentsAreMade(t *testing.T) {
	dir := t.TempDir()
	body := strings.Repeat("some text ", 10_000)
	var paths []string
	for name, format := range map[string]condatest.Format{"a": condatest.Conda, "b": condatest.TarBz2} {
		p := condatest.Package{Name: name, Format: format, Files: []condatest.File{{Path: "share/" + name, Body: body}}}
		paths = append(paths, p.File(t, dir))
	}
	require.ElementsMatch(t, paths, append(find(filepath.Dir(filepath.Dir(paths[0])), ".conda"), find(filepath.Dir(filepath.Dir(paths[0])), ".tar.bz2")...))
	got, err := makeSegments(t.Context(), t.TempDir(), paths, 2)
	require.NoError(t, err)
	require.Greater(t, got.TarSize, int64(2*len(body)))
	require.Positive(t, got.Took)
	require.Positive(t, got.Peak)

	c := contest{tarSize: 300e6}
	require.Equal(t, "100 MB/s (3000 ms)", c.speed(3*time.Second))
}
