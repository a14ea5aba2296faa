// Package basetest makes small images on disk for tests.
package basetest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

// File is one entry of a layer: a regular file, unless it is a Dir or has a Link.
type File struct {
	Path     string
	Body     string
	Mode     int64 // default 0o644, and 0o755 for a directory
	UID, GID int
	Dir      bool
	Link     string // target of a symbolic link
	HardLink string // path of the file that this is another name of
}

// Image is an image to make.
type Image struct {
	Layers   [][]File
	Config   ocispecs.ImageConfig
	Platform ocispecs.Platform // default linux/amd64
	History  []ocispecs.History
	Tag      string // name in the layout's index
}

// Blob is a layer as it lies in a registry.
type Blob struct {
	Bytes  []byte
	Digest digest.Digest
	DiffID digest.Digest
}

// Layer makes a gzip-compressed layer; its files are as old as the year 2000.
func Layer(t testing.TB, files ...File) Blob {
	t.Helper()
	var plain bytes.Buffer
	w := tar.NewWriter(&plain)
	for _, f := range files {
		h := &tar.Header{
			Name: f.Path, Mode: f.Mode, Uid: f.UID, Gid: f.GID, Typeflag: tar.TypeReg, Size: int64(len(f.Body)),
			ModTime: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC),
		}
		switch {
		case f.Dir:
			h.Typeflag, h.Name, h.Size = tar.TypeDir, f.Path+"/", 0
		case f.Link != "":
			h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, f.Link, 0o777
		case f.HardLink != "":
			h.Typeflag, h.Linkname = tar.TypeLink, f.HardLink
		}
		if h.Mode == 0 && f.Dir {
			h.Mode = 0o755
		} else if h.Mode == 0 {
			h.Mode = 0o644
		}
		require.NoError(t, w.WriteHeader(h))
		_, err := w.Write([]byte(f.Body))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	var blob bytes.Buffer
	z := gzip.NewWriter(&blob)
	_, err := z.Write(plain.Bytes())
	require.NoError(t, err)
	require.NoError(t, z.Close())
	return Blob{blob.Bytes(), digest.FromBytes(blob.Bytes()), digest.FromBytes(plain.Bytes())}
}

// Write puts images into a layout at dir and returns the digests of their manifests.
func Write(t testing.TB, dir string, images ...Image) []digest.Digest {
	t.Helper()
	put := func(b []byte) ocispecs.Descriptor {
		d := digest.FromBytes(b)
		path := filepath.Join(dir, "blobs", "sha256", d.Encoded())
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, b, 0o644))
		return ocispecs.Descriptor{Digest: d, Size: int64(len(b))}
	}
	asJSON := func(v any) []byte {
		b, err := json.Marshal(v)
		require.NoError(t, err)
		return b
	}
	index := ocispecs.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispecs.MediaTypeImageIndex}
	digests := make([]digest.Digest, 0, len(images))
	for _, img := range images {
		if img.Platform.OS == "" {
			img.Platform = ocispecs.Platform{OS: "linux", Architecture: "amd64"}
		}
		config := ocispecs.Image{Platform: img.Platform, Config: img.Config, History: img.History, RootFS: ocispecs.RootFS{Type: "layers"}}
		manifest := ocispecs.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispecs.MediaTypeImageManifest}
		for _, files := range img.Layers {
			blob := Layer(t, files...)
			d := put(blob.Bytes)
			d.MediaType = ocispecs.MediaTypeImageLayerGzip
			manifest.Layers = append(manifest.Layers, d)
			config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, blob.DiffID)
		}
		manifest.Config = put(asJSON(config))
		manifest.Config.MediaType = ocispecs.MediaTypeImageConfig
		d := put(asJSON(manifest))
		d.MediaType, d.Platform = ocispecs.MediaTypeImageManifest, &img.Platform
		if img.Tag != "" {
			d.Annotations = map[string]string{ocispecs.AnnotationRefName: img.Tag}
		}
		index.Manifests = append(index.Manifests, d)
		digests = append(digests, d.Digest)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, ocispecs.ImageLayoutFile), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, ocispecs.ImageIndexFile), asJSON(index), 0o644))
	return digests
}
