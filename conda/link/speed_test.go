package link_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda/condatest"
	"github.com/datalayer/conda2docker/conda/link"
)

// TestMemory links files that are larger than the memory that it takes, whatever is done to them.
func TestMemory(t *testing.T) {
	const bound = 12 << 20
	body := strings.Repeat(condatest.Placeholder+"/lib\x00 and much that follows\x00", 225_000)
	require.Greater(t, len(body), bound)
	for _, format := range []condatest.Format{condatest.Conda, condatest.TarBz2} {
		p := condatest.Package{Name: "demo", Format: format, Files: []condatest.File{
			{Path: "lib/plain", Body: body}, {Path: "lib/binary", Body: body, Prefix: condatest.Binary},
		}}
		a := p.Archive(t)
		path := filepath.Join(t.TempDir(), a.FileName)
		require.NoError(t, os.WriteFile(path, a.Bytes, 0o600))
		before := live()
		var most uint64
		_, err := link.Linker{}.Files(t.Context(), path, a.Record, target(), func(_ link.File, r io.Reader) error {
			buf := make([]byte, 1<<20)
			for n := 0; ; n++ {
				_, err := io.ReadFull(r, buf)
				if n%8 == 0 {
					most = max(most, live())
				}
				if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
					return nil
				}
				if err != nil {
					return err
				}
			}
		})
		require.NoError(t, err)
		require.Less(t, most-min(before, most), uint64(bound))
		t.Logf("%s: %d KiB", format, (most-min(before, most))>>10)
	}
}

// live is the memory in use when nothing is left to collect.
func live() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkSmallText is many small text files with a prefix, as python packages of conda-build have them.
func BenchmarkSmallText(b *testing.B) {
	var files []condatest.File
	for i := range 1000 {
		body := "#!" + condatest.Placeholder + "/bin/python\n" + strings.Repeat("some text\n", 50)
		files = append(files, condatest.File{Path: fmt.Sprintf("bin/%d", i), Body: body, Prefix: condatest.Text})
	}
	p := condatest.Package{Name: "demo", Files: files}
	path, rec := p.File(b, b.TempDir()), p.Archive(b).Record
	b.ReportAllocs()
	for b.Loop() {
		_, err := link.Linker{}.Files(b.Context(), path, rec, target(), func(link.File, io.Reader) error { return nil })
		require.NoError(b, err)
	}
}

// BenchmarkFiles tells MB of unpacked files per second, of one core, without compressing them again.
func BenchmarkFiles(b *testing.B) {
	body := make([]byte, 1<<20)
	for i := range body {
		body[i] = byte(i*i>>7) ^ byte(i)
	}
	var files []condatest.File
	for i := range 32 {
		files = append(files, condatest.File{Path: fmt.Sprintf("lib/%d.so", i), Body: string(body) + condatest.Placeholder + "\x00", Prefix: condatest.Binary})
		files = append(files, condatest.File{Path: fmt.Sprintf("share/%d", i), Body: string(body)})
	}
	for _, format := range []condatest.Format{condatest.Conda, condatest.TarBz2} {
		p := condatest.Package{Name: "demo", Files: files, Format: format}
		a := p.Archive(b)
		path := filepath.Join(b.TempDir(), a.FileName)
		require.NoError(b, os.WriteFile(path, a.Bytes, 0o600))
		b.Run(string(format), func(b *testing.B) {
			b.SetBytes(int64(len(files)) << 20)
			b.ReportAllocs()
			for b.Loop() {
				_, err := link.Linker{}.Files(b.Context(), path, a.Record, target(), func(link.File, io.Reader) error { return nil })
				require.NoError(b, err)
			}
		})
	}
}
