package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/builder/base"
	"github.com/datalayer/conda2docker/builder/layer"
	"github.com/datalayer/conda2docker/conda"
)

// writeTree writes files below a new folder; a name that ends with "/" is a folder.
func writeTree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, body := range files {
		at := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(at), 0o755))
		require.NoError(t, os.WriteFile(at, []byte(body), 0o644))
	}
	return dir
}

func TestAptPackages(t *testing.T) {
	t.Parallel()
	dir := writeTree(t, map[string]string{"apt.txt": "# of the system\ngit\n\nlibgl1=1.6.0-1  # pinned\n g++ curl/bookworm-backports\n", "bad.txt": "git\n--purge bash\n"})
	got, err := aptPackages([]string{"zip", filepath.Join(dir, "apt.txt"), "git", "libc6:amd64"})
	require.NoError(t, err)
	require.Equal(t, []string{"curl/bookworm-backports", "g++", "git", "libc6:amd64", "libgl1=1.6.0-1", "zip"}, got)
	_, err = aptPackages([]string{filepath.Join(dir, "bad.txt")})
	require.ErrorContains(t, err, `bad.txt:2: "--purge": want a package`)
	for _, bad := range []string{"", "-y", "Git", "git-", "git=", "git;ls", "git ls", "a=b=c", "$(ls)", "git/../x", "x=-1", "a"} {
		_, err := aptPackages([]string{bad})
		require.Error(t, err, bad)
	}
}

func TestParseCopy(t *testing.T) {
	t.Parallel()
	dir := writeTree(t, map[string]string{"file": "x"})
	file := filepath.Join(dir, "file")
	got, err := parseCopy(file + ":/srv/data/:0600")
	require.NoError(t, err)
	require.Equal(t, copySpec{from: file, to: "/srv/data", into: true, mode: 0o600}, got)
	for bad, want := range map[string]string{
		file:                             "want SRC:DEST",
		file + ":relative":               "want an absolute path",
		file + ":/srv/../etc/x":          `without ".."`,
		file + ":/proc/x":                "nothing can be put there",
		file + ":/dev":                   "nothing can be put there",
		file + ":/opt/conda/conda-meta/": "nothing can be put there",
		file + ":/":                      "",
		file + ":/srv/x:999":             "permissions in octal",
		dir + "/none:/srv/x":             "no such file",
		"/dev/null:/srv/x":               "neither a file nor a folder",
	} {
		_, err := parseCopy(bad)
		if want == "" {
			require.NoError(t, err, bad)
			continue
		}
		require.ErrorContains(t, err, want, bad)
	}
}

func TestCopiedFiles(t *testing.T) {
	t.Parallel()
	dir := writeTree(t, map[string]string{"a.txt": "a", "sub/b.txt": "b", "run": "#!/bin/sh\n"})
	require.NoError(t, os.Chmod(filepath.Join(dir, "run"), 0o700))
	require.NoError(t, os.Symlink("../a.txt", filepath.Join(dir, "sub", "link")))
	img := base.Image{Facts: base.Facts{Links: map[string]string{"bin": "usr/bin"}}}
	got, err := copiedFiles([]copySpec{{from: dir, to: "/srv"}, {from: filepath.Join(dir, "run"), to: "/bin/run"}, {from: filepath.Join(dir, "a.txt"), to: "/srv/run", mode: 0o640}}, img)
	require.NoError(t, err)
	var paths []string
	modes := map[string]os.FileMode{}
	for _, f := range got {
		paths = append(paths, f.Path)
		modes[f.Path] = f.Mode
	}
	require.Equal(t, []string{"/srv", "/srv/a.txt", "/srv/run", "/srv/sub", "/srv/sub/b.txt", "/srv/sub/link", "/usr/bin/run"}, paths)
	require.Equal(t, []os.FileMode{0o644, 0o640, 0o755}, []os.FileMode{modes["/srv/a.txt"], modes["/srv/run"], modes["/usr/bin/run"]})
	require.Equal(t, layer.File{Path: "/srv/sub/link", Link: "../a.txt"}, got[5])
	for _, target := range []string{"../../etc/passwd", "/etc/passwd"} {
		require.NoError(t, os.Symlink(target, filepath.Join(dir, "out")))
		_, err = copiedFiles([]copySpec{{from: dir, to: "/srv"}}, img)
		require.ErrorContains(t, err, "which is outside of the folder", target)
		require.NoError(t, os.Remove(filepath.Join(dir, "out")))
	}
}

func TestReadFolder(t *testing.T) {
	t.Parallel()
	root := writeTree(t, map[string]string{"environment.yml": "x", "apt.txt": "", "start": ""})
	p, err := readFolder(root, conda.Linux64)
	require.NoError(t, err)
	require.Equal(t, []string{root + "/environment.yml"}, p.files)
	require.Equal(t, []string{root + "/apt.txt", ""}, []string{p.apt, p.postBuild})
	require.Equal(t, []string{"taken from " + root + ": environment.yml, apt.txt", "warning: " + root + "/start is not followed"}, p.notes)

	binder := writeTree(t, map[string]string{"environment.yml": "x", "apt.txt": "", "binder/environment.yml": "y", "binder/conda-linux-64.lock": "@EXPLICIT", "binder/postBuild": "#!/bin/sh"})
	p, err = readFolder(binder, conda.Linux64)
	require.NoError(t, err)
	require.Equal(t, []string{binder + "/binder/conda-linux-64.lock"}, p.files)
	require.Equal(t, []string{"", binder + "/binder/postBuild"}, []string{p.apt, p.postBuild}, "what is beside binder/ does not count")
	p, err = readFolder(binder, conda.LinuxAarch64)
	require.NoError(t, err)
	require.Equal(t, []string{binder + "/binder/environment.yml"}, p.files)

	_, err = readFolder(writeTree(t, map[string]string{".binder/apt.txt": "x"}), conda.Linux64)
	require.ErrorContains(t, err, ".binder has neither environment.yml nor conda-linux-64.lock")
	_, err = readFolder(writeTree(t, map[string]string{".binder/environment.yml": "x", "binder/environment.yml": ""}), conda.Linux64)
	require.ErrorContains(t, err, "has both binder and .binder")
}

// A folder may be a stranger's: its files do not lead to those of this machine.
func TestFolderLinksStayInside(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("root:x\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "real.yml"), []byte("dependencies: []\n"), 0o600))
	require.NoError(t, os.Symlink("real.yml", filepath.Join(dir, "environment.yml")))
	_, err := readFolder(dir, conda.Linux64)
	require.NoError(t, err)
	require.NoError(t, os.Symlink(secret, filepath.Join(dir, "apt.txt")))
	_, err = readFolder(dir, conda.Linux64)
	require.ErrorContains(t, err, "apt.txt is a link that leads out of "+dir)
}
