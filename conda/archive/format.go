package archive

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/datalayer/conda2docker/conda/archive/bunzip2"
)

// format is what a file's first bytes say it is.
type format string

const (
	formatConda format = "a .conda package (zip)"
	formatBzip2 format = "a .tar.bz2 package (bzip2)"
)

// sniff tells a file's format by its content: names lie, and the tools of other ecosystems guess.
func sniff(src io.ReaderAt, size int64) (format, error) {
	if size == 0 {
		return "", errors.New("the file is empty")
	}
	head := make([]byte, 512)
	n, err := src.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("reading its beginning: %w", err)
	}
	head = head[:n]
	for _, m := range []struct {
		magic string
		at    int
		f     format
	}{
		{"PK\x03\x04", 0, formatConda},
		{"PK\x05\x06", 0, "an empty zip"},
		{"BZh", 0, formatBzip2},
		{"\x1f\x8b", 0, "gzip"},
		{"\xfd7zXZ\x00", 0, "xz"},
		{"\x28\xb5\x2f\xfd", 0, "zstandard"},
		{"7z\xbc\xaf\x27\x1c", 0, "7-zip"},
		{"ustar", 257, "a tarball that is not compressed"},
		{"<", 0, "HTML or XML, such as the page of a proxy or of a login"},
		{"{", 0, "JSON, such as a server's error message"},
	} {
		if len(head) >= m.at && bytes.HasPrefix(head[m.at:], []byte(m.magic)) {
			return m.f, nil
		}
	}
	return "no known archive", nil
}

// agrees says whether a package of the format may have the name; a name without a package's extension tells nothing.
func (f format) agrees(name string) error {
	want := f
	switch {
	case strings.HasSuffix(name, ".conda"):
		want = formatConda
	case strings.HasSuffix(name, ".tar.bz2"):
		want = formatBzip2
	}
	if f != want {
		return fmt.Errorf("the file is not %s: it is %s", want, f)
	}
	return nil
}

func (f format) open(src io.ReaderAt, size int64, u unpacker) (parts, error) {
	switch f {
	case formatConda:
		return openConda(src, size, u)
	case formatBzip2:
		return tarBz2{src, size, u.decoders}, nil
	}
	return nil, fmt.Errorf("the file is not a conda package: it is %s", f)
}

// tarBz2 is a package of the older format: one tarball (CEP 35).
type tarBz2 struct {
	src      io.ReaderAt
	size     int64
	decoders *Decoders
}

func (t tarBz2) payload() (io.ReadCloser, error) {
	var pool *bunzip2.Pool
	if t.decoders != nil {
		pool = &t.decoders.bzip2s
	}
	return pool.NewReader(t.src, t.size), nil
}

func (t tarBz2) info() (io.ReadCloser, error) { return t.payload() }

func (tarBz2) split() bool { return false }

// condaZip is a package of the newer format: a zip of two tarballs (CEP 35), in any order.
type condaZip struct {
	infoTar, pkgTar *zip.File
	unpacker        unpacker
}

func openConda(src io.ReaderAt, size int64, u unpacker) (condaZip, error) {
	z, err := zip.NewReader(src, size)
	if err != nil {
		return condaZip{}, fmt.Errorf("reading the zip's directory, which a truncated file lacks: %w", err)
	}
	c := condaZip{unpacker: u}
	var nested string
	for _, f := range z.File {
		var slot **zip.File
		switch base := path.Base(f.Name); {
		case f.Name == "metadata.json":
			if err := checkMetadata(f); err != nil {
				return condaZip{}, err
			}
			continue
		case isTarZst(base, "info-"):
			slot = &c.infoTar
		case isTarZst(base, "pkg-"):
			slot = &c.pkgTar
		default:
			continue // CEP 35 leaves room for members to come
		}
		if strings.ContainsAny(f.Name, `/\`) {
			nested = f.Name
			continue
		}
		if *slot != nil {
			return condaZip{}, fmt.Errorf("the zip holds both %q and %q", (*slot).Name, f.Name)
		}
		*slot = f
	}
	return c, c.check(nested)
}

func isTarZst(name, prefix string) bool {
	return strings.HasPrefix(name, prefix) && strings.HasSuffix(name, ".tar.zst")
}

func (c condaZip) check(nested string) error {
	switch {
	case (c.infoTar == nil || c.pkgTar == nil) && nested != "":
		return fmt.Errorf("the zip holds %q below a folder, and not at its top: the package was zipped by hand", nested)
	case c.infoTar == nil:
		return errors.New("the zip holds no info-*.tar.zst")
	case c.pkgTar == nil:
		return errors.New("the zip holds no pkg-*.tar.zst")
	}
	if strings.TrimPrefix(c.infoTar.Name, "info-") != strings.TrimPrefix(c.pkgTar.Name, "pkg-") {
		return fmt.Errorf("the zip holds the parts of two packages: %q and %q", c.infoTar.Name, c.pkgTar.Name)
	}
	return nil
}

func checkMetadata(f *zip.File) error {
	var m struct {
		Version json.Number `json:"conda_pkg_format_version"`
	}
	r, err := f.Open()
	if err == nil {
		err = json.NewDecoder(io.LimitReader(r, 1<<20)).Decode(&m)
		err = errors.Join(err, r.Close())
	}
	if err != nil {
		return fmt.Errorf("reading metadata.json: %w", err)
	}
	if m.Version != "2" {
		return fmt.Errorf("metadata.json tells of package format %q, and only 2 is known", m.Version)
	}
	return nil
}

func (c condaZip) info() (io.ReadCloser, error)    { return c.unpacker.open(c.infoTar) }
func (c condaZip) payload() (io.ReadCloser, error) { return c.unpacker.open(c.pkgTar) }
func (condaZip) split() bool                       { return true }
