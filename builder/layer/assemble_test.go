package layer

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/pkg/archive/compression"
	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda/condatest"
)

// small are n packages of one file each.
func small(t testing.TB, n int) []Input {
	t.Helper()
	var inputs []Input
	for i := range n {
		inputs = append(inputs, input(t, condatest.Package{
			Name:  fmt.Sprintf("small-%d", i),
			Files: []condatest.File{{Path: fmt.Sprintf("share/s/%d", i), Body: fmt.Sprintf("I am %d", i)}},
		}))
	}
	return inputs
}

func TestLayerIsItsGroup(t *testing.T) {
	ctx := context.Background()
	for _, kind := range []Compression{Gzip, Zstd} {
		t.Run(string(kind), func(t *testing.T) {
			c := openCache(t, Options{Compression: kind})
			groups := Groups(segments(t, c, append(small(t, 3), sampleInputs(t)...), 2), 2)
			require.Len(t, groups, 1)
			layers, err := c.Layers(ctx, groups, 0)
			require.NoError(t, err)
			l := layers[0]

			raw, err := os.ReadFile(l.Path)
			require.NoError(t, err)
			require.Equal(t, digest.FromBytes(raw), l.Digest)
			require.Equal(t, int64(len(raw)), l.Size)
			require.Equal(t, filepath.Join(c.opts.Dir, layersDir, l.Digest.Encoded()), l.Path)
			require.Equal(t, digest.FromBytes(unpacked(t, l.Path)), l.DiffID)
			require.Equal(t, "application/vnd.oci.image.layer.v1.tar+"+string(kind), l.MediaType)

			f, err := os.Open(l.Path)
			require.NoError(t, err)
			defer f.Close()
			r, err := compression.DecompressStream(f)
			require.NoError(t, err)
			files := readTar(t, r)
			require.NoError(t, r.Close())
			require.Equal(t, "I am 2", string(files["opt/conda/share/s/2"]))
			require.Contains(t, files, "opt/conda/bin/pure")
			require.Contains(t, files, "opt/conda/bin/tool")

			again, err := openCache(t, Options{Compression: kind}).Layers(ctx, groups, 1)
			require.NoError(t, err)
			require.Equal(t, l.Digest, again[0].Digest, "another cache, with the segments of the first, makes the same layer")
			require.Equal(t, l.DiffID, again[0].DiffID)
		})
	}
}

// A layer has its directories first, each once, and every other path once, however many packages share them.
func TestLayerHasEachPathOnce(t *testing.T) {
	ctx := context.Background()
	in := append(small(t, 5), sampleInputs(t)...)
	in = append(in, input(t, condatest.Package{Name: "root", Files: []condatest.File{{Path: "LICENSE", Body: "free"}, {Path: "var/empty", Mode: fs.ModeDir}}}))
	for _, n := range []int{1, 5, len(in)} {
		c := openCache(t, Options{})
		groups := Groups(segments(t, c, in[len(in)-n:], 2), 1)
		require.Len(t, groups, 1)
		l, err := c.Layer(ctx, groups[0])
		require.NoError(t, err)
		seen, files := map[string]bool{".": true}, 0
		require.NoError(t, l.Walk(func(h *tar.Header, _ io.Reader) error {
			name := strings.TrimSuffix(h.Name, "/")
			require.False(t, seen[name], "%s is there twice", name)
			require.True(t, seen[path.Dir(name)], "%s comes before its directory", name)
			seen[name] = true
			if h.Typeflag != tar.TypeDir {
				files++
			}
			require.True(t, h.Typeflag != tar.TypeDir || files == 0, "%s comes after a file", name)
			return nil
		}))
		require.True(t, seen["opt/conda/LICENSE"])
		require.True(t, seen["opt/conda/var/empty"])
	}
}

func TestLayerOfOneSegmentIsItsBlob(t *testing.T) {
	c := openCache(t, Options{})
	s := segments(t, c, sampleInputs(t)[:1], 1)[0]
	l, err := c.Layer(context.Background(), Groups([]Segment{s}, 0)[0])
	require.NoError(t, err)
	require.Equal(t, s.blob.digest, l.Digest)
	require.Equal(t, digest.FromBytes(unpacked(t, l.Path)), l.DiffID)
	a, err := os.Stat(s.blob.path)
	require.NoError(t, err)
	b, err := os.Stat(l.Path)
	require.NoError(t, err)
	require.True(t, os.SameFile(a, b), "it takes no room of its own")
}

func TestLayersComeFromTheCache(t *testing.T) {
	ctx := context.Background()
	c := openCache(t, Options{})
	groups := Groups(segments(t, c, append(small(t, 3), sampleInputs(t)[0]), 2), 3)
	want, err := c.Layers(ctx, groups, 2)
	require.NoError(t, err)
	require.Greater(t, len(want), 1)
	require.NoError(t, os.RemoveAll(filepath.Join(c.opts.Dir, segmentsDir)))
	for _, g := range groups {
		for _, s := range g.Segments {
			_ = os.Remove(s.input.ArchivePath)
		}
	}
	got, err := c.Layers(ctx, groups, 2)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// Whatever is wrong with a layer or with the segments that it is made of, it is made again, and is the same.
func TestBrokenLayerIsMadeAgain(t *testing.T) {
	ctx := context.Background()
	for name, tt := range map[string]struct {
		verify bool
		harm   func(t *testing.T, c *Cache, l Layer, s Segment)
	}{
		"layer gone":      {false, func(t *testing.T, _ *Cache, l Layer, _ Segment) { require.NoError(t, os.Remove(l.Path)) }},
		"layer truncated": {false, func(t *testing.T, _ *Cache, l Layer, _ Segment) { require.NoError(t, os.Truncate(l.Path, 10)) }},
		"other bytes":     {true, func(t *testing.T, _ *Cache, l Layer, _ Segment) { flip(t, l.Path) }},
		"index broken": {false, func(t *testing.T, c *Cache, l Layer, _ Segment) {
			names, err := filepath.Glob(filepath.Join(c.opts.Dir, layersDir, "*.json"))
			require.NoError(t, err)
			for _, n := range names {
				require.NoError(t, os.WriteFile(n, []byte(`{"digest":"sha256:x"}`), 0o644))
			}
			require.NoError(t, os.Remove(l.Path))
		}},
		"layer and segments gone": {false, func(t *testing.T, c *Cache, _ Layer, _ Segment) {
			for _, d := range []string{layersDir, segmentsDir} {
				require.NoError(t, os.RemoveAll(filepath.Join(c.opts.Dir, d)))
				require.NoError(t, os.Mkdir(filepath.Join(c.opts.Dir, d), 0o755))
			}
		}},
		"layer gone and segment with other bytes": {false, func(t *testing.T, _ *Cache, l Layer, s Segment) {
			require.NoError(t, os.Remove(l.Path))
			flip(t, s.blob.path)
		}},
		"layer gone and segment with another tar's bytes": {false, func(t *testing.T, c *Cache, l Layer, s Segment) {
			require.NoError(t, os.Remove(l.Path))
			end, err := c.codec.end()
			require.NoError(t, err)
			var other bytes.Buffer
			require.NoError(t, c.codec.compress(&other, make([]byte, s.TarSize)))
			other.Write(make([]byte, s.blob.size-int64(other.Len()+len(end))))
			other.Write(end)
			require.NoError(t, os.WriteFile(s.blob.path, other.Bytes(), 0o644))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c := openCache(t, Options{Verify: tt.verify})
			g := Groups(segments(t, c, append(small(t, 2), sampleInputs(t)[:2]...), 2), 1)[0]
			want, err := c.Layer(ctx, g)
			require.NoError(t, err)
			tt.harm(t, c, want, g.Segments[0])
			got, err := c.Layer(ctx, g)
			require.NoError(t, err)
			require.Equal(t, want, got)
			raw, err := os.ReadFile(got.Path)
			require.NoError(t, err)
			require.Equal(t, want.Digest, digest.FromBytes(raw))
		})
	}
}

func TestLayerErrors(t *testing.T) {
	ctx := context.Background()
	c := openCache(t, Options{})
	_, err := c.Layer(ctx, Group{})
	require.EqualError(t, err, "making a layer: the group has no segments")

	g := Groups(segments(t, c, small(t, 2), 1), 1)[0]
	require.NoError(t, os.RemoveAll(filepath.Join(c.opts.Dir, segmentsDir, g.Segments[0].ID)))
	require.NoError(t, os.Remove(g.Segments[0].input.ArchivePath))
	_, err = c.Layers(ctx, []Group{g}, 1)
	require.ErrorContains(t, err, "making the layer of small-0-1.0-0, small-1-1.0-0: making the layer segment of small-0-1.0-0: ")
	left, err := filepath.Glob(filepath.Join(c.opts.Dir, layersDir, "*"))
	require.NoError(t, err)
	require.Empty(t, left)

	_, err = Layer{Path: "/nowhere", Digest: "sha256:0"}.Open()
	require.ErrorContains(t, err, "opening layer sha256:0: ")
}

func TestEnvironmentLayer(t *testing.T) {
	ctx := context.Background()
	c := openCache(t, Options{})
	a := input(t, condatest.Package{Name: "a", Files: []condatest.File{
		{Path: "bin/x", Body: "a's"},
		{Path: "lib64", Link: "lib"},
		{Path: "lib/a", Body: "1"},
		{Path: "share/pad", Body: string(text(9, chunkSize))},
	}})
	b := input(t, condatest.Package{Name: "b", Files: []condatest.File{
		{Path: "share/y", Body: "b's"},
		{Path: "bin/x", HardLink: "share/y"},
		{Path: "lib64/b", Body: "through"},
		{Path: "share/other", Body: string(text(9, chunkSize))},
		{Path: "lib64/late", Body: "late"},
	}})
	s := segments(t, c, []Input{a, b}, 1)
	r, err := Conflicts(s)
	require.NoError(t, err)
	require.Len(t, r.Warnings, 1)

	e := Environment{
		Prefix: "/opt/conda", Winners: r.Winners, Epoch: time.Unix(1600000000, 5),
		Files: []File{
			{Path: "/opt/conda/conda-meta/history", Body: []byte("==> history <==\n")},
			{Path: "/etc/passwd", Body: []byte("user:x:1000:100::/home/user:/bin/sh\n")},
			{Path: "/home/user", Dir: true, UID: 1000, GID: 100, Mode: 0o750},
			{Path: "/tmp", Dir: true, Mode: os.ModeSticky | 0o777},
			{Path: "/usr/local/bin/run", Link: "/opt/conda/bin/x"},
			{Path: "/empty"},
		},
	}
	l, err := c.Environment(ctx, e)
	require.NoError(t, err)
	require.Equal(t, "conda environment", l.Name)
	raw, err := os.ReadFile(l.Path)
	require.NoError(t, err)
	require.Equal(t, digest.FromBytes(raw), l.Digest)
	require.Equal(t, digest.FromBytes(unpacked(t, l.Path)), l.DiffID)
	require.Equal(t, strings.Split(strings.TrimSpace(`
0 644 0:0 2020-09-13T12:26:40 empty 0 bytes
0 644 0:0 2020-09-13T12:26:40 etc/passwd 36 bytes
5 750 1000:100 1980-01-01T00:00:00 home/user/
5 755 0:0 1980-01-01T00:00:00 opt/
5 755 0:0 1980-01-01T00:00:00 opt/conda/
5 755 0:0 1980-01-01T00:00:00 opt/conda/bin/
0 644 0:0 2024-01-02T03:04:05 opt/conda/bin/x 3 bytes
5 755 0:0 1980-01-01T00:00:00 opt/conda/conda-meta/
0 644 0:0 2020-09-13T12:26:40 opt/conda/conda-meta/history 16 bytes
5 755 0:0 1980-01-01T00:00:00 opt/conda/lib/
0 644 0:0 2024-01-02T03:04:05 opt/conda/lib/b 7 bytes
0 644 0:0 2024-01-02T03:04:05 opt/conda/lib/late 4 bytes
2 777 0:0 2024-01-02T03:04:05 opt/conda/lib64 -> lib
5 1777 0:0 1980-01-01T00:00:00 tmp/
2 777 0:0 2020-09-13T12:26:40 usr/local/bin/run -> /opt/conda/bin/x
`), "\n"), listing(t, l))
	files := map[string]string{}
	rd, err := l.Open()
	require.NoError(t, err)
	for name, body := range readTar(t, rd) {
		files[name] = string(body)
	}
	require.NoError(t, rd.Close())
	require.Equal(t, "b's", files["opt/conda/bin/x"])
	require.Equal(t, "through", files["opt/conda/lib/b"])
	require.Equal(t, "late", files["opt/conda/lib/late"])

	again, err := openCache(t, Options{}).Environment(ctx, e)
	require.NoError(t, err)
	require.Equal(t, l.Digest, again.Digest)

	// From the cache: it does not read the segments again.
	flip(t, s[1].blob.path)
	cached, err := c.Environment(ctx, e)
	require.NoError(t, err)
	require.Equal(t, l, cached)
	// Made again, it finds the broken segment out, has it made again, and is the same.
	require.NoError(t, os.Remove(l.Path))
	again, err = c.Environment(ctx, e)
	require.NoError(t, err)
	require.Equal(t, l, again)

	e.Files[0].Body = []byte("another")
	changed, err := c.Environment(ctx, e)
	require.NoError(t, err)
	require.NotEqual(t, l.Digest, changed.Digest)
}

func TestEnvironmentErrors(t *testing.T) {
	c := openCache(t, Options{})
	for want, files := range map[string][]File{
		`path "etc/x": not absolute`:                               {{Path: "etc/x"}},
		`path "../x": not a clean path below the image's root`:     {{Path: "/../x"}},
		"/a: given twice":                                          {{Path: "/a"}, {Path: "/a", Dir: true}},
		"/a: more than one of directory, symlink and regular file": {{Path: "/a", Dir: true, Link: "x"}},
		"/b: more than one of directory, symlink and regular file": {{Path: "/b", Body: []byte{}, Link: "x"}},
	} {
		_, err := c.Environment(context.Background(), Environment{Files: files})
		require.EqualError(t, err, "making the layer of the conda environment: "+want)
	}
}

func TestWalkStopsWithTheError(t *testing.T) {
	c := openCache(t, Options{})
	l, err := c.Environment(context.Background(), Environment{Files: []File{{Path: "/x"}}})
	require.NoError(t, err)
	require.NoError(t, os.Truncate(l.Path, l.Size/2))
	require.ErrorIs(t, l.Walk(nil), io.ErrUnexpectedEOF)
}
