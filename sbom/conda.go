package sbom

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"path"
	"slices"
	"strings"

	"github.com/anchore/syft/syft/artifact"
	"github.com/anchore/syft/syft/file"
	"github.com/anchore/syft/syft/pkg"

	"github.com/datalayer/conda2docker/conda"
)

// cataloger finds Conda packages by the records that Conda's installers leave behind (CEP 32). Syft has one
// too, but that one is off for images, drops records with "noarch": true, takes a package's files for files of
// the image's root, and gives no PURL and no dependencies.
type cataloger struct {
	prefix string // where records count without further signs of an environment
}

const catalogerName = "conda2docker-conda-cataloger"

// Name is what the packages say that they were found by.
func (c cataloger) Name() string { return catalogerName }

// Catalog lists the packages of every Conda environment in the image.
func (c cataloger) Catalog(ctx context.Context, r file.Resolver) ([]pkg.Package, []artifact.Relationship, error) {
	found, err := r.FilesByGlob("**/conda-meta/*.json")
	if err != nil {
		return nil, nil, fmt.Errorf("looking for conda records: %w", err)
	}
	slices.SortFunc(found, func(a, b file.Location) int { return strings.Compare(a.RealPath, b.RealPath) })
	found = slices.CompactFunc(found, func(a, b file.Location) bool { return a.RealPath == b.RealPath })

	var pkgs []pkg.Package
	environments := map[string]map[string]pkg.Package{} // prefix, name
	for _, loc := range found {
		prefix := prefixOf(loc)
		if !c.isEnvironment(r, prefix) {
			continue
		}
		p, err := readRecord(ctx, r, loc)
		if err != nil {
			return nil, nil, fmt.Errorf("reading conda record %s: %w", loc.RealPath, err)
		}
		pkgs = append(pkgs, p)
		if environments[prefix] == nil {
			environments[prefix] = map[string]pkg.Package{}
		}
		environments[prefix][p.Name] = p
	}
	return pkgs, dependencies(pkgs, environments), nil
}

// isEnvironment tells environments from folders that are merely called conda-meta, such as test data: every
// environment has a history. That of the image being built is one in any case, or a lost history would hide it.
func (c cataloger) isEnvironment(r file.Resolver, prefix string) bool {
	return prefix == c.prefix || r.HasPath(path.Join(prefix, "conda-meta", "history"))
}

// prefixOf is the prefix of the environment that a record belongs to.
func prefixOf(loc file.Location) string { return path.Dir(path.Dir(loc.RealPath)) }

// record is what is read of a conda-meta record; "any" stands where installers have written more than one type.
type record struct {
	Arch          any      `json:"arch"`
	Name          string   `json:"name"`
	Version       string   `json:"version"`
	Build         string   `json:"build"`
	BuildNumber   int      `json:"build_number"`
	Channel       any      `json:"channel"`
	Subdir        string   `json:"subdir"`
	NoArch        any      `json:"noarch"`
	License       any      `json:"license"`
	LicenseFamily any      `json:"license_family"`
	MD5           string   `json:"md5"`
	SHA256        string   `json:"sha256"`
	Size          float64  `json:"size"`
	Timestamp     float64  `json:"timestamp"`
	FileName      string   `json:"fn"`
	URL           string   `json:"url"`
	Depends       []string `json:"depends"`
	Files         []string `json:"files"`
}

// readRecord makes a package of a record.
func readRecord(ctx context.Context, r file.Resolver, loc file.Location) (pkg.Package, error) {
	in, err := r.FileContentsByLocation(loc)
	if err != nil {
		return pkg.Package{}, err
	}
	defer in.Close()
	var rec record
	if err := json.NewDecoder(in).Decode(&rec); err != nil {
		return pkg.Package{}, err
	}
	if rec.Name == "" || rec.Version == "" {
		return pkg.Package{}, fmt.Errorf("it names no package and version")
	}
	meta := rec.metadata(prefixOf(loc))
	p := pkg.Package{
		Name:      meta.Name,
		Version:   meta.Version,
		Type:      pkg.CondaPkg,
		FoundBy:   catalogerName,
		Language:  pkg.UnknownLanguage,
		Locations: file.NewLocationSet(loc.WithAnnotation(pkg.EvidenceAnnotationKey, pkg.PrimaryEvidenceAnnotation)),
		Licenses:  licenses(ctx, meta.License, loc),
		PURL:      purl(meta),
		CPEs:      curatedCPEs(meta.Name, meta.Version),
		Metadata:  meta,
	}
	p.SetID()
	return p, nil
}

// metadata is the record as Syft has it, with the package's files as paths of the image.
func (r record) metadata(prefix string) pkg.CondaMetaPackage {
	files := make([]string, 0, len(r.Files))
	for _, f := range r.Files {
		files = append(files, path.Join(prefix, f))
	}
	slices.Sort(files)
	return pkg.CondaMetaPackage{
		Arch: text(r.Arch), Name: r.Name, Version: r.Version, Build: r.Build, BuildNumber: r.BuildNumber,
		Channel: redact(text(r.Channel)), Subdir: r.Subdir, Noarch: noarch(r.NoArch),
		License: text(r.License), LicenseFamily: text(r.LicenseFamily),
		MD5: r.MD5, SHA256: r.SHA256, Size: integer(r.Size), Timestamp: integer(r.Timestamp),
		Filename: r.FileName, URL: redact(r.URL), Depends: r.Depends, Files: files,
	}
}

// noarch reads "python", "generic", and the true of packages made before there were two kinds.
func noarch(v any) string {
	if b, ok := v.(bool); ok && b {
		return "generic"
	}
	return text(v)
}

// text is v where it is a string.
func text(v any) string {
	s, _ := v.(string)
	return s
}

func integer(f float64) int64 {
	if math.IsNaN(f) || f < 0 || f > math.MaxInt64/2 {
		return 0
	}
	return int64(f)
}

// dependencies relates packages to those of their environment that they depend on.
func dependencies(pkgs []pkg.Package, environments map[string]map[string]pkg.Package) []artifact.Relationship {
	var rels []artifact.Relationship
	for _, p := range pkgs {
		meta, _ := p.Metadata.(pkg.CondaMetaPackage)
		environment := environments[prefixOf(p.Locations.ToSlice()[0])]
		seen := map[string]bool{}
		for _, d := range meta.Depends {
			name := string(conda.DependencyName(d))
			if on, ok := environment[name]; ok && !seen[name] {
				seen[name] = true
				rels = append(rels, artifact.Relationship{From: on, To: p, Type: artifact.DependencyOfRelationship})
			}
		}
	}
	return rels
}
