package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// row is one example's line of the table.
type row struct {
	Name     string
	Failed   bool
	Packages int // conda packages in the SBOM
	Layers   int
	Bytes    int64
	Took     time.Duration
	Found    map[string]int // vulnerabilities by severity
	Digest   string
	Manifest string
}

func newRow(example, dir, manifest string, pinned name.Digest, image v1.Image) (row, error) {
	r := row{Name: example, Digest: pinned.DigestStr(), Manifest: manifest, Found: map[string]int{}}
	m, err := image.Manifest()
	if err != nil {
		return r, err
	}
	r.Layers = len(m.Layers)
	for _, l := range m.Layers {
		r.Bytes += l.Size
	}
	var sbom struct {
		Artifacts []struct{ Type string }
	}
	if err := readJSON(filepath.Join(dir, "evidence", "sbom.syft.json"), &sbom); err != nil {
		return r, err
	}
	for _, a := range sbom.Artifacts {
		if a.Type == "conda" {
			r.Packages++
		}
	}
	var report struct {
		Matches []struct {
			Vulnerability struct{ Severity string }
		}
	}
	if err := readJSON(filepath.Join(dir, "evidence", "grype.json"), &report); err != nil {
		return r, err
	}
	for _, m := range report.Matches {
		r.Found[strings.ToLower(m.Vulnerability.Severity)]++
	}
	return r, nil
}

func readJSON(path string, into any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	return nil
}

// writeTable writes what the examples came to.
func writeTable(w io.Writer, rows []row) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "EXAMPLE\tPACKAGES\tLAYERS\tMB\tSECONDS\tCRITICAL\tHIGH\tMEDIUM\tLOW\tDIGEST\tMANIFEST")
	for _, r := range rows {
		if r.Failed {
			fmt.Fprintf(tw, "%s\tFAILED\t\t\t\t\t\t\t\t\t\n", r.Name)
			continue
		}
		fmt.Fprintf(tw, "%s\t%d\t%d\t%.1f\t%.1f\t%d\t%d\t%d\t%d\t%s\t%s\n", r.Name, r.Packages, r.Layers, float64(r.Bytes)/1e6, r.Took.Seconds(),
			r.Found["critical"], r.Found["high"], r.Found["medium"], r.Found["low"], r.Digest, r.Manifest)
	}
	return tw.Flush()
}
