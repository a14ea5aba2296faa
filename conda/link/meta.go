package link

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/datalayer/conda2docker/conda"
)

// Compiles is what conda compiles and the package does not ship compiled.
func (p Package) Compiles() []Bytecode {
	if len(p.Bytecode) == 0 {
		return nil
	}
	shipped := map[string]bool{}
	for _, it := range p.Paths {
		if strings.HasSuffix(it.Path, ".pyc") {
			shipped[it.Path] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(p.Bytecode), func(b Bytecode) bool { return shipped[b.Path] })
}

// WithBytecode is the package with what it compiles to among its paths, where conda lists that, for environments that have it.
// sizes are the compiled files' bytes by path; conda lists a file without a size when it did not compile. What the package
// ships is listed once; conda lists it twice.
func (p Package) WithBytecode(sizes map[string]int64) Package {
	var pycs []Path
	for _, b := range p.Compiles() {
		m := Path{Path: b.Path, Type: Regular, Mode: 0o644, Meta: MetaPath{Path: b.Path, PathType: pathTypePyc}}
		if n, ok := sizes[b.Path]; ok {
			m.Size, m.Meta.SizeInBytes = n, &n
		}
		pycs = append(pycs, m)
	}
	at := len(p.Paths) - len(p.EntryPoints)
	all := append([]Path(nil), p.Paths[:at]...)
	all = append(all, pycs...)
	p.Paths = append(all, p.Paths[at:]...)
	return p
}

// metaRecord is a record of conda-meta, with conda's order of the fields (its PrefixRecord).
type metaRecord struct {
	Name           string   `json:"name"`
	Version        string   `json:"version"`
	Build          string   `json:"build"`
	BuildNumber    int64    `json:"build_number"`
	Channel        string   `json:"channel"`
	Subdir         string   `json:"subdir"`
	FileName       string   `json:"fn"`
	MD5            string   `json:"md5,omitempty"`
	URL            string   `json:"url"`
	SHA256         string   `json:"sha256,omitempty"`
	Depends        []string `json:"depends"`
	Constrains     []string `json:"constrains"`
	TrackFeatures  string   `json:"track_features,omitempty"`
	Features       string   `json:"features,omitempty"`
	NoArch         string   `json:"noarch,omitempty"`
	PythonSitePath string   `json:"python_site_packages_path,omitempty"`
	License        string   `json:"license,omitempty"`
	LicenseFamily  string   `json:"license_family,omitempty"`
	PackageType    string   `json:"package_type,omitempty"`
	Timestamp      int64    `json:"timestamp,omitempty"`
	Size           int64    `json:"size,omitempty"`
	RequestedSpec  string   `json:"requested_spec,omitempty"`
	Tarball        string   `json:"package_tarball_full_path"`
	ExtractedDir   string   `json:"extracted_package_dir"`
	Files          []string `json:"files"`
	Paths          metaData `json:"paths_data"`
	Link           metaLink `json:"link"`
	RequestedSpecs []string `json:"requested_specs"`
}

type metaData struct {
	Version int        `json:"paths_version"`
	Paths   []MetaPath `json:"paths"`
}

type metaLink struct {
	Source string `json:"source"`
	Type   int    `json:"type"`
}

// linkedFromCache is conda's LinkType for files that are linked from its cache, which is what it does when it can.
const linkedFromCache = 1

// MetaRecord is conda-meta/DIST.json, byte for byte as conda writes it. Three fields are of the machine with conda:
// package_tarball_full_path, extracted_package_dir and link.source say where its package cache is. Here they say where it
// would be if the prefix were a root prefix, PREFIX/pkgs, which holds nothing: conda does not need it there.
func MetaRecord(p Package, rec *conda.Record, requestedSpec string) ([]byte, error) {
	cache := p.Prefix + "/pkgs/"
	m := metaRecord{
		Name: string(rec.Name), Version: rec.Version.String(), Build: rec.Build, BuildNumber: rec.BuildNumber,
		Channel: rec.Channel.SubdirURL(rec.Subdir), Subdir: string(rec.Subdir), FileName: rec.FileName,
		MD5: rec.MD5, URL: rec.URL, SHA256: rec.SHA256,
		Depends: list(rec.Depends), Constrains: list(rec.Constrains),
		TrackFeatures: strings.Join(rec.TrackFeatures, " "), Features: rec.Features,
		NoArch: string(p.NoArch), PythonSitePath: rec.PythonSitePackagesPath,
		License: rec.License, LicenseFamily: rec.LicenseFamily, Timestamp: rec.Timestamp, Size: rec.Size,
		RequestedSpec: requestedSpec, Tarball: cache + rec.FileName, ExtractedDir: cache + rec.Dist(),
		Files: []string{}, Paths: metaData{Version: 1, Paths: []MetaPath{}},
		Link: metaLink{Source: cache + rec.Dist(), Type: linkedFromCache}, RequestedSpecs: []string{},
	}
	if p.NoArch != "" {
		m.PackageType = "noarch_" + string(p.NoArch)
	}
	if requestedSpec != "" {
		m.RequestedSpecs = []string{requestedSpec}
	}
	for _, path := range p.Paths {
		if path.Type != Directory { // conda's lists hold files only
			m.Files = append(m.Files, path.Path)
		}
		m.Paths.Paths = append(m.Paths.Paths, path.Meta)
	}
	b, err := marshal(m)
	if err != nil {
		return nil, fmt.Errorf("writing the conda-meta record of %s: %w", rec, err)
	}
	return b, nil
}

func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// marshal writes JSON as conda does: two spaces, nothing escaped that need not be, no newline at the end.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
