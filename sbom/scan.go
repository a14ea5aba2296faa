package sbom

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/anchore/stereoscope/pkg/file"
	"github.com/anchore/stereoscope/pkg/image"
	"github.com/anchore/syft/syft"
	"github.com/anchore/syft/syft/artifact"
	"github.com/anchore/syft/syft/cataloging"
	"github.com/anchore/syft/syft/cataloging/pkgcataloging"
	"github.com/anchore/syft/syft/cpe"
	"github.com/anchore/syft/syft/format/syftjson"
	"github.com/anchore/syft/syft/pkg"
	syftsbom "github.com/anchore/syft/syft/sbom"
	"github.com/anchore/syft/syft/source"
	"github.com/anchore/syft/syft/source/stereoscopesource"
	_ "github.com/glebarez/go-sqlite" // Syft reads RPM databases by it; Grype brings the same one, and there can be only one
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
)

// toolName is what the documents say they were made with.
const toolName = "conda2docker"

// scan lists the packages in an image's bytes, as Syft's own JSON. The layers are unpacked into a folder of
// their own below tempDir, which is removed again.
func scan(ctx context.Context, img v1.Image, digest, prefix, tempDir string) (_ []byte, err error) {
	layers, err := os.MkdirTemp(tempDir, ".tmp-layers-")
	if err != nil {
		return nil, err
	}
	temp := file.NewTempDirGenerator(toolName)
	defer func() {
		for _, clean := range []error{temp.Cleanup(), os.RemoveAll(layers)} {
			if err == nil {
				err = clean
			}
		}
	}()

	// The licence texts take a second to load, which is less than the layers take to unpack.
	read := image.New(img, temp, layers, image.WithManifestDigest(digest))
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := read.Read(image.WithLazyLayerSquashes(groupCtx)); err != nil {
			return fmt.Errorf("reading the layers of %s: %w", digest, err)
		}
		return nil
	})
	group.Go(func() (err error) {
		ctx, err = WithLicenses(ctx)
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	src := stereoscopesource.New(read, stereoscopesource.ImageConfig{
		Reference: digest,
		Alias:     source.Alias{Name: digest, Version: digest},
	})
	defer src.Close()

	s, err := syft.CreateSBOM(ctx, src, configuration(prefix))
	if err != nil {
		return nil, fmt.Errorf("listing the packages of %s: %w", digest, err)
	}
	tidy(s)
	var out bytes.Buffer
	if err := syftjson.NewFormatEncoder().Encode(&out, *s); err != nil {
		return nil, fmt.Errorf("encoding the packages of %s: %w", digest, err)
	}
	return out.Bytes(), nil
}

// configuration is Syft's for installed images, with our Conda cataloger in place of Syft's. Single files are left
// out: they would make up most of the documents, and their owners list them.
func configuration(prefix string) *syft.CreateSBOMConfig {
	return syft.DefaultCreateSBOMConfig().
		WithTool(toolName, "").
		WithoutFiles().
		WithRelationshipsConfig(cataloging.DefaultRelationshipsConfig().WithPackageFileOwnership(false)).
		WithCatalogerSelection(cataloging.NewSelectionRequest().WithRemovals("conda-meta-cataloger")).
		WithCatalogers(pkgcataloging.NewAlwaysEnabledCatalogerReference(cataloger{prefix: prefix}))
}

// tidy settles what Syft finds twice because a Conda package owns it: a binary that is recognised by its
// bytes is the Conda package's, and a Python project in it goes by its own name, not by guesses from the
// Conda package's. What is of another version than its owner is bundled software, and stays. Relationships to
// the files that packages were found by are dropped: they repeat the packages' locations, and SPDX would have
// files without hashes of them.
func tidy(s *syftsbom.SBOM) {
	s.Descriptor.Configuration = nil
	slices.SortFunc(s.Relationships, func(a, b artifact.Relationship) int { // Syft has them in the order of a map
		return cmp.Or(cmp.Compare(a.From.ID(), b.From.ID()), cmp.Compare(a.To.ID(), b.To.ID()), cmp.Compare(a.Type, b.Type))
	})
	drop := map[artifact.ID]bool{}
	for _, r := range s.Relationships {
		if r.Type != artifact.OwnershipByFileOverlapRelationship {
			continue
		}
		owner, owned := s.Artifacts.Packages.Package(r.From.ID()), s.Artifacts.Packages.Package(r.To.ID())
		if owner == nil || owned == nil || owner.Type != pkg.CondaPkg {
			continue
		}
		switch same := SameRelease(owner.Version, owned.Version); {
		case owned.Type == pkg.BinaryPkg && same:
			drop[owned.ID()] = true
			replaceCPEs(s, *owner, inherit(*owner, *owned))
		case owned.Type == pkg.PythonPkg && (same || projectName(owner.Name) == projectName(owned.Name)):
			replaceCPEs(s, *owner, without(owner.CPEs, cpe.GeneratedSource))
		}
	}
	var kept []artifact.Relationship
	for _, r := range s.Relationships {
		if r.Type != artifact.EvidentByRelationship && !drop[r.From.ID()] && !drop[r.To.ID()] {
			kept = append(kept, r)
		}
	}
	s.Relationships = kept
	for id := range drop {
		s.Artifacts.Packages.Delete(id)
	}
}

// SameRelease reports whether one version is the other, or the beginning of it.
func SameRelease(a, b string) bool { return strings.HasPrefix(a, b) || strings.HasPrefix(b, a) }

// projectName is a Python project's name as PyPI compares it (PEP 503).
func projectName(s string) string {
	return strings.ToLower(strings.Join(strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune("-_.", r) }), "-"))
}

// inherit are a package's CPEs, those of the binary recognised in it taking the place of guesses.
func inherit(owner, binary pkg.Package) []cpe.CPE {
	out := without(owner.CPEs, cpe.GeneratedSource)
	has := map[string]bool{}
	for _, c := range out {
		has[c.Attributes.String()] = true
	}
	for _, c := range without(binary.CPEs, cpe.GeneratedSource) {
		if !has[c.Attributes.String()] {
			has[c.Attributes.String()] = true
			out = append(out, c)
		}
	}
	return out
}

// without are the CPEs that are not of the given source.
func without(cpes []cpe.CPE, source cpe.Source) []cpe.CPE {
	out := []cpe.CPE{}
	for _, c := range cpes {
		if c.Source != source {
			out = append(out, c)
		}
	}
	return out
}

// replaceCPEs puts a package with other CPEs in the place of p; its identity does not depend on them.
func replaceCPEs(s *syftsbom.SBOM, p pkg.Package, cpes []cpe.CPE) {
	s.Artifacts.Packages.Delete(p.ID())
	p.CPEs = cpes
	s.Artifacts.Packages.Add(p)
}

// decode reads what scan returned.
func decode(data []byte) (*syftsbom.SBOM, error) {
	s, _, _, err := syftjson.NewFormatDecoder().Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return s, nil
}
