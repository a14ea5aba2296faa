package bunzip2_test

import (
	"bytes"
	stdbzip2 "compress/bzip2"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/dsnet/compress/bzip2"
	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda/archive/bunzip2"
	"github.com/datalayer/conda2docker/conda/condatest"
)

func corpusPackages(t testing.TB) []string {
	all, err := filepath.Glob(filepath.Join(condatest.Corpus(t, "packages"), "*", "*.tar.bz2"))
	require.NoError(t, err)
	require.NotEmpty(t, all)
	return all
}

// BenchmarkCorpus decompresses real packages: with this package, with dsnet's, and with the standard library's.
func BenchmarkCorpus(b *testing.B) {
	var packages [][]byte
	for _, path := range corpusPackages(b) {
		p, err := os.ReadFile(path)
		require.NoError(b, err)
		if bytes.HasPrefix(p, []byte("BZh")) { // one is something else
			packages = append(packages, p)
		}
	}
	var pool bunzip2.Pool
	for name, open := range map[string]func(p []byte) io.Reader{
		"it":       func(p []byte) io.Reader { return pool.NewReader(bytes.NewReader(p), int64(len(p))) },
		"dsnet":    func(p []byte) io.Reader { r, _ := bzip2.NewReader(bytes.NewReader(p), nil); return r },
		"standard": func(p []byte) io.Reader { return stdbzip2.NewReader(bytes.NewReader(p)) },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				total := int64(0)
				for _, p := range packages {
					n, err := io.Copy(io.Discard, open(p))
					require.NoError(b, err)
					total += n
				}
				b.SetBytes(total)
			}
		})
	}
}
