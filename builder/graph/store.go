package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/datalayer/conda2docker/builder/base"
	"github.com/datalayer/conda2docker/builder/layer"
)

// blob is bytes in memory, or a file.
type blob struct {
	bytes []byte
	path  string
	size  int64
}

// store is a content store that serves files as they are on disk, and what is made here, for reading only. It is
// filled before it is served.
type store struct {
	blobs map[digest.Digest]blob
}

var _ content.Store = (*store)(nil)

// addLayer makes a layer an image of its own, which is the form that BuildKit takes it in, and returns the
// digest of that image's manifest.
func (s *store) addLayer(l layer.Layer, platform ocispecs.Platform) (digest.Digest, error) {
	if err := l.Digest.Validate(); err != nil {
		return "", fmt.Errorf("layer %s: %w", l.Name, err)
	}
	if err := l.DiffID.Validate(); err != nil { // BuildKit does not look
		return "", fmt.Errorf("layer %s: uncompressed: %w", l.Name, err)
	}
	config, err := s.addJSON(ocispecs.Image{
		Platform: platform,
		RootFS:   ocispecs.RootFS{Type: "layers", DiffIDs: []digest.Digest{l.DiffID}},
	})
	if err != nil {
		return "", err
	}
	config.MediaType = ocispecs.MediaTypeImageConfig
	manifest, err := s.addJSON(ocispecs.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispecs.MediaTypeImageManifest,
		Config:    config,
		Layers:    []ocispecs.Descriptor{{MediaType: l.MediaType, Digest: l.Digest, Size: l.Size}},
	})
	if err != nil {
		return "", err
	}
	return manifest.Digest, s.addFile(l.Digest, l.Path, l.Size)
}

// addBase serves the base's manifest, configuration and layers.
func (s *store) addBase(img base.Image) error {
	raw, err := os.ReadFile(img.Blob(img.Digest))
	if err != nil {
		return fmt.Errorf("reading the manifest of base %s: %w", img.Ref, err)
	}
	var manifest ocispecs.Manifest
	if err := json.Unmarshal(raw, &manifest); err != nil {
		return fmt.Errorf("reading the manifest of base %s: %w", img.Ref, err)
	}
	s.blobs[img.Digest] = blob{bytes: raw, size: int64(len(raw))}
	for _, d := range append([]ocispecs.Descriptor{manifest.Config}, manifest.Layers...) {
		if err := s.addFile(d.Digest, img.Blob(d.Digest), d.Size); err != nil {
			return fmt.Errorf("base %s: %w", img.Ref, err)
		}
	}
	return nil
}

func (s *store) addJSON(v any) (ocispecs.Descriptor, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return ocispecs.Descriptor{}, err
	}
	d := digest.FromBytes(b)
	s.blobs[d] = blob{bytes: b, size: int64(len(b))}
	return ocispecs.Descriptor{Digest: d, Size: int64(len(b))}, nil
}

// addSource serves a file that a step is given.
func (s *store) addSource(f File) (digest.Digest, error) {
	r, err := os.Open(f.Source)
	if err != nil {
		return "", err
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		return "", err
	}
	d := f.Digest
	if d == "" {
		if d, err = digest.FromReader(r); err != nil {
			return "", err
		}
	}
	return d, s.addFile(d, f.Source, info.Size())
}

func (s *store) addFile(d digest.Digest, path string, size int64) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("blob %s: %w", d, err)
	}
	if info.Size() != size {
		return fmt.Errorf("blob %s: %s has %d bytes, want %d", d, filepath.Base(path), info.Size(), size)
	}
	s.blobs[d] = blob{path: path, size: size}
	return nil
}

// Info implements content.Store.
func (s *store) Info(_ context.Context, d digest.Digest) (content.Info, error) {
	b, ok := s.blobs[d]
	if !ok {
		return content.Info{}, fmt.Errorf("blob %s: %w", d, errdefs.ErrNotFound)
	}
	return content.Info{Digest: d, Size: b.size}, nil
}

// ReaderAt implements content.Store; the caller closes the file.
func (s *store) ReaderAt(_ context.Context, desc ocispecs.Descriptor) (content.ReaderAt, error) {
	b, ok := s.blobs[desc.Digest]
	if !ok {
		return nil, fmt.Errorf("blob %s: %w", desc.Digest, errdefs.ErrNotFound)
	}
	if b.path == "" {
		return memory{bytes.NewReader(b.bytes)}, nil
	}
	return local.OpenReader(b.path)
}

type memory struct{ *bytes.Reader }

func (memory) Close() error { return nil }

// Walk implements content.Store. Nothing is listed: who reads this store knows what he wants.
func (s *store) Walk(context.Context, content.WalkFunc, ...string) error { return nil }

// Update implements content.Store.
func (s *store) Update(context.Context, content.Info, ...string) (content.Info, error) {
	return content.Info{}, errReadOnly()
}

// Delete implements content.Store.
func (s *store) Delete(context.Context, digest.Digest) error { return errReadOnly() }

// Status implements content.Store.
func (s *store) Status(context.Context, string) (content.Status, error) {
	return content.Status{}, errdefs.ErrNotFound
}

// ListStatuses implements content.Store.
func (s *store) ListStatuses(context.Context, ...string) ([]content.Status, error) { return nil, nil }

// Abort implements content.Store.
func (s *store) Abort(context.Context, string) error { return errReadOnly() }

// Writer implements content.Store.
func (s *store) Writer(context.Context, ...content.WriterOpt) (content.Writer, error) {
	return nil, errReadOnly()
}

func errReadOnly() error {
	return fmt.Errorf("this content store is for reading: %w", errdefs.ErrNotImplemented)
}
