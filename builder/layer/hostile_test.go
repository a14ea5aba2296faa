package layer

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dsnet/compress/bzip2"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/archive"
	"github.com/datalayer/conda2docker/conda/link"
	"github.com/datalayer/conda2docker/conda/version"
)

// tarOf is a tarball; entries without a size have the body "x".
func tarOf(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		var body []byte
		if h.Typeflag == tar.TypeReg {
			body = bytes.Repeat([]byte("x"), max(1, int(h.Size)))
			h.Size = int64(len(body))
		}
		h.Mode = 0o644
		require.NoError(t, w.WriteHeader(&h))
		_, err := w.Write(body)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

// dotConda is a package of two tarballs.
func dotConda(t testing.TB, info, payload []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, m := range []struct {
		name string
		tar  []byte
	}{{"pkg-hostile-1-0.tar.zst", payload}, {"info-hostile-1-0.tar.zst", info}} {
		w, err := z.CreateHeader(&zip.FileHeader{Name: m.name, Method: zip.Store})
		require.NoError(t, err)
		c, err := zstd.NewWriter(nil)
		require.NoError(t, err)
		_, err = w.Write(c.EncodeAll(m.tar, nil))
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	return b.Bytes()
}

// dotBz2 is a package of one tarball.
func dotBz2(t testing.TB, all []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := bzip2.NewWriter(&b, nil)
	require.NoError(t, err)
	_, err = w.Write(all)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

// A package that is not what it should be is refused with its name, and leaves nothing behind, though much of it had been
// written when that was found out.
func TestHostilePackagesLeaveNothing(t *testing.T) {
	entry := func(name string, flag byte, to string) []tar.Header {
		return []tar.Header{{Name: name, Typeflag: flag, Linkname: to, Format: tar.FormatPAX}}
	}
	for _, tt := range []struct {
		name    string
		entries []tar.Header
		want    string
	}{
		{"a way out", entry("lib/../../etc/passwd", tar.TypeReg, ""), "leads out of the prefix"},
		{"an absolute path", entry("/etc/passwd", tar.TypeReg, ""), "absolute path"},
		{"a symlink out", entry("lib/l", tar.TypeSymlink, "../../etc"), "out of the prefix"},
		{"an absolute symlink", entry("lib/l", tar.TypeSymlink, "/etc"), "absolute path"},
		{"a file through a symlink", append(entry("lib/l", tar.TypeSymlink, "../share"), entry("lib/l/x", tar.TypeReg, "")...), "which is a symlink"},
		{"a hard link out", entry("lib/l", tar.TypeLink, "../../etc/passwd"), "out of the package"},
		{"a device", entry("dev/sda", tar.TypeBlock, ""), "a device node"},
		{"a pipe", entry("run/pipe", tar.TypeFifo, ""), "a named pipe"},
		{"a whiteout", entry("lib/.wh.python", tar.TypeReg, ""), "a deletion in an image's layer"},
		{"the same path twice", append(entry("lib/x", tar.TypeReg, ""), entry("lib/x", tar.TypeReg, "")...), "is there twice"},
		{"no UTF-8", entry("lib/\xff", tar.TypeReg, ""), "is not UTF-8"},
		{"a bomb", []tar.Header{{Name: "lib/bomb", Typeflag: tar.TypeReg, Size: 30 << 20}}, "the limit of 25165824"},
		{"too many", slices.Concat(entry("a", tar.TypeDir, ""), entry("a/b", tar.TypeReg, ""), entry("c", tar.TypeReg, ""), entry("d", tar.TypeReg, ""), entry("e", tar.TypeReg, "")), "more than 5 entries"},
		{"a file that is missing", nil, `has "lib/x", which is not in the archive`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			index := []byte(`{"name": "hostile", "version": "1", "build": "0"}`)
			list := `{"paths_version": 1, "paths": [{"_path": "share/honest", "path_type": "hardlink"}, {"_path": "lib/x", "path_type": "hardlink"}]}`
			info := infoTar(t, index, []byte(list))
			payload := tarOf(t, append([]tar.Header{{Name: "share/honest", Typeflag: tar.TypeReg, Size: 2*chunkSize + 1}}, tt.entries...)...)
			refused(t, "hostile-1-0.conda", dotConda(t, info, payload), tt.want)
			refused(t, "hostile-1-0.tar.bz2", dotBz2(t, append(info[:len(info)-1024], payload...)), tt.want)
		})
	}
	good := tarOf(t, tar.Header{Name: "share/honest", Typeflag: tar.TypeReg, Size: 2*chunkSize + 1})
	info := infoTar(t, []byte(`{"name": "hostile", "version": "1", "build": "0"}`), []byte(`{"paths_version": 1, "paths": [{"_path": "share/honest", "path_type": "hardlink"}]}`))
	conda, bz2 := dotConda(t, info, good), dotBz2(t, append(info[:len(info)-1024:len(info)-1024], good...))
	for n := 1; n < 8; n++ {
		refused(t, "hostile-1-0.conda", conda[:len(conda)*n/8], "truncated")
		refused(t, "hostile-1-0.tar.bz2", bz2[:len(bz2)*n/8], "truncated")
	}
	refused(t, "hostile-1-0.tar.bz2", conda, "it is a .conda package")
	refused(t, "hostile-1-0.conda", bz2, "it is a .tar.bz2 package")
	other := infoTar(t, []byte(`{"name": "honest", "version": "1", "build": "0"}`), []byte(`{"paths_version": 1, "paths": []}`))
	refused(t, "hostile-1-0.conda", dotConda(t, other, good), "another package than the channel says")
}

func infoTar(t testing.TB, index, paths []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range []struct {
		name string
		body []byte
	}{{"info/index.json", index}, {"info/paths.json", paths}} {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: f.name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(f.body))}))
		_, err := w.Write(f.body)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

// refused holds that the archive has no segment.
func refused(t *testing.T, name string, b []byte, want string) {
	t.Helper()
	c := openCache(t, Options{Level: 1, Linker: link.Linker{Limits: archive.Limits{TotalBytes: 24 << 20, Entries: 5}}})
	at := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(at, b, 0o600))
	rec := &conda.Record{Name: "hostile", Version: version.MustParse("1"), Build: "0", Subdir: conda.Linux64, FileName: name}
	_, err := c.Segment(context.Background(), Input{Record: rec, ArchivePath: at, ArchiveSHA256: strings.Repeat("0", 64), Target: target()})
	require.ErrorContains(t, err, want, name)
	require.ErrorContains(t, err, "hostile-1-0", "a refusal names the package")
	for _, dir := range []string{segmentsDir, layersDir} {
		left, err := os.ReadDir(filepath.Join(c.opts.Dir, dir))
		require.NoError(t, err)
		require.Empty(t, left, "a refusal leaves nothing")
	}
}
