package archive_test

import (
	"archive/tar"
	"io"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda/archive"
)

// FuzzArchive lets no path escape, whatever the bytes. The tarball is fuzzed before it is packed, since the fuzzer would
// never find its way through checksums of compressed streams; every third input is the package itself.
func FuzzArchive(f *testing.F) {
	for _, tc := range hostile {
		f.Add(tarball(f, tc.members...), uint8(0))
		f.Add(tarball(f, tc.members...), uint8(1))
	}
	f.Add(tarball(f, index(), file("lib/libz.so.1", "x"), special("lib/libz.so", tar.TypeSymlink, "libz.so.1")), uint8(1))
	f.Add(dotConda(f, file("a", "x")), uint8(2))
	f.Add(dotBz2(f, file("a", "x")), uint8(2))
	f.Fuzz(func(t *testing.T, b []byte, how uint8) {
		switch how % 3 {
		case 0:
			b = zipped(t, zipMember{"info-d.tar.zst", compressZstd(t, tarball(t, index()))}, zipMember{"pkg-d.tar.zst", compressZstd(t, b)})
		case 1:
			b = compressBz2(t, b)
		}
		r, err := open(b, archive.Options{Limits: archive.Limits{TotalBytes: 1 << 20, Entries: 1000}})
		if err != nil {
			return
		}
		kinds := map[string]archive.Type{}
		check := func(e archive.Entry, body io.Reader) error {
			require.True(t, below(e.Path), e.Path)
			require.NotContains(t, "/"+e.Path, "/.wh.")
			for dir := path.Dir(e.Path); dir != "."; dir = path.Dir(dir) {
				require.Contains(t, []archive.Type{"", archive.Directory}, kinds[dir], "%q is below %q", e.Path, dir)
			}
			switch e.Type {
			case archive.Symlink:
				require.True(t, !path.IsAbs(e.Link) && below(path.Join(path.Dir(e.Path), e.Link)), "%q -> %q", e.Path, e.Link)
			case archive.Hardlink:
				require.Equal(t, archive.Regular, kinds[e.Link])
			}
			kinds[e.Path] = e.Type
			if body == nil {
				return nil
			}
			n, err := io.Copy(io.Discard, body)
			require.LessOrEqual(t, n, int64(1<<20))
			return err
		}
		if r.Info(t.Context(), check) == nil {
			clear(kinds)
			_ = r.Payload(t.Context(), check)
		}
	})
}

// below says whether a path is one below the root, or the root.
func below(p string) bool {
	return p != "" && p == path.Clean(p) && !path.IsAbs(p) && p != ".." && !strings.HasPrefix(p, "../")
}
