// Package pip reads what pip says it would install and what its files hold, and packs a project's folder as one; it runs nothing.
package pip

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"

	pep440 "github.com/aquasecurity/go-pep440-version"
)

// Package is one that pip would install.
type Package struct {
	Name           string // as its author writes it
	Version        string
	URL            string // http, https or file; without credentials
	SHA256         string // lower-case hex; "" where neither the index nor pip says it
	Requested      bool   // by name, rather than because another one needs it
	Direct         bool   // by its URL, rather than from an index
	Depends        []string
	RequiresPython string
}

// Source reports whether it is a source distribution, which has to be built.
func (p Package) Source() bool { return IsSource(p.URL) }

// IsSource reports whether a file, or what a URL leads to, is no wheel.
func IsSource(name string) bool {
	name, _, _ = strings.Cut(name, "#")
	name, _, _ = strings.Cut(name, "?")
	return !strings.HasSuffix(strings.ToLower(name), ".whl")
}

var nameRuns = regexp.MustCompile(`[-_.]+`)

// NormalName is a package's name as indexes compare it (PEP 503).
func NormalName(name string) string { return strings.ToLower(nameRuns.ReplaceAllString(name, "-")) }

// Satisfies reports whether a version is what specifiers such as ">=1.2, <2" ask for (PEP 440). What is not to be understood is
// taken for satisfied: pip has read it, and knows better.
func Satisfies(version, specifiers string) bool {
	if specifiers = strings.Trim(strings.TrimSpace(specifiers), "()"); specifiers == "" {
		return true
	}
	v, err := pep440.Parse(version)
	if err != nil {
		return true
	}
	s, err := pep440.NewSpecifiers(specifiers, pep440.WithPreRelease(true))
	return err != nil || s.Check(v)
}

// reportedItem is an entry of an installation report: https://pip.pypa.io/en/stable/reference/installation-report/
type reportedItem struct {
	Metadata struct {
		Name           string   `json:"name"`
		Version        string   `json:"version"`
		RequiresDist   []string `json:"requires_dist"`
		RequiresPython string   `json:"requires_python"`
	} `json:"metadata"`
	DownloadInfo struct {
		URL     string `json:"url"`
		Archive *struct {
			Hash   string            `json:"hash"` // "sha256=HEX", older than Hashes
			Hashes map[string]string `json:"hashes"`
		} `json:"archive_info"`
	} `json:"download_info"`
	Requested bool `json:"requested"`
	Direct    bool `json:"is_direct"`
}

// ReadReport reads the report that "pip install --report" writes.
func ReadReport(r io.Reader) ([]Package, error) {
	var report struct {
		Version string         `json:"version"`
		Install []reportedItem `json:"install"`
	}
	if err := json.NewDecoder(r).Decode(&report); err != nil {
		return nil, fmt.Errorf("reading pip's report: %w", err)
	}
	if report.Version != "0" && report.Version != "1" {
		return nil, fmt.Errorf("reading pip's report: its format %q is not known, only 0 and 1", report.Version)
	}
	out := make([]Package, 0, len(report.Install))
	for _, i := range report.Install {
		p, err := i.read()
		if err != nil {
			return nil, fmt.Errorf("reading pip's report: %w", err)
		}
		out = append(out, p)
	}
	return out, nil
}

func (i reportedItem) read() (Package, error) {
	m := i.Metadata
	if m.Name == "" || m.Version == "" {
		return Package{}, fmt.Errorf("%s has no name or no version", i.DownloadInfo.URL)
	}
	if i.DownloadInfo.Archive == nil {
		return Package{}, fmt.Errorf("%s %s is no file but %s: only released files can be locked", m.Name, m.Version, i.DownloadInfo.URL)
	}
	url, _, _ := strings.Cut(i.DownloadInfo.URL, "#")
	sum := i.DownloadInfo.Archive.Hashes["sha256"]
	if sum == "" {
		sum, _ = strings.CutPrefix(i.DownloadInfo.Archive.Hash, "sha256=")
		if strings.Contains(sum, "=") {
			sum = "" // another algorithm's
		}
	}
	return Package{
		Name: m.Name, Version: m.Version, URL: url, SHA256: strings.ToLower(sum), Requested: i.Requested, Direct: i.Direct,
		Depends: m.RequiresDist, RequiresPython: m.RequiresPython,
	}, nil
}
