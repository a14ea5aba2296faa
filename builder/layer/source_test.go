package layer

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// A file that is given by its place on this disk makes the layer that one given by its bytes makes, and must be what it was said to be.
func TestFilesOfThisDisk(t *testing.T) {
	body := []byte("what it was\n")
	source := filepath.Join(t.TempDir(), "source")
	require.NoError(t, os.WriteFile(source, body, 0o600))
	given := File{Path: "/srv/file", Mode: 0o755, Source: source, Size: int64(len(body)), SHA256: fmt.Sprintf("%x", sha256.Sum256(body))}
	want, err := openCache(t, Options{}).Environment(t.Context(), Environment{Prefix: "/opt/conda", Files: []File{{Path: "/srv/file", Mode: 0o755, Body: body}}})
	require.NoError(t, err)
	got, err := openCache(t, Options{}).Environment(t.Context(), Environment{Prefix: "/opt/conda", Files: []File{given}})
	require.NoError(t, err)
	require.Equal(t, want.Digest, got.Digest)
	require.Equal(t, []string{"0 755 0:0 1970-01-01T00:00:00 srv/file 12 bytes"}, listing(t, got))

	for _, changed := range []string{"what it has\n", "short", "what it was\nand more"} {
		require.NoError(t, os.WriteFile(source, []byte(changed), 0o600))
		_, err = openCache(t, Options{}).Environment(t.Context(), Environment{Prefix: "/opt/conda", Files: []File{given}})
		require.ErrorContains(t, err, "changed while it was copied", changed)
	}
	given.Body = body
	_, err = openCache(t, Options{}).Environment(t.Context(), Environment{Prefix: "/opt/conda", Files: []File{given}})
	require.ErrorContains(t, err, "more than one of directory, symlink and regular file")
}
