package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestReadManifest(t *testing.T) {
	file := filepath.Join(t.TempDir(), "runtime.yaml")
	write := func(image string) {
		require.NoError(t, os.WriteFile(file, []byte("metadata:\n  annotations: {conda2docker.datalayer.io/image: 'localhost:5000/a/b:1'}\nspec: {dockerImage: '"+image+"'}\n"), 0o600))
	}
	const digest = "sha256:3a53672948035f88bc30fa144a43582bd95113a101a0a952cd185297473b59d3"
	write("localhost:5000/a/b@" + digest)
	pinned, tag, err := readManifest(file)
	require.NoError(t, err)
	require.Equal(t, digest, pinned.DigestStr())
	require.Equal(t, "1", tag.TagStr())
	write("localhost:5000/a/b:1")
	_, _, err = readManifest(file)
	require.ErrorContains(t, err, "the manifest is not pinned")
}

func TestTableShowsFailures(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, writeTable(&out, []row{
		{Name: "xarray", Packages: 95, Layers: 37, Bytes: 150_100_000, Took: 1600 * time.Millisecond, Found: map[string]int{"critical": 1, "medium": 2}, Digest: "sha256:1", Manifest: "m.yaml"},
		{Name: "pip", Failed: true},
	}))
	require.Equal(t, ""+
		"EXAMPLE  PACKAGES  LAYERS  MB     SECONDS  CRITICAL  HIGH  MEDIUM  LOW  DIGEST    MANIFEST\n"+
		"xarray   95        37      150.1  1.6      1         0     2       0    sha256:1  m.yaml\n"+
		"pip      FAILED\n", regexp.MustCompile(` +\n`).ReplaceAllString(out.String(), "\n"))
}

func TestExamplesAreInOrder(t *testing.T) {
	names, err := exampleNames(".")
	require.NoError(t, err)
	require.Equal(t, []string{"python-simple", "xarray", "pip", "gpu"}, names)
	for _, n := range names {
		require.FileExists(t, filepath.Join(n, "check.py"))
		require.FileExists(t, filepath.Join(n, "runtime.yaml"))
	}
}
