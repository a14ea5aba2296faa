package scan_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v6 "github.com/anchore/grype/grype/db/v6"
	v6build "github.com/anchore/grype/grype/db/v6/build"
	"github.com/spf13/afero"
	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/version"
	"github.com/datalayer/conda2docker/sbom"
	"github.com/datalayer/conda2docker/sbom/sbomtest"
	"github.com/datalayer/conda2docker/scan"
	"github.com/datalayer/conda2docker/scan/scantest"
)

func record(t *testing.T, name, v string) *conda.Record {
	t.Helper()
	ver, err := version.Parse(v)
	require.NoError(t, err)
	r := &conda.Record{
		Name: conda.PackageName(name), Version: ver, Build: "0", Subdir: conda.Linux64, License: "MIT",
		SHA256:  strings.Repeat("a1", 32),
		Channel: conda.Channel{Name: "conda-forge", URL: "https://conda.anaconda.org/conda-forge"},
	}
	r.FileName = r.Dist() + ".conda"
	r.URL = r.Channel.SubdirURL(r.Subdir) + "/" + r.FileName
	return r
}

// document is the SBOM of an image with these versions, in which every package that is a Python project has its
// dist-info, and Debian owns another requests.
func document(t *testing.T, versions map[string]string) *sbom.Document {
	t.Helper()
	image := sbomtest.Layer{}
	var solved []*conda.Record
	for name, v := range versions {
		rec := record(t, name, v)
		solved = append(solved, rec)
		var files []string
		if name == "requests" || name == "numpy" || name == "pyyaml" {
			project := strings.Replace(name, "pyyaml", "PyYAML", 1)
			image = image.With(sbomtest.DistInfo(sbomtest.Site, project, v))
			files = []string{fmt.Sprintf("lib/python3.11/site-packages/%s-%s.dist-info/METADATA", project, v)}
		}
		image = image.With(sbomtest.CondaMeta(t, rec, files...))
	}
	const debianSite = "/usr/lib/python3/dist-packages"
	base := sbomtest.Debian("python3-requests", "2.28.1+dfsg-1", debianSite+"/requests-2.28.1.dist-info/METADATA").
		With(sbomtest.DistInfo(debianSite, "requests", "2.28.1"))
	doc, err := sbom.Generate(sbomtest.Context(t), sbom.Request{Layout: sbomtest.Layout(t, base, image), Records: solved, Name: "registry.example/env:1"})
	require.NoError(t, err)
	return doc
}

// bookworm are the versions that Debian 12 has; of the advisories two are about them.
func bookworm() map[string]string {
	return map[string]string{
		"libcurl": "7.88.1", "openssl": "3.0.9", "zlib": "1.2.13", "libsqlite": "3.40.1",
		"requests": "2.28.1", "numpy": "1.24.2", "pyyaml": "6.0",
	}
}

func database(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, scantest.Write(t.Context(), dir))
	return dir
}

// age makes a database one that was built at the given time.
func age(t *testing.T, dir string, built time.Time) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "6", "vulnerability.db"))
	require.NoError(t, err)
	_, err = db.Exec("UPDATE db_metadata SET build_timestamp = ?", built)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	_, err = v6.WriteImportMetadata(afero.NewOsFs(), filepath.Join(dir, "6"), "")
	require.NoError(t, err)
}

// serve publishes a database as Grype's site does.
func serve(t *testing.T, dir string) string {
	t.Helper()
	require.NoError(t, v6build.CreateArchive(filepath.Join(dir, "6"), "tar.gz", nil))
	server := httptest.NewServer(http.StripPrefix("/v6/", http.FileServer(http.Dir(filepath.Join(dir, "6")))))
	t.Cleanup(server.Close)
	return server.URL
}

// brief is a finding as "ID severity type:package version → fixed".
func brief(findings []scan.Finding) []string {
	out := []string{}
	for _, f := range findings {
		out = append(out, fmt.Sprintf("%s %s %s:%s %s → %s", f.ID, f.Severity, f.Type, f.Package, f.Version, strings.Join(f.FixedIn, " ")))
	}
	return out
}

const (
	curl     = "CVE-2023-38545 critical conda:libcurl 7.88.1 → 8.4.0"
	requests = "GHSA-j8r2-6x86-q33q medium python:requests 2.28.1 → 2.31.0"
)

var update = flag.Bool("update", false, "write the golden files anew") //nolint:gochecknoglobals // a flag of the test

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

func TestWhatIsFound(t *testing.T) {
	doc, dir := document(t, bookworm()), database(t)

	t.Run("the advisories that apply, and no others", func(t *testing.T) {
		r, err := scan.Scan(t.Context(), doc, scan.Options{DBDir: dir})
		require.NoError(t, err)
		require.Equal(t, []string{curl, requests}, brief(r.Findings))
		require.Equal(t, scan.Counts{Critical: 1, Medium: 1}, r.Counts)
		require.Equal(t, "1 critical, 1 medium", r.Counts.String())
		require.Empty(t, r.Blocking)
		require.Empty(t, r.Warnings)
		require.Equal(t, []string{sbomtest.Prefix + "/conda-meta/libcurl-7.88.1-0.json"}, r.Findings[0].Locations)
		require.Equal(t, []string{"CVE-2023-32681"}, r.Findings[1].Aliases)
		require.True(t, strings.HasPrefix(r.Database.Schema, "v6."), r.Database.Schema)
		require.WithinDuration(t, time.Now(), r.Database.Built, time.Hour)
	})

	gates := []struct {
		failOn string
		want   []string
	}{
		{"", nil},
		{"critical", []string{curl}},
		{"high", []string{curl}},
		{"medium", []string{curl, requests}},
		{"negligible", []string{curl, requests}},
	}
	for _, g := range gates {
		t.Run("gate "+g.failOn, func(t *testing.T) {
			failOn, err := scan.ParseSeverity(g.failOn)
			require.NoError(t, err)
			r, err := scan.Scan(t.Context(), doc, scan.Options{DBDir: dir, FailOn: failOn})
			require.NotNil(t, r)
			require.Len(t, r.Findings, 2, "the report is there whatever the gate says")
			if g.want == nil {
				require.NoError(t, err)
				return
			}
			var gate *scan.GateError
			require.ErrorAs(t, err, &gate)
			require.Equal(t, g.want, brief(gate.Blocking))
			require.Equal(t, gate.Blocking, r.Blocking)
			golden(t, "gate-"+g.failOn+".txt", err.Error()+"\n")
		})
	}

	t.Run("the reports", func(t *testing.T) {
		texts := map[string]string{}
		for range 2 {
			r, err := scan.Scan(t.Context(), doc, scan.Options{DBDir: dir, Version: "1.0.0"})
			require.NoError(t, err)
			for name, write := range map[string]func(*bytes.Buffer) error{
				"json":  func(b *bytes.Buffer) error { return r.WriteJSON(b) },
				"table": func(b *bytes.Buffer) error { return r.WriteTable(b) },
				"sarif": func(b *bytes.Buffer) error { return r.WriteSARIF(b) },
			} {
				var b bytes.Buffer
				require.NoError(t, write(&b))
				if texts[name] != "" {
					require.Equal(t, texts[name], b.String(), "%s is the same every time", name)
				}
				texts[name] = b.String()
			}
		}
		golden(t, "table.txt", texts["table"])
		require.NotContains(t, texts["json"], dir, "the report is not about this machine")
		var grype struct {
			Matches []struct {
				Vulnerability struct{ ID, Severity string }
				Artifact      struct{ PURL string }
			}
			Descriptor struct {
				Name, Version string
				DB            struct {
					Status struct{ SchemaVersion string }
				}
			}
		}
		require.NoError(t, json.Unmarshal([]byte(texts["json"]), &grype))
		require.Len(t, grype.Matches, 2)
		require.Equal(t, "pkg:conda/libcurl@7.88.1?build=0&channel=conda-forge&subdir=linux-64&type=conda", grype.Matches[0].Artifact.PURL)
		require.Equal(t, "conda2docker", grype.Descriptor.Name)
		require.NotEmpty(t, grype.Descriptor.DB.Status.SchemaVersion)
		var sarif struct {
			Version string
			Runs    []struct{ Results []struct{ RuleID string } }
		}
		require.NoError(t, json.Unmarshal([]byte(texts["sarif"]), &sarif))
		require.Equal(t, "2.1.0", sarif.Version)
		require.Len(t, sarif.Runs[0].Results, 2)
	})
}

func TestAFixedVersionPasses(t *testing.T) {
	versions := bookworm()
	versions["libcurl"], versions["requests"] = "8.4.0", "2.31.0"
	r, err := scan.Scan(t.Context(), document(t, versions), scan.Options{DBDir: database(t), FailOn: scan.Negligible})
	require.NoError(t, err)
	require.Empty(t, r.Findings)
	var table bytes.Buffer
	require.NoError(t, r.WriteTable(&table))
	require.Equal(t, "no known vulnerabilities\n", table.String())
	require.Equal(t, "none", r.Counts.String())
}

// NVD and GitHub both have this one; a Conda package and the Python project in it are one thing.
func TestOneVulnerabilityIsFoundOnce(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, scantest.Build(t.Context(), dir, append(scantest.Advisories(), scantest.Advisory{
		ID: "CVE-2020-14343", Published: "2021-02-09", Severity: "Critical",
		CVSS: "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", Score: 9.8,
		Summary:  "PyYAML's full loader runs code that an untrusted document brings.",
		Affected: []scantest.Affected{{Vendor: "pyyaml", Name: "pyyaml", Before: "5.4"}},
	})))
	for _, owned := range []bool{true, false} {
		rec := record(t, "pyyaml", "5.3.1")
		var files []string
		if owned {
			files = []string{"lib/python3.11/site-packages/PyYAML-5.3.1.dist-info/METADATA"}
		}
		image := sbomtest.CondaMeta(t, rec, files...).With(sbomtest.DistInfo(sbomtest.Site, "PyYAML", "5.3.1"))
		doc, err := sbom.Generate(sbomtest.Context(t), sbom.Request{Layout: sbomtest.Layout(t, image), Records: []*conda.Record{rec}})
		require.NoError(t, err)
		r, err := scan.Scan(t.Context(), doc, scan.Options{DBDir: dir})
		require.NoError(t, err)
		require.Equal(t, []string{"GHSA-8q59-q68h-6hv4 critical python:pyyaml 5.3.1 → 5.4"}, brief(r.Findings), "owned: %v", owned)
	}
}

func TestOnlyWhatHasAFixIsRefusedIfSo(t *testing.T) {
	versions := map[string]string{"zlib": "1.2.12"} // its advisory names the last vulnerable version, not the fixed one
	doc, dir := document(t, versions), database(t)
	r, err := scan.Scan(t.Context(), doc, scan.Options{DBDir: dir, FailOn: scan.Critical, OnlyFixed: true})
	require.NoError(t, err)
	require.Equal(t, []string{"CVE-2022-37434 critical conda:zlib 1.2.12 → "}, brief(r.Findings))
	_, err = scan.Scan(t.Context(), doc, scan.Options{DBDir: dir, FailOn: scan.Critical})
	require.EqualError(t, err, "1 vulnerability of severity critical or worse:\n"+
		"  CVE-2022-37434 critical: zlib 1.2.12 (conda), not fixed, at /opt/conda/conda-meta/zlib-1.2.12-0.json")
}

func TestTheDatabase(t *testing.T) {
	doc := document(t, map[string]string{"zlib": "1.2.13"})
	ctx := t.Context()

	t.Run("none is named", func(t *testing.T) {
		_, err := scan.Scan(ctx, doc, scan.Options{})
		require.ErrorContains(t, err, "no folder is named for it")
	})
	t.Run("absent", func(t *testing.T) {
		dir := t.TempDir()
		_, err := scan.Scan(ctx, doc, scan.Options{DBDir: dir})
		require.EqualError(t, err, "vulnerability database in "+dir+": there is none; let it be fetched (scan.update in the "+
			"settings, without --offline), or import one: GRYPE_DB_CACHE_DIR="+dir+" grype db import ARCHIVE")
	})
	t.Run("stale", func(t *testing.T) {
		dir := database(t)
		age(t, dir, time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC))
		_, err := scan.Scan(ctx, doc, scan.Options{DBDir: dir})
		require.ErrorContains(t, err, "vulnerability database in "+dir+": the vulnerability database was built")
		require.ErrorContains(t, err, "(max allowed age is 5 days); it is of 2024-01-02; let it be fetched")
		_, err = scan.Scan(ctx, doc, scan.Options{DBDir: dir, MaxAge: time.Hour})
		require.ErrorContains(t, err, "(max allowed age is 1 hour)")
		r, err := scan.Scan(ctx, doc, scan.Options{DBDir: dir, MaxAge: -1})
		require.NoError(t, err)
		require.Equal(t, "2024-01-02T03:04:05Z", r.Database.Built.Format(time.RFC3339))
	})
	t.Run("damaged", func(t *testing.T) {
		dir := database(t)
		f, err := os.OpenFile(filepath.Join(dir, "6", "vulnerability.db"), os.O_APPEND|os.O_WRONLY, 0)
		require.NoError(t, err)
		_, err = f.WriteString("x")
		require.NoError(t, err)
		require.NoError(t, f.Close())
		_, err = scan.Scan(ctx, doc, scan.Options{DBDir: dir})
		require.ErrorContains(t, err, "vulnerability database in "+dir)
	})
	t.Run("out of reach", func(t *testing.T) {
		server := httptest.NewServer(http.NotFoundHandler())
		defer server.Close()
		dir := t.TempDir()
		_, err := scan.Scan(ctx, doc, scan.Options{DBDir: dir, Update: true, LatestURL: server.URL})
		require.ErrorContains(t, err, "vulnerability database in "+dir+": there is none; fetching one from "+server.URL)

		dir = database(t)
		r, err := scan.Scan(ctx, doc, scan.Options{DBDir: dir, Update: true, LatestURL: server.URL})
		require.NoError(t, err, "the one that is there is good enough")
		require.Len(t, r.Warnings, 1)
		require.Contains(t, r.Warnings[0], "not updated")
	})
	t.Run("fetched", func(t *testing.T) {
		dir, url := t.TempDir(), serve(t, database(t))
		r, err := scan.Scan(ctx, doc, scan.Options{DBDir: dir, Update: true, LatestURL: url})
		require.NoError(t, err)
		require.Empty(t, r.Warnings)
		require.FileExists(t, filepath.Join(dir, "6", "vulnerability.db"))
	})
}

func TestParseSeverity(t *testing.T) {
	for _, s := range []string{"negligible", "low", "medium", "high", "critical", "High"} {
		v, err := scan.ParseSeverity(s)
		require.NoError(t, err)
		require.Equal(t, strings.ToLower(s), v.String())
	}
	for _, s := range []string{"unknown", "severe", "none"} {
		_, err := scan.ParseSeverity(s)
		require.EqualError(t, err, fmt.Sprintf("severity %q: want negligible, low, medium, high, critical, or nothing for no gate", s))
	}
	v, err := scan.ParseSeverity("")
	require.NoError(t, err)
	require.Equal(t, scan.None, v)
}

func TestALongListIsCut(t *testing.T) {
	e := &scan.GateError{FailOn: scan.Low, Blocking: make([]scan.Finding, 25)}
	require.True(t, strings.HasSuffix(e.Error(), "\n  and 5 more, in the report"))
	require.Len(t, strings.Split(e.Error(), "\n"), 22)
}

func TestBuildRefusesAnEmptyDatabase(t *testing.T) {
	require.Error(t, scantest.Build(t.Context(), t.TempDir(), nil))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, scantest.Write(ctx, t.TempDir()), context.Canceled)
}
