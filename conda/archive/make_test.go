package archive_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"testing"
	"time"

	"github.com/dsnet/compress/bzip2"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda/archive"
)

// member is a tar entry, with headers that no honest tool writes where a test wants them.
type member struct {
	tar.Header
	body string
}

func file(name, body string) member {
	return member{tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(body)), ModTime: time.Unix(1e9, 0)}, body}
}

func special(name string, flag byte, link string) member {
	return member{tar.Header{Name: name, Typeflag: flag, Linkname: link, Mode: 0o777, Format: tar.FormatPAX}, ""}
}

func index() member { return file("info/index.json", `{"name":"demo","version":"1","build":"0"}`) }

func tarball(t testing.TB, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		require.NoError(t, w.WriteHeader(&m.Header))
		_, err := w.Write([]byte(m.body))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

func compressBz2(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := bzip2.NewWriter(&out, nil)
	require.NoError(t, err)
	_, err = w.Write(b)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.Bytes()
}

func compressZstd(t testing.TB, b []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	return w.EncodeAll(b, nil)
}

// zipMember is a member of a .conda's zip.
type zipMember struct {
	name string
	body []byte
}

func zipped(t testing.TB, members ...zipMember) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, m := range members {
		f, err := w.CreateHeader(&zip.FileHeader{Name: m.name, Method: zip.Store})
		require.NoError(t, err)
		_, err = f.Write(m.body)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

func metadata() zipMember {
	return zipMember{"metadata.json", []byte(`{"conda_pkg_format_version": 2}`)}
}

func dotConda(t testing.TB, members ...member) []byte {
	t.Helper()
	return zipped(t, metadata(),
		zipMember{"pkg-demo-1-0.tar.zst", compressZstd(t, tarball(t, members...))},
		zipMember{"info-demo-1-0.tar.zst", compressZstd(t, tarball(t, index()))})
}

func dotBz2(t testing.TB, members ...member) []byte {
	t.Helper()
	return compressBz2(t, tarball(t, append([]member{index()}, members...)...))
}

func open(b []byte, opts archive.Options) (*archive.Reader, error) {
	return archive.NewReader(bytes.NewReader(b), int64(len(b)), opts)
}
