package sandbox

import (
	"archive/zip"
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

func TestUpstreamVersions(t *testing.T) {
	t.Parallel()
	for debian, want := range map[string]string{
		"7.88.1-10+deb12u12": "7.88.1", "1:1.24.2-1+deb12u1": "1.24.2", "1.5.3+dfsg-2": "1.5.3", "3.0.15-1~deb12u1": "3.0.15",
		"20230311+deb12u1": "20230311", "0.3.21+ds-4": "0.3.21", "2.36-9+deb12u10": "2.36", "2022.7.1-4": "2022.7.1",
	} {
		require.Equal(t, want, upstream(debian), debian)
	}
}

func TestDebianDepends(t *testing.T) {
	t.Parallel()
	got := debianDepends("python3-pkg-resources, python3 (<< 3.12), python3:any, libblas3 | libblas.so.3, libc6 (>= 2.35), python3-numpy (>= 1:1.22.0), x (>= 2~beta)")
	require.Equal(t, map[string]string{
		"python3-pkg-resources": "", "python3": "", "libblas3": "", "libc6": ">=2.35", "python3-numpy": ">=1.22.0", "x": ">=2",
	}, got)
}

func TestDestinations(t *testing.T) {
	t.Parallel()
	compiled, noarch := &tree{}, &tree{recipe: recipe{NoArch: true}}
	for from, want := range map[string]string{
		"usr/bin/python3.11": "bin/python3.11", "usr/lib/x86_64-linux-gnu/libz.so.1": "lib/libz.so.1", "lib/x86_64-linux-gnu/libz.so.1": "lib/libz.so.1",
		"usr/lib/python3/dist-packages/six.py": "lib/python3.11/site-packages/six.py", "usr/share/doc/x/copyright": "", "var/lib/x": "",
		"usr/lib/x86_64-linux-gnu/openblas-pthread/libblas.so.3": "lib/libblas.so.3",
	} {
		require.Equal(t, want, compiled.destination(from), from)
	}
	require.Equal(t, "site-packages/six.py", noarch.destination("usr/lib/python3/dist-packages/six.py"))
	require.Equal(t, "libz.so.1", compiled.retarget("usr/lib/x86_64-linux-gnu/libz.so", "lib/libz.so", "/lib/x86_64-linux-gnu/libz.so.1"))
	require.Equal(t, "../lib/python3.11/pdb.py", compiled.retarget("usr/bin/pdb3.11", "bin/pdb3.11", "../lib/python3.11/pdb.py"))
	require.Empty(t, compiled.retarget("usr/lib/x", "lib/x", "/var/lib/x"))
}

func TestPlaceholder(t *testing.T) {
	t.Parallel()
	require.Len(t, placeholder, 255, "conda-build's length")
}

// TestRecipesAreAlwaysTheSame holds that a channel that is whole stays so: what it is made of has one name.
func TestRecipesAreAlwaysTheSame(t *testing.T) {
	t.Parallel()
	first := recipesID()
	for range 20 {
		require.Equal(t, first, recipesID())
	}
	names := map[string]bool{}
	for _, r := range recipes() {
		require.False(t, names[r.Name], "%s is there twice", r.Name)
		names[r.Name] = true
		require.NotEmpty(t, r.License, r.Name)
	}
}

// open is the sandbox of this machine, which is made where it is not there yet.
func open(t *testing.T) *Sandbox {
	t.Helper()
	cache, err := Cache()
	require.NoError(t, err)
	s, err := Make(t.Context(), Options{Dir: filepath.Join(cache, "sandbox"), Mirror: os.Getenv("DEBIAN_MIRROR"), Log: t.Logf})
	require.NoError(t, err)
	return s
}

// TestChannel holds that the channel is what the examples need: genuine packages of every kind.
func TestChannel(t *testing.T) {
	s := open(t)
	server, err := s.Serve(t.Context())
	require.NoError(t, err)
	defer server.Close()

	kinds := map[string]int{}
	for _, subdir := range []string{"linux-64", "noarch"} {
		body := get(t, server.ChannelURL+"/"+subdir+"/repodata.json")
		plain, err := zstd.NewReader(nil)
		require.NoError(t, err)
		same, err := plain.DecodeAll(get(t, server.ChannelURL+"/"+subdir+"/repodata.json.zst"), nil)
		require.NoError(t, err)
		require.Equal(t, body, same)
		var doc struct {
			Packages map[string]index `json:"packages"`
			Conda    map[string]index `json:"packages.conda"`
		}
		require.NoError(t, json.Unmarshal(body, &doc))
		kinds[".tar.bz2"] += len(doc.Packages)
		for name, r := range doc.Conda {
			kinds[subdir]++
			sum, err := fileSHA256(filepath.Join(s.channel(), subdir, name))
			require.NoError(t, err)
			require.Equal(t, r.SHA256, sum, name)
		}
	}
	require.Greater(t, kinds["linux-64"], 80)
	require.Greater(t, kinds["noarch"], 30)
	require.GreaterOrEqual(t, kinds[".tar.bz2"], 3)

	modes, scripts := map[string]int{}, map[string]int{}
	packages, err := filepath.Glob(filepath.Join(s.channel(), "*", "*.conda"))
	require.NoError(t, err)
	for _, p := range packages {
		for _, e := range pathsOf(t, p) {
			modes[e.FileMode]++
			for _, mark := range []string{"-post-link.sh", "etc/conda/activate.d/"} {
				if strings.Contains(e.Path, mark) {
					scripts[mark]++
				}
			}
		}
	}
	require.Positive(t, modes["text"])
	require.Positive(t, modes["binary"])
	require.Positive(t, scripts["-post-link.sh"])
	require.Positive(t, scripts["etc/conda/activate.d/"])
}

// pathsOf is info/paths.json of a package, found without this project's own reader.
func pathsOf(t *testing.T, archive string) []pathEntry {
	t.Helper()
	z, err := zip.OpenReader(archive)
	require.NoError(t, err)
	defer z.Close()
	for _, m := range z.File {
		if !strings.HasPrefix(m.Name, "info-") {
			continue
		}
		r, err := m.Open()
		require.NoError(t, err)
		zr, err := zstd.NewReader(r)
		require.NoError(t, err)
		tar, err := io.ReadAll(zr)
		require.NoError(t, err)
		_, rest, ok := strings.Cut(string(tar), `{
  "paths": [`)
		require.True(t, ok, archive)
		list, _, ok := strings.Cut(rest, "\n  ],\n  \"paths_version\"")
		if !ok { // no paths at all
			return nil
		}
		var entries []pathEntry
		require.NoError(t, json.Unmarshal([]byte("["+list+"]"), &entries))
		return entries
	}
	t.Fatalf("%s has no info", archive)
	return nil
}

func get(t *testing.T, url string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, http.StatusOK, res.StatusCode, url)
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return b
}

// TestSettings holds that the settings name what the sandbox has.
func TestSettings(t *testing.T) {
	s := open(t)
	server, err := s.Serve(t.Context())
	require.NoError(t, err)
	defer server.Close()
	text, err := server.Settings()
	require.NoError(t, err)
	var settings struct {
		Bases map[string]string
		Scan  struct{ DB string }
		Pip   struct{ Index string }
	}
	require.NoError(t, yaml.Unmarshal(text, &settings))
	for _, b := range settings.Bases {
		require.FileExists(t, filepath.Join(strings.TrimPrefix(b, "oci-layout:"), "index.json"))
	}
	require.DirExists(t, settings.Scan.DB)
	for project := range indexPackages() {
		require.Regexp(t, `\.(whl|tar\.gz)#sha256=`, string(get(t, settings.Pip.Index+"/"+project+"/")))
	}
}

// TestRemovedPackageIsMissed holds that a channel that lost an archive is made again.
func TestRemovedPackageIsMissed(t *testing.T) {
	s := open(t)
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, onlyIndex{os.DirFS(s.channel())}))
	c := channel{dir: dir}
	require.False(t, c.whole(), "no archive is there")
	require.True(t, channel{dir: s.channel()}.whole())
}

// onlyIndex is a channel without its archives.
type onlyIndex struct{ fs.FS }

func (o onlyIndex) ReadDir(name string) ([]fs.DirEntry, error) {
	all, err := fs.ReadDir(o.FS, name)
	var kept []fs.DirEntry
	for _, e := range all {
		if e.IsDir() || strings.HasSuffix(e.Name(), ".json") {
			kept = append(kept, e)
		}
	}
	return kept, err
}

// TestMakeStops holds that an interrupted make says so, and leaves nothing that looks whole.
func TestMakeStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	_, err := Make(ctx, Options{Dir: dir})
	require.Error(t, err)
	done, err := filepath.Glob(filepath.Join(dir, "*.done"))
	require.NoError(t, err)
	require.Empty(t, done)
}
