// Package base opens the image that an environment is put on, and reads from its bytes what the build must know of it.
package base

import (
	"context"
	"errors"

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
	Repository string        // "docker.io/library/debian"; "" where the image comes from a layout
	Digest     digest.Digest // of the platform's manifest
	Platform   ocispecs.Platform
	Manifest   ocispecs.Descriptor
	Config     ocispecs.Image
	Layers     []Layer
	Layout     string // folder of the OCI layout that has the blobs
	Facts      Facts
}

// Layer is one layer of a base image.
type Layer struct {
	ocispecs.Descriptor
	DiffID digest.Digest
}

// Facts is what the bytes of a base image say.
type Facts struct {
	Glibc     string            `json:"glibc"`     // "2.36"; "" where libc.so.6 is not glibc's, or is missing
	Passwd    string            `json:"passwd"`    // /etc/passwd
	Group     string            `json:"group"`     // /etc/group
	OSRelease map[string]string `json:"osRelease"` // /etc/os-release
	Shell     bool              `json:"shell"`     // there is /bin/sh
	Bash      bool              `json:"bash"`      // there is /bin/bash
	Conda     bool              `json:"conda"`     // there is something below /opt/conda
	// Links are the symbolic links that stand where a distribution may have directories, such as
	// "lib64": "usr/lib64", without leading slashes.
	Links map[string]string `json:"links"`
	// Homes are the folders in /home.
	Homes []string `json:"homes"`
}

// Open finds a base image: a registry's reference such as "docker.io/library/debian:bookworm-slim", or
// "oci-layout:/absolute/path", with "@sha256:…" or ":tag" where the layout has several images.
func Open(_ context.Context, _ string, _ Options) (Image, error) {
	return Image{}, errors.New("opening a base image: not yet written")
}

// Blob is the file that holds one of the image's blobs.
func (i Image) Blob(d digest.Digest) string { return blobPath(i.Layout, d) }
