package container

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/require"
)

// TestUnpackStaysBelowTheRoot holds that an image cannot write elsewhere when it is unpacked for its check.
func TestUnpackStaysBelowTheRoot(t *testing.T) {
	var image bytes.Buffer
	tw := tar.NewWriter(&image)
	require.NoError(t, tw.WriteHeader(&tar.Header{Name: "../../outside", Typeflag: tar.TypeReg, Mode: 0o640, Uid: os.Getuid(), Gid: os.Getgid()}))
	require.NoError(t, tw.Close())
	root := filepath.Join(t.TempDir(), "a", "b")
	require.NoError(t, os.MkdirAll(root, 0o755))
	require.NoError(t, unpack(tar.NewReader(&image), root))
	info, err := os.Stat(filepath.Join(root, "outside"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o640), info.Mode().Perm())
}

func TestUsersAreNumbers(t *testing.T) {
	for _, user := range []string{"", "somebody", "1000:users"} {
		_, err := Command(t.Context(), t.TempDir(), v1.Config{User: user}, Options{Name: "c"})
		require.ErrorContains(t, err, "is no number", user)
	}
}
