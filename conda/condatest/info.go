package condatest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/datalayer/conda2docker/conda"
)

// members are the files below info/, and the others, in the order in which an archive has them.
func (p Package) members(r *conda.Record) (info, payload []File, err error) {
	payload = slices.Clone(p.Files)
	slices.SortStableFunc(payload, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	// A hard link must come after what it links to.
	slices.SortStableFunc(payload, func(a, b File) int {
		return boolToInt(a.HardLink != "") - boolToInt(b.HardLink != "")
	})
	files, err := p.infoFiles(r, payload)
	if err != nil {
		return nil, nil, err
	}
	maps.Copy(files, p.Info)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if files[name] != "" {
			info = append(info, File{Path: "info/" + name, Body: files[name], Mode: 0o644})
		}
	}
	return info, payload, nil
}

// infoFiles are the metadata files of CEP 34, by their names below info/.
func (p Package) infoFiles(r *conda.Record, payload []File) (map[string]string, error) {
	files := map[string]string{
		"files":      lines(payload, func(f File) string { return f.Path }),
		"has_prefix": lines(payload, hasPrefixLine),
		"no_link": lines(payload, func(f File) string {
			if f.NoLink {
				return f.Path
			}
			return ""
		}),
	}
	about := map[string]any{"license": p.License, "summary": "A package for tests"}
	maps.Copy(about, p.About)
	documents := map[string]any{"index.json": newIndexJSON(r), "about.json": about}
	if !p.Legacy {
		paths, err := p.pathsJSON(payload)
		if err != nil {
			return nil, err
		}
		documents["paths.json"] = paths
	}
	if p.NoArch != conda.NoArchNone {
		noarch := map[string]any{"type": p.NoArch}
		if len(p.EntryPoints) > 0 {
			noarch["entry_points"] = p.EntryPoints
		}
		documents["link.json"] = map[string]any{"noarch": noarch, "package_metadata_version": 1}
	}
	for name, document := range documents {
		b, err := json.MarshalIndent(document, "", "  ")
		if err != nil {
			return nil, fmt.Errorf("info/%s: %w", name, err)
		}
		files[name] = string(b) + "\n"
	}
	return files, nil
}

// indexJSON is info/index.json and, with the sums of the archive, an entry of repodata.json.
type indexJSON struct {
	Build                  string   `json:"build"`
	BuildNumber            int64    `json:"build_number"`
	Constrains             []string `json:"constrains,omitempty"`
	Depends                []string `json:"depends"`
	License                string   `json:"license,omitempty"`
	MD5                    string   `json:"md5,omitempty"`
	Name                   string   `json:"name"`
	NoArch                 string   `json:"noarch,omitempty"`
	PythonSitePackagesPath string   `json:"python_site_packages_path,omitempty"`
	SHA256                 string   `json:"sha256,omitempty"`
	Size                   int64    `json:"size,omitempty"`
	Subdir                 string   `json:"subdir"`
	Timestamp              int64    `json:"timestamp,omitempty"`
	TrackFeatures          string   `json:"track_features,omitempty"`
	Version                string   `json:"version"`
}

func newIndexJSON(r *conda.Record) indexJSON {
	x := indexJSON{
		Build: r.Build, BuildNumber: r.BuildNumber, Constrains: r.Constrains, Depends: r.Depends, License: r.License,
		MD5: r.MD5, Name: string(r.Name), NoArch: string(r.NoArch), PythonSitePackagesPath: r.PythonSitePackagesPath,
		SHA256: r.SHA256, Size: r.Size, Subdir: string(r.Subdir), Timestamp: r.Timestamp,
		TrackFeatures: strings.Join(r.TrackFeatures, " "), Version: r.Version.String(),
	}
	if x.Depends == nil {
		x.Depends = []string{}
	}
	return x
}

type pathsEntry struct {
	Path        string `json:"_path"`
	PathType    string `json:"path_type"`
	FileMode    string `json:"file_mode,omitempty"`
	Placeholder string `json:"prefix_placeholder,omitempty"`
	NoLink      bool   `json:"no_link,omitempty"`
	SHA256      string `json:"sha256,omitempty"`
	Size        *int64 `json:"size_in_bytes,omitempty"`
}

func (p Package) pathsJSON(payload []File) (any, error) {
	bodies := make(map[string]string, len(payload))
	for _, f := range payload {
		bodies[f.Path] = f.Body
	}
	entries := make([]pathsEntry, 0, len(payload))
	for _, f := range payload {
		e := pathsEntry{
			Path: f.Path, PathType: "hardlink", FileMode: string(f.Prefix), Placeholder: f.Placeholder, NoLink: f.NoLink,
		}
		body := f.Body
		switch {
		case f.Mode.IsDir():
			e.PathType = "directory"
			entries = append(entries, e)
			continue
		case f.Link != "":
			// As conda-build does it: the sum of what the link leads to, that of nothing where it leads out.
			e.PathType, body = "softlink", bodies[linkTarget(f)]
		case f.HardLink != "":
			target, ok := bodies[f.HardLink]
			if !ok {
				return nil, fmt.Errorf("%s: hard link to %s, which the package lacks", f.Path, f.HardLink)
			}
			body = target
		}
		size := int64(len(body))
		e.SHA256, e.Size = sum256([]byte(body)), &size
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b pathsEntry) int { return strings.Compare(a.Path, b.Path) })
	return map[string]any{"paths": entries, "paths_version": 1}, nil
}

func hasPrefixLine(f File) string {
	if f.Prefix == "" {
		return ""
	}
	return f.Placeholder + " " + string(f.Prefix) + " " + f.Path
}

func lines(files []File, line func(File) string) string {
	var b strings.Builder
	for _, f := range files {
		if l := line(f); l != "" && !f.Mode.IsDir() {
			b.WriteString(l + "\n")
		}
	}
	return b.String()
}

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
