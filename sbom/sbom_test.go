package sbom_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/anchore/packageurl-go"
	"github.com/anchore/syft/syft/format"
	"github.com/anchore/syft/syft/pkg"
	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/version"
	"github.com/datalayer/conda2docker/sbom"
	"github.com/datalayer/conda2docker/sbom/sbomtest"
)

func record(t *testing.T, name, v, build string, change ...func(*conda.Record)) *conda.Record {
	t.Helper()
	ver, err := version.Parse(v)
	require.NoError(t, err)
	r := &conda.Record{
		Name: conda.PackageName(name), Version: ver, Build: build, Subdir: conda.Linux64, License: "MIT",
		SHA256:  strings.Repeat("a1", 32),
		MD5:     strings.Repeat("b2", 16),
		Channel: conda.Channel{Name: "conda-forge", URL: "https://conda.anaconda.org/conda-forge"},
	}
	for _, c := range change {
		c(r)
	}
	if r.FileName == "" {
		r.FileName = r.Dist() + ".conda"
	}
	r.URL = r.Channel.SubdirURL(r.Subdir) + "/" + r.FileName
	return r
}

// environment is a small but whole environment: the solved set, and the image's layers.
func environment(t *testing.T) ([]*conda.Record, []sbomtest.Layer) {
	t.Helper()
	python := record(t, "python", "3.11.2", "0_cpython", func(r *conda.Record) {
		r.License = "Python-2.0"
		r.Depends = []string{"openssl >=3.0.8,<4.0a0", "libcurl", "__glibc >=2.17"}
	})
	openssl := record(t, "openssl", "3.0.9", "hd590300_1", func(r *conda.Record) { r.License = "OpenSSL and BSD-3-Clause" })
	libcurl := record(t, "libcurl", "7.88.1", "h_0", func(r *conda.Record) {
		r.License = "curl, with a paragraph of its own"
		r.Depends = []string{"openssl >=3"}
		r.FileName = "libcurl-7.88.1-h_0.tar.bz2"
	})
	requests := record(t, "requests", "2.28.1", "pyhd8ed1ab_1", func(r *conda.Record) {
		r.Subdir, r.NoArch, r.License = conda.NoArchSubdir, conda.NoArchPython, "LicenseRef-Apache-like"
		r.Depends = []string{"python >=3.7,<4"}
	})
	base := sbomtest.Debian("libc6", "2.36-9+deb12u4", "/usr/lib/x86_64-linux-gnu/libc.so.6")
	packages := sbomtest.Layer{
		sbomtest.Prefix + "/bin/curl": "\x7fELF\x00curl/7.88.1\x00",
		sbomtest.Prefix + "/bin/xz":   "\x7fELF\x00xz (XZ Utils) 5.4.1\x00", // bundled: another version than its owner's
	}.With(sbomtest.DistInfo(sbomtest.Site, "requests", "2.28.1"))
	meta := sbomtest.Layer{sbomtest.Prefix + "/conda-meta/history": "==> 2024-01-01 00:00:00 <==\n"}.With(
		sbomtest.CondaMeta(t, python, "bin/python3.11"),
		sbomtest.CondaMeta(t, openssl),
		sbomtest.CondaMeta(t, libcurl, "bin/curl", "bin/xz"),
		sbomtest.CondaMeta(t, requests, "lib/python3.11/site-packages/requests-2.28.1.dist-info/METADATA"),
	)
	return []*conda.Record{openssl, libcurl, python, requests}, []sbomtest.Layer{base, packages, meta}
}

func generate(t *testing.T, req sbom.Request) *sbom.Document {
	t.Helper()
	doc, err := sbom.Generate(sbomtest.Context(t), req)
	require.NoError(t, err)
	return doc
}

func write(t *testing.T, doc *sbom.Document, f sbom.Format) string {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, doc.Write(&out, f))
	return out.String()
}

func TestEveryResolvedPackageIsListedOnceInEveryFormat(t *testing.T) {
	solved, layers := environment(t)
	doc := generate(t, sbom.Request{Layout: sbomtest.Layout(t, layers...), Records: solved, Name: "registry.example/team/env:1", Version: "1.0.0"})
	require.Equal(t, sbom.Counts{Conda: 4, Python: 1, Deb: 1, Other: 1}, doc.Counts())

	want := []string{
		"pkg:conda/libcurl@7.88.1?build=h_0&channel=conda-forge&subdir=linux-64&type=tar.bz2",
		"pkg:conda/openssl@3.0.9?build=hd590300_1&channel=conda-forge&subdir=linux-64&type=conda",
		"pkg:conda/python@3.11.2?build=0_cpython&channel=conda-forge&subdir=linux-64&type=conda",
		"pkg:conda/requests@2.28.1?build=pyhd8ed1ab_1&channel=conda-forge&subdir=noarch&type=conda",
	}
	for _, f := range sbom.Formats() {
		text := write(t, doc, f)
		s, _, _, err := format.Decode(strings.NewReader(text))
		require.NoError(t, err, f)
		require.NotNil(t, s, "%s is not recognised", f)
		var purls []string
		for _, p := range s.Artifacts.Packages.Sorted() {
			if strings.HasPrefix(p.PURL, "pkg:conda/") {
				purls = append(purls, p.PURL)
			}
		}
		require.Equal(t, want, purls, f)
	}
	const image = `pkg:oci/env@sha256:[0-9a-f]{64}\?arch=amd64&repository_url=registry.example%2Fteam%2Fenv&tag=1`
	require.Regexp(t, `"referenceLocator":"`+image+`"`, strings.ReplaceAll(write(t, doc, sbom.SPDX), "%3A", ":"))
	require.Regexp(t, `"purl":"`+image+`"`, strings.ReplaceAll(write(t, doc, sbom.CycloneDX), "%3A", ":"))
	require.NotContains(t, write(t, doc, sbom.SPDX), `"files"`, "files without hashes are no valid SPDX")
	for _, p := range want {
		u, err := packageurl.FromString(p)
		require.NoError(t, err)
		require.NoError(t, u.Normalize())
		require.Equal(t, p, u.ToString())
	}
}

func TestRelationships(t *testing.T) {
	solved, layers := environment(t)
	doc := generate(t, sbom.Request{Layout: sbomtest.Layout(t, layers...), Records: solved})
	got := map[string]bool{}
	for _, r := range doc.SBOM().Relationships {
		from, ok := r.From.(pkg.Package)
		to, ok2 := r.To.(pkg.Package)
		if ok && ok2 {
			got[fmt.Sprintf("%s:%s %s %s:%s", from.Type, from.Name, r.Type, to.Type, to.Name)] = true
		}
	}
	require.Equal(t, map[string]bool{
		"conda:openssl dependency-of conda:libcurl":                true,
		"conda:openssl dependency-of conda:python":                 true,
		"conda:libcurl dependency-of conda:python":                 true,
		"conda:python dependency-of conda:requests":                true,
		"conda:requests ownership-by-file-overlap python:requests": true,
		"conda:libcurl ownership-by-file-overlap binary:xz":        true, // the bundled one stays
	}, got)
}

func TestProductsOfPackages(t *testing.T) {
	solved, layers := environment(t)
	doc := generate(t, sbom.Request{Layout: sbomtest.Layout(t, layers...), Records: solved})
	got := map[string][]string{}
	for _, p := range doc.SBOM().Artifacts.Packages.Sorted(pkg.CondaPkg) {
		got[p.Name] = []string{}
		for _, c := range p.CPEs {
			got[p.Name] = append(got[p.Name], c.Attributes.Vendor+":"+c.Attributes.Product+":"+c.Attributes.Version)
		}
	}
	require.Equal(t, map[string][]string{
		"libcurl":  {"haxx:libcurl:7.88.1", "haxx:curl:7.88.1"},
		"openssl":  {"openssl:openssl:3.0.9"},
		"python":   {"python:python:3.11.2", "python_software_foundation:python:3.11.2"},
		"requests": {}, // its dist-info is looked up by the name it has on PyPI
	}, got)
}

// A Python project's advisories are found by its own name, not by guesses from the Conda package that brings it.
func TestGuessedProducts(t *testing.T) {
	project := record(t, "debug_py", "1.6.6", "0")
	bundler := record(t, "bundler", "1.0", "0")
	image := sbomtest.DistInfo(sbomtest.Site, "debug.py", "1.6.3").With( // built from another commit than its package says
		sbomtest.DistInfo(sbomtest.Site+"/bundler/_vendor", "other", "2.0"),
		sbomtest.CondaMeta(t, project, "lib/python3.11/site-packages/debug.py-1.6.3.dist-info/METADATA"),
		sbomtest.CondaMeta(t, bundler, "lib/python3.11/site-packages/bundler/_vendor/other-2.0.dist-info/METADATA"),
	)
	doc := generate(t, sbom.Request{Layout: sbomtest.Layout(t, image), Records: []*conda.Record{project, bundler}})
	for _, p := range doc.SBOM().Artifacts.Packages.Sorted(pkg.CondaPkg) {
		require.Equal(t, p.Name == "debug_py", len(p.CPEs) == 0, p.Name)
	}
}

func TestLicensesAreValidInSPDX(t *testing.T) {
	solved, layers := environment(t)
	doc := generate(t, sbom.Request{Layout: sbomtest.Layout(t, layers...), Records: solved})
	var spdx struct {
		Packages []struct {
			Name, SPDXID, LicenseDeclared, DownloadLocation string
			Checksums                                       []struct{ Algorithm, ChecksumValue string }
		}
		HasExtractedLicensingInfos []struct{ LicenseID, ExtractedText string }
	}
	require.NoError(t, json.Unmarshal([]byte(write(t, doc, sbom.SPDX)), &spdx))
	licences := map[string]string{}
	for _, p := range spdx.Packages {
		if strings.HasPrefix(p.SPDXID, "SPDXRef-Package-conda-") {
			licences[p.Name] = p.LicenseDeclared
			require.True(t, strings.HasPrefix(p.DownloadLocation, "https://conda.anaconda.org/conda-forge/"), p.DownloadLocation)
			require.Len(t, p.Checksums, 2)
		}
	}
	require.Equal(t, map[string]string{
		"python":   "Python-2.0",
		"openssl":  "(OpenSSL AND BSD-3-Clause)",
		"libcurl":  "LicenseRef-curl--with-a-paragraph-of-its-own",
		"requests": "LicenseRef-Apache-like",
	}, licences)
	extracted := map[string]string{}
	for _, l := range spdx.HasExtractedLicensingInfos {
		extracted[l.LicenseID] = l.ExtractedText
	}
	require.Equal(t, "curl, with a paragraph of its own", extracted["LicenseRef-curl--with-a-paragraph-of-its-own"])
	require.Equal(t, "Apache-like", extracted["LicenseRef-Apache-like"])
}

func TestTheSameImageGivesTheSameBytes(t *testing.T) {
	solved, layers := environment(t)
	dir := sbomtest.Layout(t, layers...)
	cacheDir := t.TempDir()
	req := sbom.Request{Layout: dir, Records: solved, Name: "env", Version: "1.0.0", Epoch: time.Unix(1700000000, 0)}
	uncached := generate(t, req)
	req.CacheDir = cacheDir
	fresh := generate(t, req)
	// A second time nothing is read of the layers.
	blobs, err := filepath.Glob(filepath.Join(dir, "blobs/sha256/*"))
	require.NoError(t, err)
	for _, b := range blobs {
		info, err := os.Stat(b)
		require.NoError(t, err)
		data, err := os.ReadFile(b)
		require.NoError(t, err)
		if bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
			require.NotZero(t, info.Size())
			require.NoError(t, os.Remove(b))
		}
	}
	kept := generate(t, req)
	for _, f := range sbom.Formats() {
		a := write(t, uncached, f)
		require.Equal(t, a, write(t, uncached, f), "%s twice", f)
		require.Equal(t, a, write(t, fresh, f), "%s anew", f)
		require.Equal(t, a, write(t, kept, f), "%s from the cache", f)
	}
	require.Contains(t, write(t, kept, sbom.SPDX), `"created":"2023-11-14T22:13:20Z"`)
	require.Contains(t, write(t, kept, sbom.CycloneDX), `"timestamp":"2023-11-14T22:13:20Z"`)

	left, err := os.ReadDir(cacheDir)
	require.NoError(t, err)
	require.Len(t, left, 1, "only the scan is kept")
	require.NoError(t, os.WriteFile(filepath.Join(cacheDir, left[0].Name()), []byte("damaged"), 0o600))
	_, err = sbom.Generate(sbomtest.Context(t), req)
	require.ErrorContains(t, err, "reading the layers of sha256:", "a damaged entry is made anew, and the layers are gone")

	other := req
	other.Layout, other.CacheDir, other.Name = sbomtest.Layout(t, layers...), "", "other"
	require.NotEqual(t, namespace(t, uncached), namespace(t, generate(t, other)), "another document has another namespace")
}

func namespace(t *testing.T, doc *sbom.Document) string {
	t.Helper()
	var spdx struct{ DocumentNamespace string }
	require.NoError(t, json.Unmarshal([]byte(write(t, doc, sbom.SPDX)), &spdx))
	require.NotEmpty(t, spdx.DocumentNamespace)
	return spdx.DocumentNamespace
}

func TestWhatIsScannedIsWhatWasSolved(t *testing.T) {
	meta := sbomtest.Prefix + "/conda-meta/"
	tests := []struct {
		name  string
		layer func(t *testing.T) sbomtest.Layer
		want  sbom.MismatchError
	}{
		{
			name:  "a record deleted by a layer",
			layer: func(*testing.T) sbomtest.Layer { return sbomtest.Layer{meta + ".wh.openssl-3.0.9-hd590300_1.json": ""} },
			want:  sbom.MismatchError{Missing: []string{"openssl-3.0.9-hd590300_1"}},
		},
		{
			name: "a record added by a layer",
			layer: func(t *testing.T) sbomtest.Layer {
				return sbomtest.CondaMeta(t, record(t, "zlib", "1.2.13", "h_0"))
			},
			want: sbom.MismatchError{Extra: []string{"zlib-1.2.13-h_0 in " + meta + "zlib-1.2.13-h_0.json"}},
		},
		{
			name: "the same version from elsewhere",
			layer: func(t *testing.T) sbomtest.Layer {
				return sbomtest.CondaMeta(t, record(t, "openssl", "3.0.9", "hd590300_1", func(r *conda.Record) {
					r.Channel = conda.Channel{Name: "https://user:secret@example.org/t/token/mine", URL: "https://user:secret@example.org/t/token/mine"}
					r.SHA256 = strings.Repeat("00", 32)
				}))
			},
			want: sbom.MismatchError{Differing: []string{
				`openssl-3.0.9-hd590300_1: url "https://conda.anaconda.org/conda-forge/linux-64/openssl-3.0.9-hd590300_1.conda", ` +
					`in the image "https://example.org/mine/linux-64/openssl-3.0.9-hd590300_1.conda", ` +
					`sha256 "` + strings.Repeat("a1", 32) + `", in the image "` + strings.Repeat("00", 32) + `"`,
			}},
		},
		{
			name: "another build under the solved one's name",
			layer: func(t *testing.T) sbomtest.Layer {
				for _, body := range sbomtest.CondaMeta(t, record(t, "openssl", "3.0.9", "hd590300_2")) {
					return sbomtest.Layer{meta + "openssl-3.0.9-hd590300_1.json": body}
				}
				return nil
			},
			want: sbom.MismatchError{Differing: []string{`openssl-3.0.9-hd590300_1: build "hd590300_1", in the image "hd590300_2"`}},
		},
		{
			name: "another build beside the solved one",
			layer: func(t *testing.T) sbomtest.Layer {
				return sbomtest.CondaMeta(t, record(t, "openssl", "3.0.9", "hd590300_2"))
			},
			want: sbom.MismatchError{Duplicate: []string{
				"openssl in " + meta + "openssl-3.0.9-hd590300_1.json and in " + meta + "openssl-3.0.9-hd590300_2.json",
			}},
		},
	}
	solved, layers := environment(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := sbomtest.Layout(t, append(layers[:len(layers):len(layers)], tt.layer(t))...)
			doc, err := sbom.Generate(sbomtest.Context(t), sbom.Request{Layout: dir, Records: solved, CacheDir: t.TempDir()})
			require.Nil(t, doc)
			var mismatch *sbom.MismatchError
			require.ErrorAs(t, err, &mismatch)
			require.NotContains(t, err.Error(), "secret")
			require.NotContains(t, err.Error(), "token")
			tt.want.Digest, tt.want.Prefix = mismatch.Digest, sbomtest.Prefix
			require.Equal(t, tt.want, *mismatch)
			for _, entries := range [][]string{tt.want.Missing, tt.want.Extra, tt.want.Differing, tt.want.Duplicate} {
				for _, e := range entries {
					require.ErrorContains(t, err, e)
				}
			}
		})
	}

	t.Run("a kept scan is compared too", func(t *testing.T) {
		req := sbom.Request{Layout: sbomtest.Layout(t, layers...), Records: solved, CacheDir: t.TempDir()}
		generate(t, req)
		req.Records = solved[1:]
		var mismatch *sbom.MismatchError
		_, err := sbom.Generate(sbomtest.Context(t), req)
		require.ErrorAs(t, err, &mismatch)
		require.Len(t, mismatch.Extra, 1)
	})
}

// Records as other installers, and older ones, have written them.
func TestRecordsOfOtherInstallers(t *testing.T) {
	meta := sbomtest.Prefix + "/conda-meta/"
	old := record(t, "old", "1.0", "0", func(r *conda.Record) { r.Subdir, r.SHA256, r.FileName = conda.NoArchSubdir, "", "old-1.0-0.tar.bz2" })
	image := sbomtest.Layer{
		meta + "old-1.0-0.json": fmt.Sprintf(`{"name":"old","version":"1.0","build":"0","build_number":0,"noarch":true,"arch":null,
			"license":null,"subdir":"noarch","channel":"https://conda.anaconda.org/conda-forge/noarch","md5":%q,
			"fn":"old-1.0-0.tar.bz2","url":%q,"timestamp":1500000000.5,"files":["lib/x"],"depends":[]}`, old.MD5, old.URL),
		// Neither is an environment.
		sbomtest.Site + "/conda/testdata/conda-meta/broken-1-0.json": `{"name":`,
		"/srv/conda-meta/notes.json":                                 `[]`,
		// This one is, but it is none of ours.
		"/usr/local/conda/conda-meta/history":        "",
		"/usr/local/conda/conda-meta/own-2.0-1.json": `{"name":"own","version":"2.0","build":"1","noarch":"python","channel":"mine"}`,
	}
	doc := generate(t, sbom.Request{Layout: sbomtest.Layout(t, image), Records: []*conda.Record{old}})
	var got []string
	for _, p := range doc.SBOM().Artifacts.Packages.Sorted() {
		got = append(got, p.PURL)
	}
	require.Equal(t, []string{
		"pkg:conda/old@1.0?build=0&channel=conda-forge&subdir=noarch&type=tar.bz2",
		"pkg:conda/own@2.0?build=1&channel=mine&type=conda",
	}, got)

	broken := maps.Clone(image)
	broken[meta+"old-1.0-0.json"] = `{"name":`
	_, err := sbom.Generate(sbomtest.Context(t), sbom.Request{Layout: sbomtest.Layout(t, broken), Records: []*conda.Record{old}})
	require.ErrorContains(t, err, "reading conda record /opt/conda/conda-meta/old-1.0-0.json: unexpected EOF")
}

func TestWhichImage(t *testing.T) {
	_, err := sbom.Generate(sbomtest.Context(t), sbom.Request{Layout: filepath.Join(t.TempDir(), "none")})
	require.ErrorContains(t, err, "opening the image layout")
	dir := sbomtest.Layout(t, sbomtest.Layer{"/a": "b"})
	_, err = sbom.Generate(sbomtest.Context(t), sbom.Request{Layout: dir, Digest: "sha256:" + strings.Repeat("0", 64)})
	require.ErrorContains(t, err, "has no image sha256:0000")
	doc := generate(t, sbom.Request{Layout: dir})
	require.Equal(t, doc.Digest(), generate(t, sbom.Request{Layout: dir, Digest: doc.Digest()}).Digest())
	require.ErrorContains(t, doc.Write(&bytes.Buffer{}, "xml"), "want spdx, cyclonedx or syft")
}
