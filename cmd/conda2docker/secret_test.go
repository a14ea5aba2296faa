package main

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
)

// TestSecretsAreFound holds that the search for secrets finds them, wherever they are in a file and however it is compressed.
func TestSecretsAreFound(t *testing.T) {
	t.Parallel()
	const secret = "open-sesame"
	for _, at := range []int{0, 1, 1<<20 - 5, 1 << 20, 3<<20 - 1} {
		plain := []byte(strings.Repeat("x", at) + secret + strings.Repeat("y", 5000))
		var zipped bytes.Buffer
		z := gzip.NewWriter(&zipped)
		_, err := z.Write(plain)
		require.NoError(t, err)
		require.NoError(t, z.Close())
		enc, err := zstd.NewWriter(nil)
		require.NoError(t, err)
		for name, body := range map[string][]byte{"plain": plain, "gzip": zipped.Bytes(), "zstd": enc.EncodeAll(plain, nil)} {
			dir := t.TempDir()
			file := filepath.Join(dir, name)
			require.NoError(t, os.WriteFile(file, body, 0o600))
			require.ErrorContains(t, lookBelow(dir, nil, []string{"another", secret}), secret, "%s at %d", name, at)
			require.NoError(t, lookBelow(dir, nil, []string{"another", secret + "z"}))
			require.NoError(t, lookBelow(dir, map[string]string{file: ""}, []string{secret}))
		}
	}
}
