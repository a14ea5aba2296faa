package archive_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda/archive"
	"github.com/datalayer/conda2docker/conda/condatest"
)

// TestTraversal reads tarballs that were made to get out of where they are unpacked, as packages of either format.
func TestTraversal(t *testing.T) {
	dir := condatest.Corpus(t, "conda/packages/tar_traversal")
	for name, want := range map[string]string{
		"absolute1.tar":    "is an absolute path",
		"absolute2.tar":    "is an absolute path",
		"dirsymlink.tar":   "is a symbolic link to the absolute path",
		"dirsymlink2a.tar": `is below "par", which is a symlink`,
		"dirsymlink2b.tar": `is below "cur", which is a symlink`,
		"relative0.tar":    "leads out of the prefix",
		"relative2.tar":    "leads out of the prefix",
		"symlink.tar":      "is a symbolic link to the absolute path",
	} {
		evil, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		for file, b := range map[string][]byte{
			"evil-1-0.conda":   zipped(t, zipMember{"info-evil.tar.zst", compressZstd(t, tarball(t, index()))}, zipMember{"pkg-evil.tar.zst", compressZstd(t, evil)}),
			"evil-1-0.tar.bz2": compressBz2(t, evil),
		} {
			_, _, err = read(t.Context(), b, archive.Options{Name: file})
			require.ErrorContains(t, err, want, name)
			require.ErrorContains(t, err, file)
		}
	}
	all, err := filepath.Glob(filepath.Join(dir, "*.tar"))
	require.NoError(t, err)
	require.Len(t, all, 8)
}
