package bunzip2_test

import (
	"bytes"
	stdbzip2 "compress/bzip2"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/dsnet/compress/bzip2"
	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda/archive/bunzip2"
	"github.com/datalayer/conda2docker/conda/condatest"
)

// onCores runs a test with one core and with several.
func onCores(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	for _, cores := range []int{1, 4} {
		t.Run(fmt.Sprint(cores), func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
			test(t)
		})
	}
}

func TestBlocks(t *testing.T) {
	onCores(t, func(t *testing.T) {
		var pool bunzip2.Pool
		for name, plain := range map[string][]byte{
			"nothing": {}, "one byte": {1}, "text": text(1_000_000), "zeros": make([]byte, 30_000_000),
			"a circle":           bytes.Repeat([]byte("ab"), 400_000),
			"a run at the end":   append(text(99_000), "aaaa"...),
			"runs of 255":        bytes.Repeat(append(make([]byte, 255), 1), 3000),
			"just a block":       text(100_000),
			"as many as a piece": text(1024),
		} {
			for _, level := range []int{1, 9} {
				got, err := decompress(&pool, compress(t, level, plain), 1<<30)
				require.NoError(t, err, name)
				same := bytes.Equal(plain, got)
				require.True(t, same, name)
			}
		}
	})
}

func TestBroken(t *testing.T) {
	plain := text(300_000)
	sound := compress(t, 1, plain)
	with := func(at int, b byte) []byte {
		out := bytes.Clone(sound)
		out[at] = b
		return out
	}
	onCores(t, func(t *testing.T) {
		for want, b := range map[string][]byte{
			"at byte 0: there is no bzip2 stream":                           with(3, '0'),
			"at byte 4: there is neither a block nor the stream's end":      with(5, 0),
			"at byte 4: the block has":                                      with(3, '1'), // of a stream whose blocks are larger, below
			"the block's checksum differs":                                  with(10, sound[10]+1),
			"at byte 4: it is randomized, which bzip2 has not done since":   with(14, sound[14]|0x80),
			"the stream's checksum differs":                                 with(len(sound)-3, sound[len(sound)-3]+1),
			"unexpected EOF":                                                sound[:len(sound)-1],
			fmt.Sprintf("at byte %d: there is no bzip2 stream", len(sound)): append(bytes.Clone(sound), "behind"...),
		} {
			if strings.Contains(want, "the block has") {
				b = compress(t, 9, plain)
				b[3] = '1'
			}
			_, err := decompress(nil, b, 1<<30)
			require.ErrorContains(t, err, want)
		}
	})
}

// TestFalseBlocks reads a stream in which the number that blocks begin with is often, where it means nothing: in the list of prefix codes,
// behind what is used of it.
func TestFalseBlocks(t *testing.T) {
	plain := text(500_000)
	sound := compress(t, 1, plain)
	var b strings.Builder
	for _, c := range sound {
		fmt.Fprintf(&b, "%08b", c)
	}
	bits := b.String()
	number := func(from, n int) int {
		v, err := strconv.ParseUint(bits[from:from+n], 2, 64)
		require.NoError(t, err)
		return int(v)
	}
	at := 32 + 48 + 32 + 1 + 24
	at += 16 * (1 + strings.Count(bits[at:at+16], "1"))
	require.Greater(t, number(at, 3), 2, "prefix codes")
	count, end := at+3, at+3+15
	selectors := number(count, 15)
	for range selectors {
		end += strings.IndexByte(bits[end:], '0') + 1
	}
	unused := strings.Repeat(fmt.Sprintf("%048b", 0x314159265359), 500) + "0"
	selectors += strings.Count(unused, "0")
	bits = bits[:count] + fmt.Sprintf("%015b", selectors) + bits[count+15:end] + unused + bits[end:]
	var made []byte
	bits = bits[:strings.LastIndex(bits, fmt.Sprintf("%048b", 0x177245385090))+48+32] + strings.Repeat("0", 7)
	for ; len(bits) >= 8; bits = bits[8:] {
		v, err := strconv.ParseUint(bits[:8], 2, 8)
		require.NoError(t, err)
		made = append(made, byte(v))
	}
	want, err := io.ReadAll(stdbzip2.NewReader(bytes.NewReader(made)))
	require.NoError(t, err)
	require.True(t, bytes.Equal(plain, want))
	onCores(t, func(t *testing.T) {
		got, err := decompress(nil, made, 1<<30)
		require.NoError(t, err)
		same := bytes.Equal(plain, got)
		require.True(t, same)
	})
}

// source notices who reads it after it was closed.
type source struct {
	*bytes.Reader

	closed, late atomic.Bool
	broken       int64 // reading behind it is an error, unless it is 0
}

var errDisk = errors.New("the disk is broken")

func (s *source) ReadAt(p []byte, off int64) (int, error) {
	if s.closed.Load() {
		s.late.Store(true)
	}
	if s.broken > 0 && off+int64(len(p)) > s.broken {
		return 0, errDisk
	}
	return s.Reader.ReadAt(p, off)
}

func TestCloseEarly(t *testing.T) {
	b := compress(t, 1, text(2_000_000))
	onCores(t, func(t *testing.T) {
		var pool bunzip2.Pool
		for range 20 {
			src := &source{Reader: bytes.NewReader(b)}
			r := pool.NewReader(src, int64(len(b)))
			_, err := io.ReadFull(r, make([]byte, 150_000))
			require.NoError(t, err)
			require.NoError(t, r.Close())
			src.closed.Store(true)
			_, err = r.Read(make([]byte, 1))
			require.ErrorContains(t, err, "closed")
			runtime.Gosched()
			require.False(t, src.late.Load())
		}
	})
}

func TestSourceFails(t *testing.T) {
	b := compress(t, 1, text(2_000_000))
	onCores(t, func(t *testing.T) {
		src := &source{Reader: bytes.NewReader(b), broken: 100_000}
		r := (*bunzip2.Pool)(nil).NewReader(src, int64(len(b)))
		_, err := io.Copy(io.Discard, r)
		require.ErrorIs(t, err, errDisk)
		require.NoError(t, r.Close())
	})
}

// corpusPackages are real packages.
func corpusPackages(t testing.TB) (packages [][]byte) {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(condatest.Corpus(t, "packages"), "*", "*.tar.bz2"))
	require.NoError(t, err)
	for _, path := range all {
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		if bytes.HasPrefix(b, []byte("BZh")) { // one is something else
			packages = append(packages, b)
		}
	}
	require.NotEmpty(t, packages)
	return packages
}

func TestCorpus(t *testing.T) {
	onCores(t, func(t *testing.T) {
		var pool bunzip2.Pool
		for _, b := range corpusPackages(t) {
			want, err := io.ReadAll(stdbzip2.NewReader(bytes.NewReader(b)))
			require.NoError(t, err)
			got, err := decompress(&pool, b, 1<<30)
			require.NoError(t, err)
			same := bytes.Equal(want, got)
			require.True(t, same)
		}
	})
}

// BenchmarkCorpus decompresses real packages with this package, with dsnet's, and with the standard library's.
func BenchmarkCorpus(b *testing.B) {
	packages := corpusPackages(b)
	var pool bunzip2.Pool
	for _, bc := range []struct {
		name string
		open func(p []byte) (io.ReadCloser, error)
	}{
		{"it", func(p []byte) (io.ReadCloser, error) { return pool.NewReader(bytes.NewReader(p), int64(len(p))), nil }},
		{"dsnet", func(p []byte) (io.ReadCloser, error) { return bzip2.NewReader(bytes.NewReader(p), nil) }},
		{"standard", func(p []byte) (io.ReadCloser, error) {
			return io.NopCloser(stdbzip2.NewReader(bytes.NewReader(p))), nil
		}},
	} {
		b.Run(bc.name, func(b *testing.B) {
			for b.Loop() {
				total := int64(0)
				for _, p := range packages {
					r, err := bc.open(p)
					require.NoError(b, err)
					n, err := io.Copy(io.Discard, r)
					require.NoError(b, errors.Join(err, r.Close()))
					total += n
				}
				b.SetBytes(total)
			}
		})
	}
}
