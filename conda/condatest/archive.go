package condatest

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"path"
	"time"

	"github.com/dsnet/compress/bzip2"
	"github.com/klauspost/compress/zstd"
)

// modTime is that of every member: what is made is the same bytes each time.
var modTime = time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC) //nolint:gochecknoglobals // a constant in all but name

// condaZip is the format of 2019: a zip of two tarballs, not compressed once more.
func condaZip(dist string, info, payload []File) ([]byte, error) {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	add := func(name string, body []byte) error {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store, Modified: modTime})
		if err == nil {
			_, err = w.Write(body)
		}
		return err
	}
	if err := add("metadata.json", []byte(`{"conda_pkg_format_version": 2}`)); err != nil {
		return nil, err
	}
	for _, part := range []struct {
		name  string
		files []File
	}{{"pkg-" + dist + ".tar.zst", payload}, {"info-" + dist + ".tar.zst", info}} {
		t, err := tarball(part.files)
		if err != nil {
			return nil, err
		}
		t, err = compressZstd(t)
		if err != nil {
			return nil, err
		}
		if err := add(part.name, t); err != nil {
			return nil, err
		}
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func tarBz2(files []File) ([]byte, error) {
	t, err := tarball(files)
	if err != nil {
		return nil, err
	}
	return compressBzip2(t)
}

func tarball(files []File) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		h := &tar.Header{
			Typeflag: tar.TypeReg, Name: f.Path, Mode: int64(f.Mode.Perm()), Size: int64(len(f.Body)), ModTime: modTime,
			Uname: "root", Gname: "root", Format: tar.FormatPAX,
		}
		switch {
		case f.Mode.IsDir():
			h.Typeflag, h.Name, h.Size = tar.TypeDir, f.Path+"/", 0
		case f.Link != "":
			h.Typeflag, h.Linkname, h.Size, h.Mode = tar.TypeSymlink, f.Link, 0, 0o777
		case f.HardLink != "":
			h.Typeflag, h.Linkname, h.Size = tar.TypeLink, f.HardLink, 0
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Path, err)
		}
		if h.Size > 0 {
			if _, err := io.WriteString(w, f.Body); err != nil {
				return nil, fmt.Errorf("%s: %w", f.Path, err)
			}
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func compressZstd(b []byte) ([]byte, error) {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return nil, err
	}
	return w.EncodeAll(b, nil), w.Close()
}

func compressBzip2(b []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := bzip2.NewWriter(&out, &bzip2.WriterConfig{Level: bzip2.BestSpeed})
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(b); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// linkTarget is the path in the package that a symbolic link leads to.
func linkTarget(f File) string { return path.Join(path.Dir(f.Path), f.Link) }
