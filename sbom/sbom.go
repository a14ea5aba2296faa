// Package sbom says what is in an image, and vouches that the Conda packages in it are those that were solved.
package sbom

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	syft "github.com/anchore/syft/syft/sbom"

	"github.com/datalayer/conda2docker/conda"
)

// Request is an image, and what must be found in it.
type Request struct {
	Layout  string          // folder of an OCI layout
	Digest  string          // the image's manifest in that layout; the only image there when empty
	Records []*conda.Record // the solved set: exactly these packages must be in the prefix
	Prefix  string          // the environment's prefix in the image; "/opt/conda" when empty

	Name    string    // what the documents call the image, e.g. "registry.example/team/env:1"; its digest when empty
	Version string    // the version of conda2docker, for the documents
	Epoch   time.Time // the documents' creation time; 1970 when zero

	CacheDir string // where scans are kept by the image's digest; nothing is kept when empty
}

// Format is a kind of SBOM document.
type Format string

// The formats that a Document can be written in.
const (
	SPDX      Format = "spdx"      // SPDX 2.3 JSON
	CycloneDX Format = "cyclonedx" // CycloneDX 1.6 JSON
	Syft      Format = "syft"      // Syft's own JSON, which loses nothing
)

// Formats are all formats, in the order in which they are written.
func Formats() []Format { return []Format{SPDX, CycloneDX, Syft} }

// FileName is what a document in this format is called among the evidence, e.g. "sbom.spdx.json".
func (f Format) FileName() string { return "sbom." + string(f) + ".json" }

// MediaType is the type under which a document in this format is attached to an image.
func (f Format) MediaType() string {
	switch f {
	case SPDX:
		return "application/spdx+json"
	case CycloneDX:
		return "application/vnd.cyclonedx+json"
	case Syft:
		return "application/vnd.syft+json"
	}
	return "application/json"
}

// Counts is how many packages of each kind a document lists.
type Counts struct {
	Conda, Python, Deb, Other int
}

// Total is the number of all packages.
func (c Counts) Total() int { return c.Conda + c.Python + c.Deb + c.Other }

// Document is the SBOM of one image. It does not change.
type Document struct {
	digest string
	sbom   *syft.SBOM
}

// Digest is the digest of the image's manifest.
func (d *Document) Digest() string { return d.digest }

// SBOM is the document as Syft has it, for readers only.
func (d *Document) SBOM() *syft.SBOM { return d.sbom }

// Counts says how many packages of each kind there are.
func (d *Document) Counts() Counts { return Counts{} }

// Write writes the document; the same image gives the same bytes.
func (d *Document) Write(_ io.Writer, f Format) error {
	return fmt.Errorf("writing an SBOM as %q: %w", f, errors.ErrUnsupported)
}

// Generate reads the image's bytes, lists the packages in it, and compares those of the prefix with the solved
// set: a *MismatchError when they differ.
func Generate(_ context.Context, req Request) (*Document, error) {
	return nil, fmt.Errorf("scanning %s: %w", req.Layout, errors.ErrUnsupported)
}

// MismatchError says how the Conda packages found in an image differ from those that were solved.
type MismatchError struct {
	Digest    string
	Prefix    string
	Missing   []string // solved, but no record of it in the image
	Extra     []string // a record in the image, but not solved
	Differing []string // both, but not the same package
	Duplicate []string // more than one record for a name
}

func (e *MismatchError) Error() string { return "the image does not hold what was solved" }
