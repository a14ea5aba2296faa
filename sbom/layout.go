package sbom

import (
	"errors"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// attestation marks what BuildKit puts beside an image in its index, and what is no image itself.
const attestation = "vnd.docker.reference.type"

// openImage is the image with the given digest in an OCI layout, or the only one there when the digest is empty.
// The digest may also be that of an index with one image.
func openImage(dir, digest string) (v1.Image, error) {
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the image layout %s: %w", dir, err)
	}
	found, err := images(index, digest, digest == "")
	if err != nil {
		return nil, fmt.Errorf("reading the image layout %s: %w", dir, err)
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) == 0 && digest != "":
		return nil, fmt.Errorf("the image layout %s has no image %s", dir, digest)
	case len(found) == 0:
		return nil, fmt.Errorf("the image layout %s has no image", dir)
	}
	return nil, fmt.Errorf("the image layout %s has %d images; say which by its digest", dir, len(found))
}

// images are the images of an index that are wanted: all of them, or the one with the digest and those below it.
func images(index v1.ImageIndex, digest string, all bool) ([]v1.Image, error) {
	m, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	var out []v1.Image
	for _, d := range m.Manifests {
		wanted := all || d.Digest.String() == digest
		switch {
		case d.Annotations[attestation] != "":
		case d.MediaType.IsIndex():
			inner, err := index.ImageIndex(d.Digest)
			if err != nil {
				return nil, err
			}
			below, err := images(inner, digest, wanted)
			if err != nil {
				return nil, err
			}
			out = append(out, below...)
		case d.MediaType.IsImage() && wanted:
			img, err := index.Image(d.Digest)
			if err != nil {
				return nil, err
			}
			out = append(out, img)
		}
	}
	return out, nil
}

// imageDigest is the digest of an image's manifest.
func imageDigest(img v1.Image) (string, error) {
	h, err := img.Digest()
	if err != nil {
		return "", fmt.Errorf("reading the image's manifest: %w", err)
	}
	if h.Algorithm != "sha256" || strings.Trim(h.Hex, "0123456789abcdef") != "" {
		return "", errors.New("the image's digest is not a sha256")
	}
	return h.String(), nil
}
