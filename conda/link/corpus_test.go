package link_test

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/condatest"
	"github.com/datalayer/conda2docker/conda/link"
	"github.com/datalayer/conda2docker/conda/version"
)

// The goldens were made by conda 26.7 with
//
//	conda create -p /tmp/goldpfx --solver classic --override-channels -c http://127.0.0.1:8767 …
//
// of a channel with the corpus's packages; its python is a stub that compiles nothing.
const goldenPrefix = "/tmp/goldpfx"

// goldenPython is that environment's python: the stub names a site-packages folder of its own (CEP 17).
func goldenPython() *link.Python {
	return &link.Python{Version: "3.99", SitePackages: "lib/python3.99t/site-packages", Path: "bin/python3.99"}
}

// goldenArchives are the packages of the goldens that are in the corpus.
var goldenArchives = []string{
	"packages/linux-64/audio_tools-1.2.1-1.conda",
	"packages/noarch/andes-1.8.3-pyhd8ed1ab_0.conda",
	"packages/noarch/font-ttf-inconsolata-23.12.6-0.tar.bz2",
	"packages/noarch/moto-1.3.7-py_0.tar.bz2",
	"conda/packages/test-recipes/noarch/python-3.99.99-0.conda",
	"conda/packages/test-recipes/noarch/small-executable-1.0-0.conda",
	"rattler/link-scripts/link-scripts-0.1.0-h4616a5c_0.conda",
}

// linked is a file as a tree listing has it.
type linked struct {
	kind string
	mode fs.FileMode
	sum  string
	size int64
}

// tree links a package and keeps what came out.
func tree(t *testing.T, archive string, rec *conda.Record, target link.Target) (map[string]linked, link.Package) {
	t.Helper()
	got := map[string]linked{}
	pkg, err := link.Linker{}.Files(t.Context(), archive, rec, target, func(f link.File, r io.Reader) error {
		l := linked{kind: string(f.Type), mode: f.Mode, size: f.Size}
		if f.Type == link.Regular {
			h := sha256.New()
			n, err := io.Copy(h, r)
			if err != nil || n != f.Size {
				return fmt.Errorf("%s: %d of %d bytes: %w", f.Path, n, f.Size, err)
			}
			l.sum = hex.EncodeToString(h.Sum(nil))
		}
		if _, twice := got[f.Path]; twice {
			return fmt.Errorf("%s came twice", f.Path)
		}
		got[f.Path] = l
		return nil
	})
	require.NoError(t, err)
	for _, p := range pkg.Paths {
		l, ok := got[p.Path]
		require.True(t, ok, p.Path)
		require.Equal(t, string(p.Type), l.kind, p.Path)
		require.Equal(t, p.Mode, l.mode, p.Path)
		if p.Type == link.Regular {
			require.Equal(t, linked{string(p.Type), p.Mode, p.SHA256, p.Size}, l, p.Path)
		}
	}
	require.Len(t, got, len(pkg.Paths))
	return got, pkg
}

// goldenRecord reads conda's record of a package as the channel's record that it came from.
func goldenRecord(t *testing.T, b []byte) (*conda.Record, string) {
	t.Helper()
	var g struct {
		Name, Version, Build, Subdir, NoArch, MD5, SHA256, License, Fn, URL string
		BuildNumber                                                         int64  `json:"build_number"`
		LicenseFamily                                                       string `json:"license_family"`
		SitePackages                                                        string `json:"python_site_packages_path"`
		RequestedSpec                                                       string `json:"requested_spec"`
		Timestamp, Size                                                     int64
		Depends, Constrains                                                 []string
	}
	require.NoError(t, json.Unmarshal(b, &g))
	const channel = "http://127.0.0.1:8767"
	return &conda.Record{
		Name: conda.PackageName(g.Name), Version: version.MustParse(g.Version), Build: g.Build, BuildNumber: g.BuildNumber,
		Subdir: conda.Subdir(g.Subdir), NoArch: conda.NoArch(g.NoArch), Depends: g.Depends, Constrains: g.Constrains,
		License: g.License, LicenseFamily: g.LicenseFamily, Timestamp: g.Timestamp, MD5: g.MD5, SHA256: g.SHA256, Size: g.Size,
		PythonSitePackagesPath: g.SitePackages, Channel: conda.Channel{Name: channel, URL: channel}, FileName: g.Fn, URL: g.URL,
	}, g.RequestedSpec
}

// TestGoldenTree holds the linked tree equal to conda's in path, kind, mode and content.
func TestGoldenTree(t *testing.T) {
	var want map[string][]any // path -> kind, mode, sha256, size
	b, err := os.ReadFile(condatest.Corpus(t, "link/linktree-conda-26.7.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &want))

	equal := 0
	for _, a := range goldenArchives {
		rec := goldenMeta(t, a)
		files, _ := tree(t, condatest.Corpus(t, a), rec, link.Target{Prefix: goldenPrefix, Subdir: conda.Linux64, Python: goldenPython()})
		for path, g := range files {
			expected, ok := want[path]
			if !ok {
				require.Equal(t, "audio_tools", string(rec.Name), "%s is not in conda's tree", path)
				continue
			}
			actual := []any{"f", fmt.Sprintf("0o%o", g.mode), g.sum, float64(g.size)}
			require.Equal(t, expected, actual, path)
			delete(want, path)
			equal++
		}
	}
	for path := range want {
		require.NotEmpty(t, notLinked(path), "%s is in conda's tree only", path)
	}
	t.Logf("%d files are equal to those in conda's tree", equal)
}

// notLinked tells of the files in conda's tree that no package puts there. These are all the differences but one: of
// audio_tools, the listing leaves out what ros-jazzy-audio-tools overwrote, a package that the corpus does not have; those
// files are held by TestGoldenMetaRecord.
func notLinked(path string) string {
	switch {
	case strings.HasPrefix(path, "conda-meta/"):
		return "the environment's own records"
	case path == "i-was-post-linked":
		return "made by link-scripts' post-link script, which is executed later"
	}
	return ""
}

// TestMambaTree holds the linked tree beside mamba's, which differs in two things: it keeps what the archive's modes give to
// the group, and its entry points are another script.
func TestMambaTree(t *testing.T) {
	var want map[string][]any // path -> kind, mode, sha256, size
	b, err := os.ReadFile(condatest.Corpus(t, "link/linktree-mamba-2.8.1.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &want))
	modes := map[string]string{"0o644": "0o664", "0o755": "0o775"}
	equal, group, scripts := 0, 0, 0
	for _, a := range goldenArchives {
		files, pkg := tree(t, condatest.Corpus(t, a), goldenMeta(t, a), link.Target{Prefix: goldenPrefix, Subdir: conda.Linux64, Python: goldenPython()})
		for _, e := range pkg.EntryPoints {
			scripts++
			require.NotEqual(t, files[e.Path()].sum, want[e.Path()][2], e.Path())
			delete(files, e.Path())
		}
		for path, f := range files {
			g, ok := want[path]
			if !ok {
				require.Contains(t, a, "audio_tools", "%s is not in mamba's tree", path)
				continue
			}
			mode := fmt.Sprintf("0o%o", f.mode)
			if g[1] != mode {
				group++
				require.Equal(t, modes[mode], g[1], path)
			}
			require.Equal(t, []any{"f", g[1], f.sum, float64(f.size)}, g, path)
			equal++
		}
	}
	t.Logf("%d files are equal to those in mamba's tree, %d of them but for the group's mode; %d entry points differ", equal, group, scripts)
	require.Greater(t, equal, 700)
}

func goldenMeta(t *testing.T, archive string) *conda.Record {
	t.Helper()
	rec, _ := goldenRecord(t, goldenMetaBytes(t, archive))
	return rec
}

func goldenMetaBytes(t *testing.T, archive string) []byte {
	t.Helper()
	dist := strings.TrimSuffix(strings.TrimSuffix(filepath.Base(archive), ".conda"), ".tar.bz2")
	b, err := os.ReadFile(condatest.Corpus(t, "link/conda-meta-conda/"+dist+".json"))
	require.NoError(t, err)
	return b
}

// TestGoldenMetaRecord holds conda-meta records equal to conda's, byte for byte but for the place of the package cache.
func TestGoldenMetaRecord(t *testing.T) {
	for _, a := range goldenArchives {
		t.Run(filepath.Base(a), func(t *testing.T) {
			want := goldenMetaBytes(t, a)
			rec, spec := goldenRecord(t, want)
			_, pkg := tree(t, condatest.Corpus(t, a), rec, link.Target{Prefix: goldenPrefix, Subdir: conda.Linux64, Python: goldenPython()})
			got, err := link.MetaRecord(pkg.WithBytecode(nil), rec, spec)
			require.NoError(t, err)
			require.Equal(t, string(want), strings.ReplaceAll(string(got), goldenPrefix+"/pkgs/", "/opt/conda/pkgs/"))
		})
	}
}

// TestGoldenHistory holds the history equal to conda's, but for the line that names the tool.
func TestGoldenHistory(t *testing.T) {
	b, err := os.ReadFile(condatest.Corpus(t, "link/conda-meta-conda/history"))
	require.NoError(t, err)
	var rev link.Revision
	for line := range strings.Lines(strings.ReplaceAll(string(b), "# conda version: 26.7.0", "# conda2docker version: 1.0.0")) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "==> "):
			rev.Time, err = time.Parse(time.DateTime, strings.Trim(line, "=<> "))
			require.NoError(t, err)
		case strings.HasPrefix(line, "# cmd: "):
			rev.Command = strings.TrimPrefix(line, "# cmd: ")
		case strings.HasPrefix(line, "# conda2docker version: "):
			rev.Tool = "conda2docker " + strings.TrimPrefix(line, "# conda2docker version: ")
		case strings.HasPrefix(line, "+"):
			rev.Records = append(rev.Records, recordOf(t, line[1:]))
		case strings.HasPrefix(line, "# update specs: "):
			for _, s := range strings.Split(strings.Trim(strings.TrimPrefix(line, "# update specs: "), "[]"), ", ") {
				rev.Specs = append(rev.Specs, strings.Trim(s, "'"))
			}
		}
	}
	slices.Reverse(rev.Records)
	require.Equal(t, strings.ReplaceAll(string(b), "# conda version: 26.7.0", "# conda2docker version: 1.0.0"), string(link.History(rev)))
}

// recordOf reads "CHANNEL/SUBDIR::NAME-VERSION-BUILD".
func recordOf(t *testing.T, s string) *conda.Record {
	t.Helper()
	where, dist, ok := strings.Cut(s, "::")
	require.True(t, ok, s)
	parts := strings.Split(dist, "-")
	n := len(parts)
	return &conda.Record{
		Name: conda.PackageName(strings.Join(parts[:n-2], "-")), Version: version.MustParse(parts[n-2]), Build: parts[n-1],
		Subdir: conda.Subdir(filepath.Base(where)), Channel: conda.Channel{Name: strings.TrimSuffix(where, "/"+filepath.Base(where))},
	}
}

// refusedPackages are the corpus's packages that are not packages, and why they are refused. Some are malformed on purpose,
// some hold nothing but info/, and some were packed where there are no symbolic links. All others are linked, zlib's .tar.bz2
// among them, in which empty files stand where its .conda has symbolic links to nothing.
var refusedPackages = map[string]string{
	"conda-index/archives/a.tar.bz2":                                                "no info/index.json",
	"conda-index/archives/b.tar.bz2":                                                "no info/index.json",
	"conda-index/archives/flask-0.11.1-py_0.tar.bz2":                                "incomplete",
	"conda-index/archives/fly-2.5.2-0.tar.bz2":                                      "incomplete",
	"conda-index/archives/nano-2.4.1-0.tar.bz2":                                     "incomplete",
	"conda-index/archives/spiffy-test-app-0.5-pyh6afbcc8_0.tar.bz2":                 "incomplete",
	"conda-index/archives/subfolder.tar.bz2":                                        "no info/index.json",
	"conda-index/archives/subfolder2.tar.bz2":                                       "no info/index.json",
	"conda-index/index_data/corrupt/noarch/another_bad_package.conda":               "the file is empty",
	"conda-index/index_data/corrupt/noarch/bad_package.tar.bz2":                     "it is no known archive",
	"conda/packages/conda_format_repo/linux-64/zlib-1.2.11-h7b6447c_3.conda":        `"lib/libz.so.1" is a symbolic link to nothing`,
	"conda/packages/conda_format_repo/osx-64/zlib-1.2.11-h1de35cc_3.conda":          `"lib/libz.1.dylib" is a symbolic link to nothing`,
	"packages/linux-64/nano-2.4.1-0.tar.bz2":                                        "it is gzip",
	"packages/linux-64/zlib-1.2.11-h7b6447c_3.conda":                                `"lib/libz.so.1" is a symbolic link to nothing`,
	"packages/noarch/ca-certificates-2024.7.4-hbcca054_0.conda":                     "not at its top",
	"rattler/package_streaming/resources/ca-certificates-2024.7.4-hbcca054_0.conda": "not at its top",
	"rattler/sparse/dotslash-test-1.0.0-0.conda":                                    "says nowhere which files it has",
	"rattler/sparse/info-only-1.0.0-0.conda":                                        "no pkg-*.tar.zst",
	"rattler/sparse/symlink-test-1.0.0-0.conda":                                     "says nowhere which files it has",
	"rattler/sparse/zip64-test-1.0.0-0.conda":                                       "says nowhere which files it has",
}

// TestCorpusPackages links every package of the corpus.
func TestCorpusPackages(t *testing.T) {
	root := condatest.Corpus(t, ".")
	linkedCount, refusedCount := 0, 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !isPackage(d.Name()) {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		rec := recordOfArchive(t, path)
		var pkg link.Package
		pkg, err = link.Linker{}.Files(t.Context(), path, rec, link.Target{Prefix: "/opt/conda", Subdir: conda.Linux64, Python: goldenPython()},
			func(link.File, io.Reader) error { return nil })
		if why := refusedPackages[rel]; why != "" {
			refusedCount++
			require.ErrorContains(t, err, why, rel)
			require.ErrorContains(t, err, string(rec.Name), rel)
			return nil
		}
		if err != nil {
			t.Errorf("%s: %v", rel, err)
			return nil
		}
		linkedCount++
		_, err = link.MetaRecord(pkg, rec, "")
		require.NoError(t, err)
		if len(pkg.Warnings) > 0 {
			t.Logf("%s: %s", rel, strings.Join(pkg.Warnings, "; "))
		}
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, len(refusedPackages), refusedCount)
	t.Logf("%d packages linked, %d refused", linkedCount, refusedCount)
}

// TestCorpusTrees holds what every package puts in a prefix, in path, kind, mode and content, to testdata/trees.txt, which
// testdata/trees.py made with conda's own tool for archives. It has a line for every package that is not refused.
func TestCorpusTrees(t *testing.T) {
	root := condatest.Corpus(t, ".")
	b, err := os.ReadFile(filepath.Join("testdata", "trees.txt"))
	require.NoError(t, err)
	packages, paths := 0, 0
	for line := range strings.Lines(string(b)) {
		rel, want, _ := strings.Cut(strings.TrimSpace(line), " ")
		require.NotContains(t, refusedPackages, rel)
		at := filepath.Join(root, rel)
		files, pkg := tree(t, at, recordOfArchive(t, at), link.Target{Prefix: "/opt/conda", Subdir: conda.Linux64, Python: &link.Python{Version: "3.11"}})
		for _, e := range pkg.EntryPoints {
			delete(files, e.Path())
		}
		var lines []string
		for _, p := range pkg.Paths {
			l, ok := files[p.Path]
			if !ok {
				continue
			}
			what := p.SHA256
			if p.Type == link.Symlink {
				what = p.Link
			}
			if p.Type == link.Hardlink {
				l.kind = string(link.Regular)
			}
			lines = append(lines, fmt.Sprintf("%s %s %o %s\n", p.Path, l.kind, l.mode, what))
		}
		slices.Sort(lines)
		sum := sha256.Sum256([]byte(strings.Join(lines, "")))
		require.Equal(t, want, fmt.Sprintf("%d %x", len(lines), sum), "%s:\n%s", rel, strings.Join(lines, ""))
		packages++
		paths += len(lines)
	}
	require.Equal(t, 288, packages+len(refusedPackages), "a package is neither linked nor refused")
	t.Logf("%d packages, %d paths", packages, paths)
}

func isPackage(name string) bool {
	return strings.HasSuffix(name, ".conda") || strings.HasSuffix(name, ".tar.bz2") && name != "repodata.tar.bz2"
}

// recordOfArchive makes a record of a file's name and sums, as for a package of which no channel knows.
func recordOfArchive(t *testing.T, path string) *conda.Record {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	name := filepath.Base(path)
	parts := strings.Split(strings.TrimSuffix(strings.TrimSuffix(name, ".conda"), ".tar.bz2"), "-")
	for len(parts) < 3 {
		parts = append(parts, "0")
	}
	n := len(parts)
	sum, sumMD5 := sha256.Sum256(b), md5.Sum(b)
	return &conda.Record{
		Name: conda.PackageName(strings.ToLower(strings.Join(parts[:n-2], "-"))), Version: version.MustParse(parts[n-2]), Build: parts[n-1],
		Subdir: conda.Subdir(filepath.Base(filepath.Dir(path))), FileName: name,
		SHA256: hex.EncodeToString(sum[:]), MD5: hex.EncodeToString(sumMD5[:]), Size: int64(len(b)),
	}
}
