// Package base opens the image that an environment is put on, and reads from its bytes what the build must know of it.
package base

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/datalayer/conda2docker/builder/registry"
)

// Options says where base images come from and where they are kept.
type Options struct {
	Platform   ocispecs.Platform // default linux/amd64
	Registries registry.Registries
	Dir        string // the program's cache; what is fetched is kept in its folder "bases"
	Offline    bool   // use only what is kept
	// Progress is told how many bytes were fetched since it was last told, from several goroutines.
	Progress func(bytes int64)
}

// Image is one base image for one platform. All of its blobs are on this disk.
type Image struct {
	Ref        string        // as it was asked for
	Repository string        // "index.docker.io/library/debian"; "" where the image comes from a layout
	Digest     digest.Digest // of the platform's manifest
	Platform   ocispecs.Platform
	Config     ocispecs.Image
	RawConfig  []byte // the bytes that Config was read from
	Layers     []Layer
	Layout     string // folder of the OCI layout that has the blobs
	Facts      Facts
}

// Layer is one layer of a base image.
type Layer struct {
	ocispecs.Descriptor
	DiffID digest.Digest
}

// layoutPrefix begins the name of a base that is on this disk.
const layoutPrefix = "oci-layout:"

// Open finds a base image: a registry's reference such as "docker.io/library/debian:bookworm-slim", or
// "oci-layout:/absolute/path", followed by "@sha256:…" or ":tag" where the layout has several images. What comes
// from a registry is fetched once; a tag is resolved anew each time, unless Offline.
func Open(ctx context.Context, ref string, o Options) (Image, error) {
	if o.Platform.OS == "" {
		o.Platform = ocispecs.Platform{OS: "linux", Architecture: "amd64"}
	}
	if o.Dir == "" {
		return Image{}, errors.New("opening a base image: no cache folder given")
	}
	open := openRegistry
	if strings.HasPrefix(ref, layoutPrefix) {
		open = openLayout
	}
	img, err := open(ctx, ref, o)
	if err != nil {
		return Image{}, fmt.Errorf("base image %s: %w", ref, err)
	}
	img.Ref, img.Platform = ref, o.Platform
	if err := img.load(); err != nil {
		return Image{}, fmt.Errorf("base image %s: %w", ref, err)
	}
	if img.Facts, err = facts(ctx, img, o.entry(img.Digest)); err != nil {
		return Image{}, fmt.Errorf("base image %s: %w", ref, err)
	}
	return img, nil
}

// Blob is the file that holds one of the image's blobs.
func (i Image) Blob(d digest.Digest) string { return blobPath(i.Layout, d) }

func blobPath(layout string, d digest.Digest) string {
	return filepath.Join(layout, "blobs", d.Algorithm().String(), d.Encoded())
}

// entry is the cache's folder for an image.
func (o Options) entry(d digest.Digest) string {
	return filepath.Join(o.Dir, "bases", d.Algorithm().String()+"-"+d.Encoded())
}

// load reads the manifest and the configuration, and checks that they fit each other, the platform and the files.
func (i *Image) load() error {
	manifest, err := readManifest(i.Layout, i.Digest)
	if err != nil {
		return err
	}
	if i.RawConfig, err = readBlob(i.Layout, manifest.Config.Digest); err != nil {
		return err
	}
	if err := json.Unmarshal(i.RawConfig, &i.Config); err != nil {
		return fmt.Errorf("its configuration: %w", err)
	}
	if i.Config.OS != i.Platform.OS || i.Config.Architecture != i.Platform.Architecture {
		return fmt.Errorf("it is for %s/%s, not for %s/%s",
			i.Config.OS, i.Config.Architecture, i.Platform.OS, i.Platform.Architecture)
	}
	diffIDs := i.Config.RootFS.DiffIDs
	if len(diffIDs) != len(manifest.Layers) {
		return fmt.Errorf("its manifest has %d layers, its configuration %d", len(manifest.Layers), len(diffIDs))
	}
	i.Layers = make([]Layer, len(diffIDs))
	for n, l := range manifest.Layers {
		i.Layers[n] = Layer{Descriptor: l, DiffID: diffIDs[n]}
		info, err := os.Stat(i.Blob(l.Digest))
		if err != nil {
			return fmt.Errorf("its layer %s: %w", l.Digest, err)
		}
		if info.Size() != l.Size {
			return fmt.Errorf("its layer %s has %d bytes, want %d", l.Digest, info.Size(), l.Size)
		}
	}
	return nil
}

func readManifest(layout string, d digest.Digest) (ocispecs.Manifest, error) {
	raw, err := readBlob(layout, d)
	if err != nil {
		return ocispecs.Manifest{}, err
	}
	var m ocispecs.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return ocispecs.Manifest{}, fmt.Errorf("manifest %s: %w", d, err)
	}
	return m, nil
}

// readBlob reads a small blob and checks it.
func readBlob(layout string, d digest.Digest) ([]byte, error) {
	if err := d.Validate(); err != nil {
		return nil, fmt.Errorf("digest %q: %w", d, err)
	}
	b, err := os.ReadFile(blobPath(layout, d))
	if err != nil {
		return nil, err
	}
	if got := d.Algorithm().FromBytes(b); got != d {
		return nil, fmt.Errorf("blob %s is damaged: its digest is %s", d, got)
	}
	return b, nil
}

// touch tells the cache's pruning that an entry was used.
func touch(path string) {
	now := time.Now()
	_ = os.Chtimes(path, now, now)
}
