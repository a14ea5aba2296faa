package bunzip2_test

import (
	"bytes"
	stdbzip2 "compress/bzip2"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/dsnet/compress/bzip2"
	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda/archive/bunzip2"
)

func compress(t testing.TB, level int, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := bzip2.NewWriter(&out, &bzip2.WriterConfig{Level: level})
	require.NoError(t, err)
	_, err = w.Write(b)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.Bytes()
}

// text is bytes that bzip2 makes something of, with runs of all lengths in them.
func text(n int) []byte {
	random := rand.New(rand.NewPCG(1, uint64(n)))
	var b []byte
	for len(b) < n {
		switch random.IntN(100) {
		case 0:
			b = append(b, bytes.Repeat([]byte{byte(random.IntN(256))}, random.IntN(600))...)
		case 1, 2, 3, 4, 5:
			for range random.IntN(20) {
				b = append(b, byte(random.IntN(256)))
			}
		default:
			b = append(b, strings.Fields("some words of a text that has few of them")[random.IntN(9)]...)
		}
	}
	return b[:n]
}

// decompress reads up to limit bytes.
func decompress(pool *bunzip2.Pool, b []byte, limit int64) ([]byte, error) {
	r := pool.NewReader(bytes.NewReader(b), int64(len(b)))
	got, err := io.ReadAll(io.LimitReader(r, limit))
	return got, errors.Join(err, r.Close())
}

// FuzzBzip2 holds it to what the standard library says: of a stream, of several, of their beginnings, and of what comes behind them.
// Blocks are decoded ahead on two cores at least.
func FuzzBzip2(f *testing.F) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(max(2, runtime.GOMAXPROCS(0))))
	small, blocks := compress(f, 1, []byte("some text")), compress(f, 1, text(120_000))
	none := compress(f, 9, nil)
	for _, b := range [][]byte{small, blocks, none, compress(f, 9, bytes.Repeat([]byte("abab"), 5000)), compress(f, 2, make([]byte, 30_000))} {
		f.Add(b, []byte{}, uint32(0))
		f.Add(b, small, uint32(0))
		f.Add(b, blocks, uint32(0))
		f.Add(b, []byte("what comes behind"), uint32(0))
		f.Add(b, blocks, uint32(len(blocks)/2))
	}
	var pool bunzip2.Pool
	f.Fuzz(func(t *testing.T, first, second []byte, short uint32) {
		const limit = 4 << 20
		b := bytes.Join([][]byte{first, second}, nil)
		b = b[:len(b)-int(min(short, uint32(len(b))))]
		want, wantErr := io.ReadAll(io.LimitReader(stdbzip2.NewReader(bytes.NewReader(b)), limit))
		got, err := decompress(&pool, b, limit)
		require.Equal(t, wantErr == nil, err == nil, "%v; %v", wantErr, err)
		if err == nil {
			same := bytes.Equal(want, got)
			require.True(t, same)
		}
	})
}
