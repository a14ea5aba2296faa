package link_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/archive"
	"github.com/datalayer/conda2docker/conda/link"
	"github.com/datalayer/conda2docker/conda/version"
)

// handmade packs a package of info files and of a payload that is told by lines: "f PATH BODY", "l PATH TARGET" for a
// symlink, "h PATH TARGET" for a hard link, "d PATH". It is nil where tar cannot hold that.
func handmade(info map[string][]byte, payload string) []byte {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	member := func(name string, write func(*tar.Writer) error) error {
		m, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err != nil {
			return err
		}
		c, err := zstd.NewWriter(m, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(64<<10))
		if err != nil {
			return err
		}
		tw := tar.NewWriter(c)
		return errors.Join(write(tw), tw.Close(), c.Close())
	}
	err := member("info-demo.tar.zst", func(tw *tar.Writer) error {
		var errs []error
		for name, body := range info {
			if len(body) == 0 {
				continue
			}
			errs = append(errs, tw.WriteHeader(&tar.Header{Name: "info/" + name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(body))}))
			_, err := tw.Write(body)
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	})
	err = errors.Join(err, member("pkg-demo.tar.zst", func(tw *tar.Writer) error {
		var errs []error
		for l := range strings.SplitSeq(payload, "\n") {
			kind, rest, _ := strings.Cut(l, " ")
			name, arg, _ := strings.Cut(rest, " ")
			h := &tar.Header{Name: name, Linkname: arg, Mode: 0o755}
			switch kind {
			case "f":
				h.Typeflag, h.Linkname, h.Size = tar.TypeReg, "", int64(len(arg))
			case "l":
				h.Typeflag = tar.TypeSymlink
			case "h":
				h.Typeflag = tar.TypeLink
			case "d":
				h.Typeflag, h.Linkname = tar.TypeDir, ""
			default:
				continue
			}
			errs = append(errs, tw.WriteHeader(h))
			if kind == "f" {
				_, err := io.WriteString(tw, arg)
				errs = append(errs, err)
			}
		}
		return errors.Join(errs...)
	}))
	if errors.Join(err, z.Close()) != nil {
		return nil
	}
	return out.Bytes()
}

// FuzzLink links whatever a package says of itself: no path leaves the prefix or is taken through a symlink, no file is larger
// than the limit, and what is recorded is what was handed out.
func FuzzLink(f *testing.F) {
	index := []byte(`{"name": "demo", "version": "1", "build": "0"}`)
	python := []byte(`{"name": "demo", "version": "1", "build": "0", "noarch": "python"}`)
	paths := func(entries string) []byte { return []byte(`{"paths_version": 1, "paths": [` + entries + `]}`) }
	f.Add(index, paths(`{"_path": "bin/a", "path_type": "hardlink"}, {"_path": "bin/b", "path_type": "softlink"}`), []byte(nil), []byte(nil), "f bin/a x\nl bin/b a")
	f.Add(index, paths(`{"_path": "bin/a", "path_type": "hardlink", "prefix_placeholder": "/p", "file_mode": "text"}, {"_path": "bin/b", "path_type": "hardlink"}`), []byte(nil), []byte(nil), "f bin/a #!/p/bin/sh\nh bin/b bin/a")
	f.Add(index, paths(`{"_path": "bin/a", "path_type": "hardlink", "prefix_placeholder": "/a/long/prefix", "file_mode": "binary"}`), []byte(nil), []byte(nil), "f bin/a x/a/long/prefix:/a/long/prefix\x00y")
	f.Add(index, paths(`{"_path": "../a", "path_type": "hardlink"}`), []byte(nil), []byte(nil), "f ../a x")
	f.Add(index, paths(`{"_path": "lib", "path_type": "softlink"}, {"_path": "lib/a", "path_type": "hardlink"}`), []byte(nil), []byte(nil), "l lib ../..\nf lib/a x")
	f.Add(index, paths(`{"_path": "var/empty", "path_type": "directory"}, {"_path": "a/.wh.b", "path_type": "directory"}`), []byte(nil), []byte(nil), "d var/empty")
	f.Add(index, []byte(nil), []byte(nil), []byte("bin/a\nbin/b\n"), "f bin/a x\nh bin/b bin/a")
	f.Add(python, paths(`{"_path": "site-packages/a.py", "path_type": "hardlink"}, {"_path": "python-scripts/a", "path_type": "hardlink"}, {"_path": "bin/a", "path_type": "hardlink"}`),
		[]byte(`{"package_metadata_version": 1, "noarch": {"type": "python", "entry_points": ["a = a:b", "../c = a:b"]}}`), []byte(nil), "f site-packages/a.py x\nf python-scripts/a x")
	f.Add(python, paths(`{"_path": "site-packages/l", "path_type": "softlink"}, {"_path": "lib/python3.11", "path_type": "hardlink"}`),
		[]byte(`{"package_metadata_version": 1, "noarch": {"type": "python", "entry_points": ["a = a:b"]}}`), []byte(nil), "l site-packages/l ../x\nf lib/python3.11 x")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, index, paths, linkJSON, files []byte, payload string) {
		b := handmade(map[string][]byte{"index.json": index, "paths.json": paths, "link.json": linkJSON, "files": files}, payload)
		if b == nil {
			return
		}
		name := filepath.Join(dir, fmt.Sprintf("%d.conda", os.Getpid()))
		require.NoError(t, os.WriteFile(name, b, 0o600))
		rec := &conda.Record{Name: "demo", Version: version.MustParse("1"), Build: "0", Subdir: conda.Linux64, FileName: "demo-1-0.conda"}
		c := handed{t: t, types: map[string]link.Type{}}
		l := link.Linker{Limits: archive.Limits{TotalBytes: 1 << 20, FileBytes: 64 << 10, InfoBytes: 64 << 10, Entries: 1000}}
		pkg, err := l.Files(t.Context(), name, rec, target(), c.emit)
		if err != nil {
			require.Empty(t, pkg)
			require.ErrorContains(t, err, "demo")
			return
		}
		require.Len(t, pkg.Paths, len(c.types))
		for _, p := range pkg.Paths {
			require.Equal(t, c.types[p.Path], p.Type, p.Path)
		}
		_, err = link.MetaRecord(pkg, rec, "demo")
		require.NoError(t, err)
	})
}

// handed checks what is handed out.
type handed struct {
	t     *testing.T
	types map[string]link.Type
}

func (h *handed) emit(f link.File, r io.Reader) error {
	t := h.t
	require.True(t, f.Path != "." && path.Clean("/"+f.Path) == "/"+f.Path, "%q", f.Path)
	require.NotContains(t, "/"+f.Path, "/.wh.")
	require.NotContains(t, f.Path, "\x00")
	require.Empty(t, h.types[f.Path], "%q twice", f.Path)
	h.types[f.Path] = f.Type
	for other, kind := range h.types {
		if kind != link.Directory {
			require.False(t, strings.HasPrefix(f.Path, other+"/"), "%q below %q", f.Path, other)
		}
		if f.Type != link.Directory {
			require.False(t, strings.HasPrefix(other, f.Path+"/"), "%q below %q", other, f.Path)
		}
	}
	switch f.Type {
	case link.Symlink:
		to := path.Join(path.Dir(f.Path), f.Link)
		require.False(t, path.IsAbs(f.Link) || to == ".." || strings.HasPrefix(to, "../"), "%q -> %q", f.Path, f.Link)
	case link.Hardlink:
		require.Equal(t, link.Regular, h.types[f.Link])
	case link.Regular:
		require.LessOrEqual(t, f.Size, int64(64<<10))
		n, err := io.Copy(io.Discard, r)
		if err != nil {
			return err
		}
		require.Equal(t, f.Size, n, f.Path)
	}
	return nil
}
