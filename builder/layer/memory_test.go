package layer

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/condatest"
	"github.com/datalayer/conda2docker/conda/version"
)

// memoryBound is how much a package may take while its segment is made, whatever its size.
const memoryBound = 64 << 20

// bigFile is a file of a bigPackage.
type bigFile struct {
	name, mode string // mode is info/paths.json's file_mode
	size       int64
	body       io.Reader // of at least size bytes
}

// bigFiles are total bytes in files of all kinds: noise, zeros, a binary with many prefixes, a text with some, and small ones.
func bigFiles(total int64, small int) []bigFile {
	noise := rand.NewChaCha8([32]byte{1})
	line := condatest.Placeholder + "/lib/a.so and what follows\n"
	files := []bigFile{
		{"lib/noise.so", "", total / 16, noise},
		{"lib/zeros", "", total / 2, zeros{}},
		{"lib/prefix.so", "binary", total / 4, &repeated{what: []byte(condatest.Placeholder + "/lib\x00" + strings.Repeat("code", 500) + "\x00")}},
		{"share/text", "text", total/16/int64(len(line))*int64(len(line)) + 1, &repeated{what: []byte(line)}},
		{"lib/noise2.so", "", total / 16, noise},
		{"lib/string.so", "binary", total / 16, &repeated{what: []byte(condatest.Placeholder + ":/usr")}}, // no NUL at all
	}
	for i := range small {
		files = append(files, bigFile{fmt.Sprintf("lib/python3.11/site-packages/package/module%d/file_%d.py", i/100, i), "", 10, zeros{}})
	}
	return files
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// repeated is the same bytes over and over.
type repeated struct {
	what []byte
	at   int
}

func (r *repeated) Read(p []byte) (n int, _ error) {
	for n < len(p) {
		k := copy(p[n:], r.what[r.at:])
		n += k
		r.at = (r.at + k) % len(r.what)
	}
	return n, nil
}

// bigPackage writes a package without having it in memory, packed with a window of so many bytes.
func bigPackage(t testing.TB, files []bigFile, window int) Input {
	t.Helper()
	name := filepath.Join(t.TempDir(), "big-1.0-0.conda")
	f, err := os.Create(name)
	require.NoError(t, err)
	out := bufio.NewWriterSize(f, 1<<20)
	z := zip.NewWriter(out)
	member := func(name string, write func(*tar.Writer)) {
		m, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		require.NoError(t, err)
		c, err := zstd.NewWriter(m, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(window))
		require.NoError(t, err)
		tw := tar.NewWriter(c)
		write(tw)
		require.NoError(t, tw.Close())
		require.NoError(t, c.Close())
	}
	put := func(tw *tar.Writer, name string, size int64, body io.Reader) {
		require.NoError(t, tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: size}))
		_, err := io.CopyN(tw, body, size)
		require.NoError(t, err)
	}
	member("pkg-big-1.0-0.tar.zst", func(tw *tar.Writer) {
		for _, f := range files {
			put(tw, f.name, f.size, f.body)
		}
	})
	member("info-big-1.0-0.tar.zst", func(tw *tar.Writer) {
		index := `{"name": "big", "version": "1.0", "build": "0", "build_number": 0, "subdir": "linux-64"}`
		put(tw, "info/index.json", int64(len(index)), strings.NewReader(index))
		var b bytes.Buffer
		b.WriteString(`{"paths_version": 1, "paths": [`)
		for i, f := range files {
			if i > 0 {
				b.WriteString(",\n")
			}
			fmt.Fprintf(&b, `{"_path": %q, "path_type": "hardlink", "size_in_bytes": %d`, f.name, f.size)
			if f.size == 10 {
				fmt.Fprintf(&b, `, "sha256": %q`, hexSum(make([]byte, 10)))
			}
			if f.mode != "" {
				fmt.Fprintf(&b, `, "prefix_placeholder": %q, "file_mode": %q`, condatest.Placeholder, f.mode)
			}
			b.WriteString("}")
		}
		b.WriteString("]}")
		put(tw, "info/paths.json", int64(b.Len()), &b)
	})
	require.NoError(t, z.Close())
	require.NoError(t, out.Flush())
	require.NoError(t, f.Close())
	rec := &conda.Record{Name: "big", Version: version.MustParse("1.0"), Build: "0", Subdir: conda.Linux64, FileName: "big-1.0-0.conda"}
	return Input{Record: rec, ArchivePath: name, ArchiveSHA256: strings.Repeat("0", 64), Target: target()}
}

// peak is how much more memory the process had while do ran than before: all that Go took from the system and did not give
// back, looked at every two milliseconds.
func peak(do func()) int64 {
	used := func() int64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.Sys - m.HeapReleased)
	}
	debug.FreeOSMemory()
	before := used()
	var most atomic.Int64
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			most.Store(max(most.Load(), used()))
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
	do()
	close(stop)
	<-done
	return most.Load() - before
}

// usualWindow is that of zstd's levels up to 19, largestWindow that of its level 22.
const (
	usualWindow   = 8 << 20
	largestWindow = 128 << 20
)

// memoryCase is a package that takes memory.
type memoryCase struct {
	name   string
	total  int64 // bytes
	small  int   // files on top of the large ones
	window int
	bound  int64
}

func (m memoryCase) input(t testing.TB) Input {
	return bigPackage(t, bigFiles(m.total, m.small), m.window)
}

// The memory that a package takes does not depend on its size, and little on the number of its files; the window of its
// compression comes on top where it is not the usual one. BenchmarkMemory shows the same with 2 GiB.
func TestMemoryIsBounded(t *testing.T) {
	for _, m := range []memoryCase{
		{"large", 272 << 20, 2000, usualWindow, memoryBound},
		{"many files", 16 << 20, 50_000, usualWindow, memoryBound},
		{"large window", 272 << 20, 100, largestWindow, memoryBound + largestWindow},
	} {
		t.Run(m.name, func(t *testing.T) {
			in := m.input(t)
			c := openCache(t, Options{Level: 1})
			most := peak(func() {
				s, err := c.Segment(context.Background(), in)
				require.NoError(t, err)
				require.Greater(t, s.TarSize, m.total-m.total/10)
			})
			t.Logf("%d KiB", most>>10)
			require.Less(t, most, m.bound)
		})
	}
}

// BenchmarkMemory makes the segments of a package of 2 GiB, of which one file with a binary prefix has 512 MiB, of one of
// 50,000 files, and of one that is packed with the largest window; it tells the most memory that each takes.
func BenchmarkMemory(b *testing.B) {
	for _, m := range []memoryCase{
		{name: "2GiB", total: 2 << 30, small: 100, window: usualWindow},
		{name: "50000 files", total: 16 << 20, small: 50_000, window: usualWindow},
		{name: "100000 files", total: 16 << 20, small: 100_000, window: usualWindow},
		{name: "window of 128MiB", total: 512 << 20, small: 100, window: largestWindow},
	} {
		in := m.input(b)
		b.Run(m.name, func(b *testing.B) {
			var most int64
			for b.Loop() {
				c := openCache(b, Options{})
				most = max(most, peak(func() {
					_, err := c.Segment(context.Background(), in)
					require.NoError(b, err)
				}))
			}
			b.ReportMetric(float64(most)/(1<<20), "MiB-peak")
		})
	}
}
