package base

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// openLayout chooses an image of a layout on this disk. It is used where it lies.
func openLayout(_ context.Context, ref string, o Options) (Image, error) {
	dir, want, err := splitLayout(strings.TrimPrefix(ref, layoutPrefix))
	if err != nil {
		return Image{}, err
	}
	raw, err := os.ReadFile(filepath.Join(dir, ocispecs.ImageIndexFile))
	if err != nil {
		return Image{}, fmt.Errorf("it is no OCI layout: %w", err)
	}
	var index ocispecs.Index
	if err := json.Unmarshal(raw, &index); err != nil {
		return Image{}, fmt.Errorf("%s: %w", filepath.Join(dir, ocispecs.ImageIndexFile), err)
	}
	candidates := named(index.Manifests, want)
	for depth := 0; ; depth++ {
		d, err := choose(candidates, o.Platform)
		if err != nil {
			return Image{}, err
		}
		if !isIndex(d.MediaType) {
			return Image{Digest: d.Digest, Layout: dir}, nil
		}
		if depth == 4 {
			return Image{}, errors.New("its indexes are nested too deeply")
		}
		raw, err := readBlob(dir, d.Digest)
		if err != nil {
			return Image{}, err
		}
		var nested ocispecs.Index
		if err := json.Unmarshal(raw, &nested); err != nil {
			return Image{}, fmt.Errorf("index %s: %w", d.Digest, err)
		}
		candidates = nested.Manifests
	}
}

// splitLayout takes "/path", "/path@sha256:…" and "/path:tag" apart.
func splitLayout(s string) (dir, want string, err error) {
	if !filepath.IsAbs(s) {
		return "", "", errors.New("want oci-layout: and an absolute path")
	}
	if path, d, ok := strings.Cut(s, "@"); ok {
		return path, d, digest.Digest(d).Validate()
	}
	if _, err := os.Stat(s); errors.Is(err, fs.ErrNotExist) {
		if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, '/') {
			return s[:i], s[i+1:], nil
		}
	}
	return s, "", nil
}

// named are the manifests of a digest, a tag or a full name; all of them for "".
func named(manifests []ocispecs.Descriptor, want string) []ocispecs.Descriptor {
	var out []ocispecs.Descriptor
	for _, m := range manifests {
		tag, full := m.Annotations[ocispecs.AnnotationRefName], m.Annotations["io.containerd.image.name"]
		if want == "" || want == m.Digest.String() || want == tag || want == full || strings.HasSuffix(full, ":"+want) {
			out = append(out, m)
		}
	}
	return out
}

func isIndex(mediaType string) bool {
	return mediaType == ocispecs.MediaTypeImageIndex || mediaType == "application/vnd.docker.distribution.manifest.list.v2+json"
}

// choose finds the one image for a platform. One that states no platform counts, when it is the only one: its
// configuration is looked at later.
func choose(manifests []ocispecs.Descriptor, want ocispecs.Platform) (ocispecs.Descriptor, error) {
	var fit []ocispecs.Descriptor
	var platforms []string
	for _, m := range manifests {
		p := m.Platform
		if p == nil {
			fit = append(fit, m)
			continue
		}
		platforms = append(platforms, p.OS+"/"+p.Architecture)
		if p.OS == want.OS && p.Architecture == want.Architecture && (want.Variant == "" || p.Variant == want.Variant) {
			fit = append(fit, m)
		}
	}
	switch {
	case len(fit) == 1:
		return fit[0], nil
	case len(fit) == 0 && len(platforms) > 0:
		return ocispecs.Descriptor{}, fmt.Errorf("there is none for %s/%s, only for %s",
			want.OS, want.Architecture, strings.Join(platforms, ", "))
	case len(fit) == 0:
		return ocispecs.Descriptor{}, errors.New("there is no such image in the layout")
	}
	digests := make([]string, len(fit))
	for i, m := range fit {
		digests[i] = m.Digest.String()
	}
	return ocispecs.Descriptor{}, fmt.Errorf("the layout has several images, say which with @DIGEST: %s", strings.Join(digests, ", "))
}
