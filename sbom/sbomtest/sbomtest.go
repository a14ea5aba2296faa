// Package sbomtest makes small images with what scanners look for in them, in the manner of httptest.
package sbomtest

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/sbom"
)

var licensed = sync.OnceValues(func() (context.Context, error) { //nolint:gochecknoglobals // loaded once for all tests of a program
	return sbom.WithLicenses(context.Background())
})

// Context is what the tests of a program generate SBOMs with: loading the licence texts takes a second.
func Context(t testing.TB) context.Context {
	t.Helper()
	ctx, err := licensed()
	require.NoError(t, err)
	return ctx
}

// Prefix is where the environments of these images are.
const Prefix = "/opt/conda"

// Site is where their Python packages are.
const Site = Prefix + "/lib/python3.11/site-packages"

// Layer is the files of one layer, by their absolute paths. A path whose base begins with ".wh." is a whiteout.
type Layer map[string]string

// With is the layer with the files of others added.
func (l Layer) With(others ...Layer) Layer {
	out := maps.Clone(l)
	for _, o := range others {
		maps.Copy(out, o)
	}
	return out
}

// Layout writes an OCI layout with the one image that has these layers, and returns its folder.
func Layout(t testing.TB, layers ...Layer) string {
	t.Helper()
	dir := t.TempDir()
	p, err := layout.Write(dir, empty.Index)
	require.NoError(t, err)
	require.NoError(t, p.AppendImage(Image(t, layers...), layout.WithPlatform(v1.Platform{OS: "linux", Architecture: "amd64"})))
	return dir
}

// Image is an image with these layers.
func Image(t testing.TB, layers ...Layer) v1.Image {
	t.Helper()
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for _, l := range layers {
		data := l.tar(t)
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(data)), nil
		}, tarball.WithMediaType(types.OCILayer))
		require.NoError(t, err)
		img, err = mutate.AppendLayers(img, layer)
		require.NoError(t, err)
	}
	cfg, err := img.ConfigFile()
	require.NoError(t, err)
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture = "linux", "amd64"
	img, err = mutate.ConfigFile(img, cfg)
	require.NoError(t, err)
	return img
}

// tar is the layer as an archive, with the folders that its files need.
func (l Layer) tar(t testing.TB) []byte {
	t.Helper()
	entries := map[string]string{}
	for name, body := range l {
		name = strings.TrimPrefix(name, "/")
		entries[name] = body
		for d := path.Dir(name); d != "."; d = path.Dir(d) {
			entries[d+"/"] = ""
		}
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		h := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(entries[name])), ModTime: time.Unix(0, 0)}
		if strings.HasSuffix(name, "/") {
			h.Typeflag = tar.TypeDir
		}
		require.NoError(t, w.WriteHeader(h))
		_, err := io.WriteString(w, entries[name])
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return out.Bytes()
}

// CondaMeta is a record's conda-meta record, for a package that owns the given files of the prefix.
func CondaMeta(t testing.TB, rec *conda.Record, files ...string) Layer {
	t.Helper()
	m := map[string]any{
		"name": rec.Name, "version": rec.Version.String(), "build": rec.Build, "build_number": rec.BuildNumber,
		"subdir": rec.Subdir, "channel": rec.Channel.SubdirURL(rec.Subdir), "fn": rec.FileName, "url": rec.URL,
		"depends": rec.Depends, "license": rec.License, "timestamp": rec.Timestamp, "size": rec.Size,
		"sha256": rec.SHA256, "md5": rec.MD5, "files": files,
	}
	if rec.NoArch != conda.NoArchNone {
		m["noarch"] = rec.NoArch
	}
	data, err := json.MarshalIndent(m, "", "  ")
	require.NoError(t, err)
	return Layer{Prefix + "/conda-meta/" + rec.Dist() + ".json": string(data)}
}

// DistInfo is the metadata of an installed Python project, below a site-packages folder.
func DistInfo(site, name, version string) Layer {
	dir := fmt.Sprintf("%s/%s-%s.dist-info", site, name, version)
	return Layer{
		dir + "/METADATA": fmt.Sprintf("Metadata-Version: 2.1\nName: %s\nVersion: %s\nLicense: Apache-2.0\n", name, version),
		dir + "/RECORD":   fmt.Sprintf("%s/__init__.py,,\n", name),
	}
}

// Debian is a Debian 12 with one package installed, which owns the given files.
func Debian(name, version string, files ...string) Layer {
	var sums strings.Builder
	for _, f := range files {
		fmt.Fprintf(&sums, "%032d  %s\n", 0, strings.TrimPrefix(f, "/"))
	}
	return Layer{
		"/etc/os-release": "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nVERSION=\"12 (bookworm)\"\nVERSION_CODENAME=bookworm\nID=debian\n",
		"/var/lib/dpkg/status": fmt.Sprintf("Package: %s\nStatus: install ok installed\nPriority: optional\nSection: libs\nInstalled-Size: 10\n"+
			"Maintainer: Somebody <somebody@example.org>\nArchitecture: amd64\nVersion: %s\nDescription: a package\n\n", name, version),
		"/var/lib/dpkg/info/" + name + ".md5sums": sums.String(),
	}
}
