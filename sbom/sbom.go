// Package sbom says what is in an image, and vouches that the Conda packages in it are those that were solved.
package sbom

import (
	"context"
	"fmt"
	"os"
	"path"
	"time"

	"github.com/anchore/packageurl-go"
	"github.com/anchore/syft/syft/pkg"
	syftsbom "github.com/anchore/syft/syft/sbom"
	"github.com/anchore/syft/syft/source"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/datalayer/conda2docker/conda"
)

// Request is an image, and what must be found in it.
type Request struct {
	Layout  string          // folder of an OCI layout
	Digest  string          // the image's manifest in that layout; the only image there when empty
	Records []*conda.Record // the solved set: exactly these packages must be in the prefix
	Prefix  string          // the environment's prefix in the image; "/opt/conda" when empty
	Python  []Distribution  // what pip installed, besides what the solved set has: at least these must be in the prefix
	Files   []File          // made or changed by the building, each path once: listed beside the packages

	Name    string    // what the documents call the image, e.g. "registry.example/team/env:1"; its digest when empty
	Version string    // the version of conda2docker, for the documents
	Epoch   time.Time // the documents' creation time; 1970 when zero

	CacheDir string // where scans are kept by the image's digest; nothing is kept when empty
}

// Document is the SBOM of one image. It does not change.
type Document struct {
	digest string
	epoch  time.Time
	sbom   *syftsbom.SBOM
}

// Digest is the digest of the image's manifest.
func (d *Document) Digest() string { return d.digest }

// SBOM is the document as Syft has it, for readers only.
func (d *Document) SBOM() *syftsbom.SBOM { return d.sbom }

// purl is the package URL of the image itself, of the type "oci":
// https://github.com/package-url/purl-spec/blob/main/types/oci-definition.json
func (d *Document) purl() string {
	var q packageurl.Qualifiers
	if m, ok := d.sbom.Source.Metadata.(source.ImageMetadata); ok && m.Architecture != "" {
		q = append(q, packageurl.Qualifier{Key: "arch", Value: m.Architecture})
	}
	ref, err := name.ParseReference(d.sbom.Source.Name, name.StrictValidation)
	if err != nil {
		return packageurl.NewPackageURL("oci", "", "image", d.digest, q, "").ToString()
	}
	q = append(q, packageurl.Qualifier{Key: "repository_url", Value: ref.Context().Name()})
	if tag, ok := ref.(name.Tag); ok {
		q = append(q, packageurl.Qualifier{Key: "tag", Value: tag.TagStr()})
	}
	return packageurl.NewPackageURL("oci", "", path.Base(ref.Context().RepositoryStr()), d.digest, q, "").ToString()
}

// Counts is how many packages of each kind a document lists.
type Counts struct {
	Conda, Python, Deb, Other int
}

// Total is the number of all packages.
func (c Counts) Total() int { return c.Conda + c.Python + c.Deb + c.Other }

// Counts says how many packages of each kind there are.
func (d *Document) Counts() Counts {
	var c Counts
	for p := range d.sbom.Artifacts.Packages.Enumerate() {
		switch p.Type {
		case pkg.CondaPkg:
			c.Conda++
		case pkg.PythonPkg:
			c.Python++
		case pkg.DebPkg:
			c.Deb++
		default:
			c.Other++
		}
	}
	return c
}

// Generate reads the image's bytes, lists the packages in it, and holds those of the prefix against the solved
// set: the error is a *MismatchError when they differ. An image that was scanned before is not scanned again,
// as its digest says that it is the same; the comparison is made every time.
func Generate(ctx context.Context, req Request) (*Document, error) {
	if req.Prefix == "" {
		req.Prefix = "/opt/conda"
	}
	req.Prefix = path.Clean(req.Prefix)
	img, err := openImage(req.Layout, req.Digest)
	if err != nil {
		return nil, err
	}
	digest, err := imageDigest(img)
	if err != nil {
		return nil, err
	}
	if req.CacheDir != "" {
		if err := os.MkdirAll(req.CacheDir, 0o755); err != nil {
			return nil, fmt.Errorf("keeping scans: %w", err)
		}
	}
	kept := cache{dir: req.CacheDir}
	s := kept.load(digest, req.Prefix)
	if s == nil {
		data, err := scan(ctx, img, digest, req.Prefix, req.CacheDir)
		if err != nil {
			return nil, err
		}
		if err := kept.store(digest, req.Prefix, data); err != nil {
			return nil, err
		}
		// The first document of an image is made of the same bytes as all later ones.
		if s, err = decode(data); err != nil {
			return nil, fmt.Errorf("reading the packages of %s: %w", digest, err)
		}
	}
	if err := compare(s, req.Records, digest, req.Prefix); err != nil {
		return nil, err
	}
	if err := comparePython(s, req.Python, digest, req.Prefix); err != nil {
		return nil, err
	}
	addFiles(s, req.Files, req.Prefix)
	s.Descriptor = syftsbom.Descriptor{Name: toolName, Version: req.Version}
	if req.Name != "" {
		s.Source.Name = req.Name
	}
	epoch := req.Epoch
	if epoch.IsZero() {
		epoch = time.Unix(0, 0)
	}
	return &Document{digest: digest, epoch: epoch.UTC(), sbom: s}, nil
}
