package pip_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda/pip"
)

const report = `{"version": "1", "pip_version": "23.0.1", "install": [
 {"metadata": {"name": "Humanize", "version": "4.4.0", "requires_dist": ["a (>1)"], "requires_python": ">=3.7"}, "requested": true, "is_direct": false,
  "download_info": {"url": "https://h/humanize-4.4.0-py3-none-any.whl#sha256=x", "archive_info": {"hash": "sha256=AB", "hashes": {"sha256": "AB"}}}},
 {"metadata": {"name": "old", "version": "1"}, "download_info": {"url": "file:///x/old-1.tar.gz", "archive_info": {"hash": "sha256=cd"}}, "is_direct": true},
 {"metadata": {"name": "md5", "version": "1"}, "download_info": {"url": "https://h/md5-1.zip", "archive_info": {"hash": "md5=cd"}}}
]}`

func TestReport(t *testing.T) {
	t.Parallel()
	got, err := pip.ReadReport(strings.NewReader(report))
	require.NoError(t, err)
	require.Equal(t, []pip.Package{
		{Name: "Humanize", Version: "4.4.0", URL: "https://h/humanize-4.4.0-py3-none-any.whl", SHA256: "ab", Requested: true, Depends: []string{"a (>1)"}, RequiresPython: ">=3.7"},
		{Name: "old", Version: "1", URL: "file:///x/old-1.tar.gz", SHA256: "cd", Direct: true},
		{Name: "md5", Version: "1", URL: "https://h/md5-1.zip"},
	}, got)
	require.False(t, got[0].Source())
	require.True(t, got[1].Source())
	for text, want := range map[string]string{
		"{":                                "reading pip's report: ",
		`{"version": "2"}`:                 `its format "2" is not known`,
		`{"version": "1", "install":[{}]}`: "has no name or no version",
		`{"version": "1", "install":[{"metadata": {"name": "n", "version": "1"}, "download_info": {"url": "file:///p", "dir_info": {}}}]}`: "n 1 is no file but file:///p",
	} {
		_, err := pip.ReadReport(strings.NewReader(text))
		require.ErrorContains(t, err, want)
	}
}

func TestSatisfies(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		version, specifiers string
		want                bool
	}{
		{"1.2", "", true},
		{"1.2", ">=1, <2", true},
		{"1.2", "(==1.2.0)", true},
		{"2.0rc1", ">=1.9", true},
		{"1.2", "!=1.2", false},
		{"1.2", "~=1.3", false},
		{"what", ">1", true},
	} {
		require.Equal(t, c.want, pip.Satisfies(c.version, c.specifiers), "%s %s", c.version, c.specifiers)
	}
}

// writeZip writes a zip archive.
func writeZip(t *testing.T, name string, files ...string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		w, err := z.Create(files[i])
		require.NoError(t, err)
		_, err = io.WriteString(w, files[i+1])
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	file := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(file, b.Bytes(), 0o600))
	return file
}

const (
	metadata = "Metadata-Version: 2.1\r\nName: Some.Thing\r\nVersion: 1.0\r\n\r\nVersion: 9\r\n"
	tags     = "Wheel-Version: 1.0\nTag: py2-none-any\nTag: py3-none-any\n"
)

func TestWheel(t *testing.T) {
	t.Parallel()
	file := writeZip(t, "some_thing-1.0-py2.py3-none-any.whl",
		"thing/__init__.py", "", "some_thing-1.0.dist-info/METADATA", metadata, "some_thing-1.0.dist-info/WHEEL", tags,
		"some_thing-1.0.dist-info/entry_points.txt", "[console_scripts]\nthing = thing:main\n# no = 1\n[other]\nx = y\n[gui_scripts]\ngui=thing:gui\n",
		"some_thing-1.0.data/data/share/thing.txt", "", "some_thing-1.0.data/scripts/run", "", "some_thing-1.0.data/platlib/_thing.so", "",
		"some_thing-1.0.data/headers/thing.h", "")
	w, err := pip.ReadWheel(file)
	require.NoError(t, err)
	require.Equal(t, []any{"Some.Thing", "1.0", true}, []any{w.Name, w.Version, w.Pure})
	const site = "lib/python3.11/site-packages/"
	require.Equal(t, []string{
		"bin/gui", "bin/run", "bin/thing", site + "_thing.so", site + "some_thing-1.0.dist-info/METADATA", site + "some_thing-1.0.dist-info/WHEEL",
		site + "some_thing-1.0.dist-info/entry_points.txt", site + "thing/__init__.py", "share/thing.txt",
	}, w.Paths(strings.TrimSuffix(site, "/")))

	compiled, err := pip.ReadWheel(writeZip(t, "a-1-cp311-cp311-linux_x86_64.whl", "a-1.dist-info/METADATA", "Name: a\nVersion: 1\n", "a-1.dist-info/WHEEL", "Tag: cp311-cp311-linux_x86_64\n"))
	require.NoError(t, err)
	require.False(t, compiled.Pure)

	for want, files := range map[string][]string{
		"it has no METADATA":               {"a.py", ""},
		`"../a" is not a path`:             {"../a", ""},
		`"/a" is not a path`:               {"/a", ""},
		"it has both a.dist-info/ and b":   {"a.dist-info/METADATA", "", "b.dist-info/METADATA", ""},
		"its METADATA has no name":         {"a.dist-info/METADATA", "Version: 1\n", "a.dist-info/WHEEL", ""},
		"open a.dist-info/WHEEL: file doe": {"a.dist-info/METADATA", "Name: a\nVersion: 1\n"},
	} {
		_, err := pip.ReadWheel(writeZip(t, "a.whl", files...))
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "reading wheel a.whl: ")
	}
}

func TestDistribution(t *testing.T) {
	t.Parallel()
	for path, want := range map[string][2]string{
		"lib/python3.11/site-packages/Some_Thing-1.0.dist-info/METADATA":     {"some-thing", "1.0"},
		"lib/python3.11/site-packages/requests-2.28.1-py3.11.egg-info":       {"requests", "2.28.1"},
		"lib/python3.11/site-packages/requests-2.28.1.egg-info/PKG-INFO":     {"requests", "2.28.1"},
		"lib/python3.11/site-packages/requests/__init__.py":                  {},
		"lib/python3.11/site-packages/typing_extensions.dist-info/top_level": {"typing-extensions", ""},
	} {
		name, version, ok := pip.Distribution(path)
		require.Equal(t, want, [2]string{name, version}, path)
		require.Equal(t, want[0] != "", ok)
	}
}

// writeProject writes a project's folder.
func writeProject(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, body := range files {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(body), 0o600))
	}
	return dir
}

func TestPack(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"pyproject.toml": "[build-system]\nrequires = [\"setuptools >=61\"]\n", "src/a.py": "1", "run.sh": "#!", ".git/HEAD": "x", "src/__pycache__/a.pyc": "x",
		"a.egg-info/PKG-INFO": "x", "build/lib/a.py": "x", "src/build/b.py": "2", "z.pyc": "x",
	}
	var packed [2]bytes.Buffer
	for i := range packed {
		dir := writeProject(t, files)
		require.NoError(t, os.Chmod(filepath.Join(dir, "run.sh"), 0o700))
		require.NoError(t, os.Symlink("src/a.py", filepath.Join(dir, "linked.py")))
		past := time.Unix(int64(1e9+1e6*i), 0)
		require.NoError(t, os.Chtimes(filepath.Join(dir, "src", "a.py"), past, past))
		require.NoError(t, pip.Pack(dir, &packed[i]))
	}
	require.Equal(t, packed[0].Bytes(), packed[1].Bytes(), "the same files make the same archive")
	got := map[string]string{}
	z, err := gzip.NewReader(&packed[0])
	require.NoError(t, err)
	for tr := tar.NewReader(z); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if h.Typeflag == tar.TypeReg {
			body, err := io.ReadAll(tr)
			require.NoError(t, err)
			got[h.Name] = string(body)
			require.Equal(t, h.Name == "project/run.sh", h.Mode == 0o755, h.Name)
		}
	}
	require.Equal(t, map[string]string{
		"project/pyproject.toml": files["pyproject.toml"], "project/src/a.py": "1", "project/run.sh": "#!", "project/linked.py": "1", "project/src/build/b.py": "2",
	}, got)

	source := filepath.Join(t.TempDir(), "p.tar.gz")
	require.NoError(t, os.WriteFile(source, packed[1].Bytes(), 0o600))
	requires, err := pip.BuildRequires(source)
	require.NoError(t, err)
	require.Equal(t, []string{"setuptools >=61", "wheel"}, requires)

	require.ErrorContains(t, pip.Pack(writeProject(t, map[string]string{"a.py": ""}), io.Discard), "it is no Python project")
	out := writeProject(t, map[string]string{"setup.py": ""})
	require.NoError(t, os.Symlink("/etc/hostname", filepath.Join(out, "leads-out")))
	require.ErrorContains(t, pip.Pack(out, io.Discard), "leads-out")
}

func TestBuildRequires(t *testing.T) {
	t.Parallel()
	legacy := []string{"setuptools>=40.8.0", "wheel"}
	for _, c := range []struct {
		files []string
		want  []string
	}{
		{[]string{"p-1/setup.py", ""}, legacy},
		{[]string{"p-1/pyproject.toml", "[tool.black]\nline-length = 100\n"}, legacy},
		{[]string{"p-1/pyproject.toml", "[build-system]\nrequires = ['flit_core >=3']\n"}, []string{"flit_core >=3"}},
		{[]string{"p-1/pyproject.toml", "[build-system]\nrequires = []\nbackend-path = ['.']\n"}, []string{}},
		{[]string{"p-1/tests/pyproject.toml", "[build-system]\nrequires = ['no']\n"}, legacy},
		{[]string{"p-1/pyproject.toml", "[build-system]\nrequires = ['Setuptools', 'wheel==1']\n"}, []string{"Setuptools", "wheel==1"}},
	} {
		got, err := pip.BuildRequires(writeZip(t, "p-1.zip", c.files...))
		require.NoError(t, err)
		require.Equal(t, c.want, got)
	}
	_, err := pip.BuildRequires(writeZip(t, "p-1.zip", "p-1/pyproject.toml", "= 1"))
	require.ErrorContains(t, err, "reading pyproject.toml of source distribution p-1.zip")
	_, err = pip.BuildRequires(writeZip(t, "p-1.rpm"))
	require.ErrorContains(t, err, "neither a .tar.gz")
}
