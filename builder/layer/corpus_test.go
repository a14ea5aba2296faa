package layer

import (
	"archive/tar"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/archive"
	"github.com/datalayer/conda2docker/conda/condatest"
	"github.com/datalayer/conda2docker/conda/version"
)

// corpusInputs are the corpus's real packages, with records made of what they say of themselves.
func corpusInputs(t testing.TB) []Input {
	t.Helper()
	dir := condatest.Corpus(t, "packages")
	var inputs []Input
	for _, subdir := range []conda.Subdir{conda.Linux64, conda.NoArchSubdir} {
		names, err := filepath.Glob(filepath.Join(dir, string(subdir), "*"))
		require.NoError(t, err)
		for _, name := range names {
			rec, ok := recordOf(t, name)
			if !ok {
				continue
			}
			raw, err := os.ReadFile(name)
			require.NoError(t, err)
			inputs = append(inputs, Input{Record: rec, ArchivePath: name, ArchiveSHA256: hexSum(raw), Target: target()})
		}
	}
	require.NotEmpty(t, inputs)
	return inputs
}

// recordOf reads info/index.json; packages that are broken on purpose have none.
func recordOf(t testing.TB, path string) (*conda.Record, bool) {
	t.Helper()
	r, err := archive.Open(path, archive.Options{})
	if err != nil {
		return nil, false
	}
	defer r.Close()
	var ix struct {
		Name, Version, Build, Subdir string
		NoArch                       any
		Timestamp                    int64
	}
	err = r.Info(context.Background(), func(e archive.Entry, body io.Reader) error {
		if e.Path != "info/index.json" {
			return nil
		}
		return json.NewDecoder(body).Decode(&ix)
	})
	if err != nil || ix.Name == "" {
		return nil, false
	}
	v, err := version.Parse(ix.Version)
	require.NoError(t, err)
	rec := &conda.Record{
		Name: conda.PackageName(strings.ToLower(ix.Name)), Version: v, Build: ix.Build,
		Subdir: conda.Subdir(filepath.Base(filepath.Dir(path))), Timestamp: ix.Timestamp, FileName: filepath.Base(path),
	}
	if s, ok := ix.NoArch.(string); ok {
		rec.NoArch = conda.NoArch(s)
	}
	return rec, true
}

// Every real package becomes a layer that reads back as what was recorded of it, twice with the same bytes.
func TestCorpusPackagesAsLayers(t *testing.T) {
	ctx := context.Background()
	c, again := openCache(t, Options{}), openCache(t, Options{Parallel: 1})
	made := 0
	for _, in := range corpusInputs(t) {
		name := filepath.Base(in.ArchivePath)
		s, err := c.Segment(ctx, in)
		if err != nil {
			t.Logf("%s is refused: %v", name, err)
			continue
		}
		made++
		other, err := again.Segment(ctx, in)
		require.NoError(t, err, name)
		require.Equal(t, s.blob.digest, other.blob.digest, name)
		require.Equal(t, digest.FromBytes(unpacked(t, s.blob.path)), s.blob.diffID, name)
		groups := Groups([]Segment{s}, 0)
		if len(s.Entries) == 0 {
			require.Empty(t, groups, name)
			continue
		}
		l, err := c.Layer(ctx, groups[0])
		require.NoError(t, err, name)

		sums := map[string]string{}
		require.NoError(t, l.Walk(func(h *tar.Header, r io.Reader) error {
			b, err := io.ReadAll(r)
			if h.Typeflag == tar.TypeReg {
				sums[h.Name] = hexSum(b)
			}
			return err
		}), name)
		for _, e := range s.Entries {
			if e.Type == "file" {
				require.Equal(t, e.SHA256, sums[s.imagePath(e.Path.Path)], "%s: %s", name, e.Path.Path)
			}
		}
	}
	require.Greater(t, made, 8, "most of the corpus is sound")
}

// BenchmarkSegment is the way from a real package's archive to its segment; the speed is in bytes of the tar.
func BenchmarkSegment(b *testing.B) {
	ctx := context.Background()
	for _, o := range []Options{{Compression: Gzip}, {Compression: Gzip, Level: 1}, {Compression: Gzip, Level: 6}, {Compression: Zstd}, {Compression: Zstd, Level: 1}} {
		o.Dir = b.TempDir()
		c := openCache(b, o)
		b.Run(c.codec.String(), func(b *testing.B) {
			for _, in := range corpusInputs(b) {
				s, err := c.Segment(ctx, in)
				if err != nil || s.TarSize < 1<<20 {
					continue
				}
				b.Run(s.Dist, func(b *testing.B) {
					b.SetBytes(s.TarSize)
					for b.Loop() {
						require.NoError(b, os.RemoveAll(filepath.Join(o.Dir, segmentsDir, s.ID)))
						_, err := c.Segment(ctx, in)
						require.NoError(b, err)
					}
				})
			}
		})
	}
}
