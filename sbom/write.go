package sbom

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/CycloneDX/cyclonedx-go"
	"github.com/anchore/syft/syft/format/common/cyclonedxhelpers"
	"github.com/anchore/syft/syft/format/common/spdxhelpers"
	"github.com/anchore/syft/syft/format/syftjson"
	"github.com/anchore/syft/syft/pkg"
	"github.com/google/uuid"
	"github.com/spdx/tools-golang/spdx"
)

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
func (f Format) FileName() string {
	if f == CycloneDX {
		return "sbom.cdx.json"
	}
	return "sbom." + string(f) + ".json"
}

// Write writes the document. The same image, name, version and epoch give the same bytes.
func (d *Document) Write(w io.Writer, f Format) error {
	var err error
	switch f {
	case SPDX:
		err = d.writeSPDX(w)
	case CycloneDX:
		err = d.writeCycloneDX(w)
	case Syft:
		err = syftjson.NewFormatEncoder().Encode(w, *d.sbom)
	default:
		err = fmt.Errorf("no such format: want %s, %s or %s", SPDX, CycloneDX, Syft)
	}
	if err != nil {
		return fmt.Errorf("writing the SBOM of %s as %q: %w", d.digest, f, err)
	}
	return nil
}

// id tells this document from every other, and is the same whenever it is made again. Syft would draw lots.
func (d *Document) id() uuid.UUID {
	return uuid.NewSHA1(uuid.NameSpaceURL, fmt.Appendf(nil, "%s\n%s\n%s\n%s\n%d",
		d.digest, d.sbom.Source.Name, d.sbom.Descriptor.Version, syftVersion(), d.epoch.Unix()))
}

// condaMetadata is what the image's records say of the Conda packages, by PURL.
func (d *Document) condaMetadata() map[string]pkg.CondaMetaPackage {
	out := map[string]pkg.CondaMetaPackage{}
	for _, p := range d.sbom.Artifacts.Packages.Sorted(pkg.CondaPkg) {
		if meta, ok := p.Metadata.(pkg.CondaMetaPackage); ok {
			out[p.PURL] = meta
		}
	}
	return out
}

// writeSPDX writes SPDX 2.3 JSON, adding what Syft leaves out of it.
func (d *Document) writeSPDX(w io.Writer) error {
	s := *d.sbom
	s.Artifacts.Unknowns = nil // files that could not be read have no hashes, which SPDX wants of every file
	doc := spdxhelpers.ToFormatModel(s)
	doc.DocumentName = d.sbom.Source.Name
	doc.DocumentNamespace = "https://datalayer.io/conda2docker/spdx/" + d.id().String()
	doc.CreationInfo.Created = d.epoch.Format(time.RFC3339)
	doc.CreationInfo.Creators = []spdx.Creator{
		{CreatorType: "Tool", Creator: toolName + "-" + cmp.Or(d.sbom.Descriptor.Version, "dev")},
		{CreatorType: "Tool", Creator: "syft-" + cmp.Or(syftVersion(), "unknown")},
	}
	records := d.condaMetadata()
	for _, p := range doc.Packages {
		p.FilesAnalyzed, p.PackageVerificationCode = false, nil // what is listed by itself is never all of a package's files
		for _, ref := range p.PackageExternalReferences {
			if strings.HasPrefix(ref.Locator, "pkg:oci/") {
				ref.Locator = d.purl()
			}
			if meta, ok := records[ref.Locator]; ok && ref.RefType == "purl" {
				describeSPDX(p, meta)
			}
		}
	}
	declareLicenses(doc)
	slices.SortStableFunc(doc.Relationships, func(a, b *spdx.Relationship) int {
		return cmp.Or(
			cmp.Compare(a.RefA.ElementRefID, b.RefA.ElementRefID),
			cmp.Compare(a.Relationship, b.Relationship),
			cmp.Compare(a.RefB.ElementRefID, b.RefB.ElementRefID))
	})
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(doc)
}

// describeSPDX says where a Conda package's archive is, and which one it is.
func describeSPDX(p *spdx.Package, meta pkg.CondaMetaPackage) {
	if meta.URL != "" {
		p.PackageDownloadLocation = meta.URL
	}
	if meta.Filename != "" {
		p.PackageFileName = meta.Filename
	}
	if meta.SHA256 != "" {
		p.PackageChecksums = append(p.PackageChecksums, spdx.Checksum{Algorithm: spdx.SHA256, Value: meta.SHA256})
	}
	if meta.MD5 != "" {
		p.PackageChecksums = append(p.PackageChecksums, spdx.Checksum{Algorithm: spdx.MD5, Value: meta.MD5})
	}
}

var licenseRef = regexp.MustCompile(`LicenseRef-[A-Za-z0-9.-]+`)

// declareLicenses gives every LicenseRef of the document the text that SPDX asks for (clause 10): what the package
// says its licence is, where the licence's own text was not found.
func declareLicenses(doc *spdx.Document) {
	declared := map[string]bool{}
	for _, l := range doc.OtherLicenses {
		declared[l.LicenseIdentifier] = true
		if l.ExtractedText == "" || l.ExtractedText == "NOASSERTION" {
			l.ExtractedText = cmp.Or(l.LicenseName, l.LicenseIdentifier)
		}
	}
	for _, p := range doc.Packages {
		for _, ref := range licenseRef.FindAllString(p.PackageLicenseDeclared+" "+p.PackageLicenseConcluded, -1) {
			if !declared[ref] {
				declared[ref] = true
				name := strings.TrimPrefix(ref, "LicenseRef-")
				doc.OtherLicenses = append(doc.OtherLicenses, &spdx.OtherLicense{LicenseIdentifier: ref, LicenseName: name, ExtractedText: name})
			}
		}
	}
	slices.SortFunc(doc.OtherLicenses, func(a, b *spdx.OtherLicense) int {
		return strings.Compare(a.LicenseIdentifier, b.LicenseIdentifier)
	})
}

// writeCycloneDX writes CycloneDX 1.6 JSON, adding what Syft leaves out of it.
func (d *Document) writeCycloneDX(w io.Writer) error {
	bom := cyclonedxhelpers.ToFormatModel(*d.sbom)
	bom.SerialNumber = d.id().URN()
	bom.Metadata.Timestamp = d.epoch.Format(time.RFC3339)
	bom.Metadata.Tools = &cyclonedx.ToolsChoice{Components: &[]cyclonedx.Component{
		{Type: cyclonedx.ComponentTypeApplication, Author: "Datalayer", Name: toolName, Version: d.sbom.Descriptor.Version},
		{Type: cyclonedx.ComponentTypeApplication, Author: "anchore", Name: "syft", Version: syftVersion()},
	}}
	if bom.Metadata.Component != nil {
		bom.Metadata.Component.PackageURL = d.purl()
	}
	records := d.condaMetadata()
	if bom.Components != nil {
		for i := range *bom.Components {
			c := &(*bom.Components)[i]
			if meta, ok := records[c.PackageURL]; ok {
				describeCycloneDX(c, meta)
			}
		}
	}
	enc := cyclonedx.NewBOMEncoder(w, cyclonedx.BOMFileFormatJSON)
	enc.SetEscapeHTML(false)
	return enc.EncodeVersion(bom, cyclonedx.SpecVersion1_6)
}

// describeCycloneDX says where a Conda package's archive is, and which one it is.
func describeCycloneDX(c *cyclonedx.Component, meta pkg.CondaMetaPackage) {
	var hashes []cyclonedx.Hash
	if meta.SHA256 != "" {
		hashes = append(hashes, cyclonedx.Hash{Algorithm: cyclonedx.HashAlgoSHA256, Value: meta.SHA256})
	}
	if meta.MD5 != "" {
		hashes = append(hashes, cyclonedx.Hash{Algorithm: cyclonedx.HashAlgoMD5, Value: meta.MD5})
	}
	if meta.URL == "" {
		if len(hashes) > 0 {
			c.Hashes = &hashes
		}
		return
	}
	ref := cyclonedx.ExternalReference{URL: meta.URL, Type: cyclonedx.ERTypeDistribution}
	if len(hashes) > 0 {
		c.Hashes, ref.Hashes = &hashes, &hashes
	}
	refs := []cyclonedx.ExternalReference{ref}
	if c.ExternalReferences != nil {
		refs = append(*c.ExternalReferences, ref)
	}
	c.ExternalReferences = &refs
}
