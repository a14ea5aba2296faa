package layer

import (
	"context"
	"io"
	"os"
	"runtime"
	"runtime/pprof"
	"testing"

	"github.com/datalayer/conda2docker/conda/link"
	"github.com/stretchr/testify/require"
)

func TestZZ(t *testing.T) {
	in := bigPackage(t, bigFiles(16<<20, 50_000))
	dump := func(name string) {
		runtime.GC()
		f, _ := os.Create("/tmp/heap-" + name)
		pprof.Lookup("heap").WriteTo(f, 0)
		f.Close()
	}
	n := 0
	l := link.Linker{Directories: func([]string) error { dump("dirs"); return nil }}
	pkg, err := l.Files(context.Background(), in.ArchivePath, in.Record, in.Target, func(f link.File, r io.Reader) error {
		n++
		if n == 50005 {
			dump("late")
		}
		return nil
	})
	require.NoError(t, err)
	runtime.KeepAlive(pkg)
	pkg = link.Package{}
	c := openCache(t, Options{})
	s, err := c.Segment(context.Background(), in)
	require.NoError(t, err)
	dump("end")
	runtime.KeepAlive(s)
}
