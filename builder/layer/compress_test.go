package layer

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/pkg/archive/compression"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda/link"
)

// text is n bytes that compress about as code does, the same for a seed each time.
func text(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	words := make([]byte, 16<<10)
	for i := range words {
		words[i] = "abcdefghij klmnopqrstuv(=).,\n0123456789"[r.IntN(39)>>r.IntN(3)]
	}
	b := make([]byte, 0, n+64)
	for len(b) < n {
		at := r.IntN(len(words) - 64)
		b = append(b, words[at:at+4+r.IntN(60)]...)
	}
	return b[:n]
}

// packTar writes files into one compressed tar.
func packTar(t testing.TB, c codec, tokens int, files map[string][]byte, order ...string) ([]byte, finished) {
	t.Helper()
	var out bytes.Buffer
	ch := newChunker(newPress(c, tokens), &out)
	defer ch.abort()
	tw := newTarWriter(ch)
	for _, name := range order {
		f := link.File{Type: link.Regular, Mode: 0o644, ModTime: time.Unix(1700000000, 999), Size: int64(len(files[name]))}
		_, err := tw.linked(name, f, bytes.NewReader(files[name]), "")
		require.NoError(t, err)
	}
	require.NoError(t, tw.flush())
	done, err := ch.close()
	require.NoError(t, err)
	return out.Bytes(), done
}

func codecs(t testing.TB) []codec {
	t.Helper()
	var all []codec
	for kind, levels := range map[Compression][]int{Gzip: {0, 6}, Zstd: {0, 1}} {
		for _, level := range levels {
			c, err := newCodec(kind, level)
			require.NoError(t, err)
			all = append(all, c)
		}
	}
	return all
}

func TestChunksAreTheSameHoweverManyAtOnce(t *testing.T) {
	files := map[string][]byte{"opt/conda/big": text(1, 3*chunkSize+77), "opt/conda/a/small": text(2, 100)}
	for _, c := range codecs(t) {
		t.Run(c.String(), func(t *testing.T) {
			one, done := packTar(t, c, 1, files, "opt/conda/big", "opt/conda/a/small")
			for range 3 {
				again, _ := packTar(t, c, 8, files, "opt/conda/big", "opt/conda/a/small")
				require.Equal(t, sha256.Sum256(one), sha256.Sum256(again))
			}
			require.Len(t, done.chunks, 4)
			require.Equal(t, int64(len(one)), done.size)
			require.Equal(t, digest.FromBytes(one), done.digest)
		})
	}
}

// A compressor that has seen much writes what a new one does.
func TestUsedCompressorsWriteTheSame(t *testing.T) {
	for _, kind := range []Compression{Gzip, Zstd} {
		for level := 1; level <= 9; level++ {
			used, err := newCodec(kind, level)
			require.NoError(t, err)
			for i := range uint64(40) {
				raw := bytes.Repeat(text(i%5, 1000+int(i)*7919), 1+int(i%4))
				fresh, err := newCodec(kind, level)
				require.NoError(t, err)
				var want, got bytes.Buffer
				require.NoError(t, fresh.compress(&want, raw))
				require.NoError(t, used.compress(&got, raw))
				same := bytes.Equal(want.Bytes(), got.Bytes())
				require.True(t, same, "%s %d, %d", kind, level, i)
			}
		}
	}
}

func TestSegmentsConcatenate(t *testing.T) {
	a := map[string][]byte{"opt/conda/a1": text(1, chunkSize+5), "opt/conda/a2": text(2, 10)}
	b := map[string][]byte{"opt/conda/b/" + strings.Repeat("long/", 60) + "é": text(3, 1000)}
	for _, c := range codecs(t) {
		t.Run(c.String(), func(t *testing.T) {
			segA, doneA := packTar(t, c, 2, a, "opt/conda/a1", "opt/conda/a2")
			segB, doneB := packTar(t, c, 2, b, "opt/conda/b/"+strings.Repeat("long/", 60)+"é")
			all := append(append(bytes.Clone(segA[:doneA.packedSize]), segB[:doneB.packedSize]...), segB[doneB.packedSize:]...)

			for reader, open := range map[string]func() (io.ReadCloser, error){
				"containerd": func() (io.ReadCloser, error) { return compression.DecompressStream(bytes.NewReader(all)) },
				"own":        func() (io.ReadCloser, error) { return c.reader(bytes.NewReader(all)) },
				"independent": func() (io.ReadCloser, error) {
					if c.kind == Gzip {
						return gzip.NewReader(bytes.NewReader(all))
					}
					z, err := zstd.NewReader(bytes.NewReader(all))
					return z.IOReadCloser(), err
				},
			} {
				r, err := open()
				require.NoError(t, err, reader)
				got := readTar(t, r)
				require.NoError(t, r.Close())
				require.Equal(t, a["opt/conda/a1"], got["opt/conda/a1"], reader)
				require.Equal(t, a["opt/conda/a2"], got["opt/conda/a2"], reader)
				for name, body := range b {
					require.Equal(t, body, got[name], reader)
				}
			}
		})
	}
}

// readTar reads a tar to its end, which must be there, and to the end of the stream.
func readTar(t testing.TB, r io.Reader) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		files[h.Name], err = io.ReadAll(tr)
		require.NoError(t, err)
	}
	rest, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Empty(t, rest)
	return files
}

// A failing disk ends the work with its error, whatever is still in the queue.
func TestChunkerReportsAFullDisk(t *testing.T) {
	full := errors.New("no space left on device")
	c, err := newCodec(Gzip, 1)
	require.NoError(t, err)
	ch := newChunker(newPress(c, 2), failingWriter{full})
	defer ch.abort()
	for range 10 {
		if _, err = ch.Write(text(1, chunkSize)); err != nil {
			break
		}
	}
	require.ErrorIs(t, err, full)
	_, err = ch.close()
	require.ErrorIs(t, err, full)
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestCodecRefusesWhatItCannotDo(t *testing.T) {
	for _, tt := range []struct {
		kind  Compression
		level int
		want  string
	}{
		{"xz", 0, `layer compression "xz": want gzip or zstd`},
		{Gzip, 10, "layer compression level 10: want 1 to 9 for gzip"},
		{Zstd, 23, "layer compression level 23: want 1 to 22 for zstd"},
		{Zstd, -1, "layer compression level -1: want 1 to 22 for zstd"},
	} {
		_, err := newCodec(tt.kind, tt.level)
		require.EqualError(t, err, tt.want)
	}
}

func TestNamesThatALayerCannotHold(t *testing.T) {
	for name, ok := range map[string]bool{
		"opt/conda/x": true, "opt/.whatever": true, "opt/x.wh.y": true,
		"": false, ".": false, "..": false, "a/../../b": false, "/a": false, "a//b": false, "a/": false,
		"a\x00b": false, "opt/.wh.victim": false, ".wh..wh..opq": false, "opt/.wh.dir/x": false,
	} {
		require.Equal(t, ok, checkName(name) == nil, "%q", name)
	}
}

func TestTarTimeRoundsDown(t *testing.T) {
	require.Equal(t, int64(1700000000), tarTime(time.Unix(1700000000, 999_999_999)).Unix())
	require.Equal(t, int64(0), tarTime(time.Unix(-5, 0)).Unix())
	require.Equal(t, int64(0), tarTime(time.Time{}).Unix())
}
