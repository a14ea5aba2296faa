package condatest_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/condatest"
	"github.com/datalayer/conda2docker/conda/fetch"
	"github.com/datalayer/conda2docker/conda/matchspec"
	"github.com/datalayer/conda2docker/conda/repodata"
	"github.com/datalayer/conda2docker/conda/solve"
)

// sumOf is the sum of all that is in a folder.
func sumOf(t *testing.T, dir string) string {
	t.Helper()
	h := sha256.New()
	require.NoError(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		fmt.Fprintf(h, "%s %x\n", path[len(dir):], sha256.Sum256(b))
		return err
	}))
	return hex.EncodeToString(h.Sum(nil))
}

func TestScaleIsTheSameEachTime(t *testing.T) {
	var sums []string
	for _, o := range []condatest.Scale{{Factor: 0.002, Seed: 1, Shards: true}, {Factor: 0.002, Seed: 1, Shards: true}, {Factor: 0.002, Seed: 2, Shards: true}} {
		dir := t.TempDir()
		require.NoError(t, condatest.WriteScale(dir, o))
		sums = append(sums, sumOf(t, dir))
	}
	require.Equal(t, sums[0], sums[1])
	require.NotEqual(t, sums[0], sums[2])
	require.ErrorContains(t, condatest.WriteScale(t.TempDir(), condatest.Scale{Factor: 1000}), "a factor of 1000 is not between")
}

func TestScaleHasTheMeasuredShape(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, condatest.WriteScale(dir, condatest.Scale{Factor: 0.02, Seed: 1}))
	total := 0
	for subdir, want := range map[string]struct{ records, old, depends float64 }{
		"linux-64": {13000, 0.136, 6.9}, "noarch": {3800, 0.054, 4.2},
	} {
		f, err := os.Open(filepath.Join(dir, subdir, "repodata.json.zst"))
		require.NoError(t, err)
		defer f.Close()
		z, err := zstd.NewReader(f)
		require.NoError(t, err)
		defer z.Close()
		text, err := io.ReadAll(z)
		require.NoError(t, err)
		total += len(text)
		var d struct {
			Old map[string]struct{ Depends []string } `json:"packages"`
			New map[string]struct{ Depends []string } `json:"packages.conda"`
		}
		require.NoError(t, json.Unmarshal(text, &d))
		all := float64(len(d.Old) + len(d.New))
		require.InDelta(t, want.records, all, 0, subdir)
		require.InDelta(t, want.old, float64(len(d.Old))/all, 0.08, subdir)
		depends := 0.0
		for _, of := range []map[string]struct{ Depends []string }{d.Old, d.New} {
			for _, r := range of {
				depends += float64(len(r.Depends))
			}
		}
		require.InEpsilon(t, want.depends, depends/all, 0.3, subdir)
	}
	require.InEpsilon(t, 440e6*0.02, total, 0.1)
}

func TestScaleHasSolutions(t *testing.T) {
	for _, o := range []condatest.Scale{{Factor: 0.01, Seed: 1}, {Factor: 0.03, Seed: 7}} {
		dir := t.TempDir()
		require.NoError(t, condatest.WriteScale(dir, o))
		client, err := fetch.New(fetch.Options{Offline: true})
		require.NoError(t, err)
		channel := conda.Channel{Name: "scale", URL: "file://" + dir}
		x, err := repodata.Open(t.Context(), repodata.Options{
			Channels: []conda.Channel{channel}, Subdirs: []conda.Subdir{conda.Linux64, conda.NoArchSubdir}, Client: client,
		})
		require.NoError(t, err)
		for _, request := range o.Requests() {
			r := solve.Request{Channels: []conda.Channel{channel}}
			for _, text := range request {
				spec, err := matchspec.Parse(text)
				require.NoError(t, err)
				r.Specs = append(r.Specs, spec)
			}
			solution, err := solve.Solve(t.Context(), x, r)
			require.NoError(t, err, "%v", request)
			require.Greater(t, len(solution.Records), 8, "%v", request)
		}
	}
}
