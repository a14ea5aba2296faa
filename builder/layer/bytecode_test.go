package layer

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/archive"
	"github.com/datalayer/conda2docker/conda/version"
)

// source is what a .pyc records of the file that it was compiled from (PEP 552).
type source struct{ time, size uint32 }

// shippedBytecode collects python files and what was compiled from them.
type shippedBytecode struct {
	sources  map[string]source
	compiled map[string]source // by the source's path
}

func (b *shippedBytecode) add(name string, mtime time.Time, size int64, body io.Reader) error {
	switch path.Ext(name) {
	case ".py":
		b.sources[name] = source{uint32(mtime.Unix()), uint32(size)}
	case ".pyc":
		head := make([]byte, 16)
		if _, err := io.ReadFull(body, head); err != nil || binary.LittleEndian.Uint32(head[4:]) != 0 { // of python 2, or by hash
			return nil
		}
		dir, file := path.Split(name)
		if path.Base(dir) == "__pycache__" {
			py := path.Join(path.Dir(path.Clean(dir)), strings.SplitN(file, ".", 2)[0]+".py")
			b.compiled[py] = source{binary.LittleEndian.Uint32(head[8:]), binary.LittleEndian.Uint32(head[12:])}
		}
	}
	return nil
}

// stale are the files that python would compile again, as it compares them: to the second, and modulo 2³².
func (b *shippedBytecode) stale() map[string]bool {
	out := map[string]bool{}
	for name, c := range b.compiled {
		if s, ok := b.sources[name]; ok && s != c {
			out[name] = true
		}
	}
	return out
}

func bytecodeOf(t *testing.T, l Layer) *shippedBytecode {
	t.Helper()
	b := &shippedBytecode{map[string]source{}, map[string]source{}}
	require.NoError(t, l.Walk(func(h *tar.Header, r io.Reader) error { return b.add(h.Name, h.ModTime, h.Size, r) }))
	return b
}

// Python must not find what a package ships compiled to be older than its source: with a root that cannot be written it would
// compile it at each start.
func TestShippedBytecodeIsFresh(t *testing.T) {
	var members []tar.Header
	var bodies [][]byte
	list := ""
	put := func(name string, mtime time.Time, body []byte) {
		members = append(members, tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(body)), ModTime: mtime, Format: tar.FormatPAX})
		bodies = append(bodies, body)
		list += fmt.Sprintf(`, {"_path": %q, "path_type": "hardlink"}`, name)
	}
	for i, mtime := range []time.Time{
		time.Unix(1700000000, 0), time.Unix(1700000000, 999_999_999), time.Unix(315532800, 0), time.Unix(0, 0), time.Unix(1<<32+5, 1),
	} {
		body := bytes.Repeat([]byte("x = 1\n"), i+1)
		head := binary.LittleEndian.AppendUint32([]byte{0xa7, 0x0d, 0x0d, 0x0a, 0, 0, 0, 0}, uint32(mtime.Unix()))
		dir := "lib/python3.11/site-packages/"
		put(fmt.Sprintf("%sm%d.py", dir, i), mtime, body)
		put(fmt.Sprintf("%s__pycache__/m%d.cpython-311.pyc", dir, i), mtime.Add(time.Hour), append(binary.LittleEndian.AppendUint32(head, uint32(len(body))), "code"...))
	}
	info := infoTar(t, []byte(`{"name": "fresh", "version": "1", "build": "0"}`), []byte(`{"paths_version": 1, "paths": [`+list[1:]+`]}`))
	payload := tarWith(t, members, bodies)
	for name, b := range map[string][]byte{
		"fresh-1-0.conda": dotConda(t, info, payload), "fresh-1-0.tar.bz2": dotBz2(t, append(info[:len(info)-1024:len(info)-1024], payload...)),
	} {
		at := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(at, b, 0o600))
		rec := &conda.Record{Name: "fresh", Version: version.MustParse("1"), Build: "0", Subdir: conda.Linux64, FileName: name}
		c := openCache(t, Options{})
		s, err := c.Segment(context.Background(), Input{Record: rec, ArchivePath: at, ArchiveSHA256: strings.Repeat("0", 64), Target: target()})
		require.NoError(t, err)
		l, err := c.Layer(context.Background(), newGroup([]Segment{s}))
		require.NoError(t, err)
		got := bytecodeOf(t, l)
		require.Len(t, got.compiled, 5)
		require.Len(t, got.sources, 5)
		require.Empty(t, got.stale(), name)
	}
}

func tarWith(t *testing.T, members []tar.Header, bodies [][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := range members {
		require.NoError(t, w.WriteHeader(&members[i]))
		_, err := w.Write(bodies[i])
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

// What real packages ship compiled is as fresh in their layers as in their archives.
func TestCorpusBytecodeIsFresh(t *testing.T) {
	ctx := context.Background()
	c := openCache(t, Options{Level: 1})
	found := 0
	for _, in := range corpusInputs(t) {
		s, err := c.Segment(ctx, in)
		if err != nil || len(s.Entries) == 0 {
			continue // TestCorpusPackages in conda/link knows why
		}
		l, err := c.Layer(ctx, newGroup([]Segment{s}))
		require.NoError(t, err)
		shipped := &shippedBytecode{map[string]source{}, map[string]source{}}
		r, err := archive.Open(in.ArchivePath, archive.Options{})
		require.NoError(t, err)
		require.NoError(t, r.Payload(ctx, func(e archive.Entry, body io.Reader) error {
			return shipped.add(s.imagePath(e.Path), e.ModTime, e.Size, body)
		}))
		require.NoError(t, r.Close())
		got := bytecodeOf(t, l)
		require.Equal(t, shipped.stale(), got.stale(), s.Dist)
		found += len(got.compiled)
		if len(got.compiled) > 0 {
			t.Logf("%s: %d compiled, %d of them stale, as in its archive", s.Dist, len(got.compiled), len(got.stale()))
		}
	}
	require.Greater(t, found, 30)
}
