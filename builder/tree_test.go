package builder_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/builder"
	"github.com/datalayer/conda2docker/builder/engine"
	"github.com/datalayer/conda2docker/builder/graph"
	"github.com/datalayer/conda2docker/builder/layer"
	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/condatest"
	"github.com/datalayer/conda2docker/conda/link"
)

// TestStepsSeeWhatWasLinked is what a step finds in the prefix of packages that meet in files, directories and symlinks: what
// linking them one after the other would leave there, whatever the order of their layers.
func TestStepsSeeWhatWasLinked(t *testing.T) {
	needRuntime(t)
	var inputs []layer.Input
	for _, p := range []condatest.Package{
		{Name: "a", Files: []condatest.File{
			{Path: "bin/x", Body: "a"},
			{Path: "share/gone/one", Body: "a"},
			{Path: "share/gone/two", Body: "a"},
			{Path: "lib64", Link: "lib"},
			{Path: "lib/a", Body: "a"},
			{Path: "etc/file", Body: "a"},
			{Path: "var/log/a", Body: "a"},
		}},
		{Name: "b", Files: []condatest.File{
			{Path: "bin/x", Body: "b"},
			{Path: "share/gone", Body: "b"},
			{Path: "lib64/b", Body: "b"},
			{Path: "etc/file/is/a/directory", Body: "b"},
			{Path: "var/log", Link: "../lib"},
		}},
		{Name: "c", Files: []condatest.File{{Path: "share/gone/two", Body: "c"}, {Path: "lib64/a", Body: "c"}, {Path: "var/log/c", Body: "c"}}},
	} {
		a := p.Archive(t)
		at := filepath.Join(t.TempDir(), a.FileName)
		require.NoError(t, os.WriteFile(at, a.Bytes, 0o600))
		inputs = append(inputs, layer.Input{
			Record: a.Record, ArchivePath: at, ArchiveSHA256: a.Record.SHA256, Target: link.Target{Prefix: "/opt/conda", Subdir: conda.Linux64},
		})
	}
	cache, err := layer.Open(layer.Options{Dir: t.TempDir()})
	require.NoError(t, err)
	segments, err := cache.Segments(t.Context(), inputs, 1, nil)
	require.NoError(t, err)
	segments, settled, err := cache.Settle(t.Context(), segments)
	require.NoError(t, err)
	require.Equal(t, map[int][]string{0: {"share/gone/one"}}, settled.Gone)
	last, err := cache.Environment(t.Context(), layer.Environment{Prefix: "/opt/conda", Winners: settled.Winners})
	require.NoError(t, err)
	layers, err := cache.Layers(t.Context(), layer.Groups(segments, 0), 1)
	require.NoError(t, err)
	require.Len(t, layers, 3, "packages that meet have layers of their own")

	eng := openEngine(t, engine.Options{})
	req := request(t, newBase(t, t.TempDir()))
	req.Steps = []graph.Step{{Name: "list", Args: []string{toolPath, "list", "/opt/conda", "/list"}}}
	for range 2 {
		slices.Reverse(layers)
		req.Layers = append(slices.Clone(layers), last)
		built, err := builder.Build(t.Context(), eng, req)
		require.NoError(t, err)
		requireStepFile(t, built, len(built.Manifest.Layers)-1, "list", `bin
bin/x = b
etc
etc/file
etc/file/is
etc/file/is/a
etc/file/is/a/directory = b
lib
lib/a = c
lib/b = b
lib/c = c
lib64 -> lib
share
share/gone
share/gone/two = c
var
var/log -> ../lib
`)
	}
}
