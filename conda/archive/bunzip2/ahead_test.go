package bunzip2

import (
	"bytes"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/dsnet/compress/bzip2"
	"github.com/stretchr/testify/require"
)

// TestAhead looks at what is decoded before it is read: nothing on one core, and blocks, and nothing but blocks, on several.
func TestAhead(t *testing.T) {
	plain := make([]byte, 1_000_000)
	_, _ = rand.NewChaCha8([32]byte{}).Read(plain)
	var b bytes.Buffer
	w, err := bzip2.NewWriter(&b, &bzip2.WriterConfig{Level: 1})
	require.NoError(t, err)
	_, err = w.Write(plain)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	for cores, want := range map[int]int{1: 0, 2: 2, 3: 3, 8: mostAhead} {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
		pool := new(Pool)
		r := pool.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
		_, err = io.ReadFull(r, make([]byte, 1))
		require.NoError(t, err)
		require.Len(t, r.ahead.jobs, want)
		_, err = io.Copy(io.Discard, r)
		require.NoError(t, err)
		require.Zero(t, r.ahead.wrong)
		require.NoError(t, r.Close())
		require.Zero(t, pool.running.Load())
	}
}
