package solve_test

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/condatest"
	"github.com/datalayer/conda2docker/conda/matchspec"
	"github.com/datalayer/conda2docker/conda/solve"
	"github.com/datalayer/conda2docker/conda/version"
)

// answer is what another solver said to a request on the corpus' conda-forge channel.
type answer struct {
	Specs    []string
	Solution []string // SUBDIR/FILENAME, sorted
	Error    string
}

func answers(t testing.TB, file string) []answer {
	t.Helper()
	body, err := os.ReadFile(condatest.Corpus(t, file))
	require.NoError(t, err)
	var out []answer
	require.NoError(t, json.Unmarshal(body, &out))
	return out
}

// index is records by name; it knows which names it was asked for.
type index struct {
	records map[conda.PackageName][]*conda.Record
	asked   []conda.PackageName

	elsewhere []elsewhere
}

// elsewhere is a record that is not searched.
type elsewhere struct {
	record *conda.Record
	place  conda.Place
}

func (x *index) Elsewhere(_ context.Context, n conda.PackageName, wanted func(*conda.Record) bool) ([]conda.Place, error) {
	var out []conda.Place
	for _, e := range x.elsewhere {
		if e.record.Name == n && (wanted == nil || wanted(e.record)) {
			out = append(out, e.place)
		}
	}
	return out, nil
}

func (x *index) Records(_ context.Context, n conda.PackageName) ([]*conda.Record, error) {
	x.asked = append(x.asked, n)
	return x.records[n], nil
}

func (x *index) Names(context.Context) ([]conda.PackageName, error) {
	return slices.Sorted(maps.Keys(x.records)), nil
}

type repodataRecord struct {
	Name          string   `json:"name"`
	Version       string   `json:"version"`
	Build         string   `json:"build"`
	BuildNumber   int64    `json:"build_number"`
	Depends       []string `json:"depends"`
	Constrains    []string `json:"constrains"`
	TrackFeatures any      `json:"track_features"`
	Timestamp     int64    `json:"timestamp"`
	SHA256        string   `json:"sha256"`
	NoArch        any      `json:"noarch"`
}

// corpusIndex reads channels of the corpus, the first having priority.
func corpusIndex(t testing.TB, channels ...string) *index {
	t.Helper()
	x := &index{records: map[conda.PackageName][]*conda.Record{}}
	for _, c := range channels {
		channel := conda.Channel{Name: c, URL: "https://conda.anaconda.org/" + c}
		for _, subdir := range []conda.Subdir{conda.Linux64, conda.NoArchSubdir} {
			readRepodata(t, x, channel, subdir)
		}
	}
	return x
}

func readRepodata(t testing.TB, x *index, channel conda.Channel, subdir conda.Subdir) {
	t.Helper()
	f, err := os.Open(filepath.Join(condatest.Corpus(t, "repodata/"+channel.Name), string(subdir), "repodata.json.zst"))
	require.NoError(t, err)
	defer f.Close()
	z, err := zstd.NewReader(f)
	require.NoError(t, err)
	defer z.Close()
	var doc struct {
		Packages map[string]repodataRecord `json:"packages"`
		Conda    map[string]repodataRecord `json:"packages.conda"`
	}
	require.NoError(t, json.NewDecoder(z).Decode(&doc))
	maps.DeleteFunc(doc.Packages, func(file string, _ repodataRecord) bool {
		_, twin := doc.Conda[strings.TrimSuffix(file, ".tar.bz2")+".conda"]
		return twin
	})
	maps.Copy(doc.Packages, doc.Conda)
	for _, file := range slices.Sorted(maps.Keys(doc.Packages)) {
		r := doc.Packages[file]
		v, err := version.Parse(r.Version)
		require.NoError(t, err, file)
		rec := &conda.Record{
			Name: conda.PackageName(r.Name), Version: v, Build: r.Build, BuildNumber: r.BuildNumber, Subdir: subdir,
			Depends: r.Depends, Constrains: r.Constrains, Timestamp: r.Timestamp, SHA256: r.SHA256,
			Channel: channel, FileName: file, URL: channel.SubdirURL(subdir) + "/" + file,
		}
		if s, ok := r.TrackFeatures.(string); ok && s != "" {
			rec.TrackFeatures = strings.Fields(s)
		}
		if r.NoArch == "python" {
			rec.NoArch = conda.NoArchPython
		}
		x.records[rec.Name] = append(x.records[rec.Name], rec)
	}
}

// corpusSystem is what the recorded answers were asked for.
func corpusSystem(t testing.TB) []conda.VirtualPackage {
	t.Helper()
	var out []conda.VirtualPackage
	for _, s := range []string{"__glibc=2.36", "__linux=6.1", "__unix=0", "__archspec=1=x86_64_v3"} {
		v, err := conda.ParseVirtualPackage(s)
		require.NoError(t, err)
		out = append(out, v)
	}
	return out
}

func request(t testing.TB, specs []string) solve.Request {
	t.Helper()
	r := solve.Request{Virtual: corpusSystem(t)}
	for _, s := range specs {
		spec, err := matchspec.Parse(s)
		require.NoError(t, err)
		r.Specs = append(r.Specs, spec)
	}
	return r
}

func fileNames(s solve.Solution) []string {
	var out []string
	for _, r := range s.Records {
		out = append(out, path.Join(string(r.Subdir), r.FileName))
	}
	slices.Sort(out)
	return out
}

// TestCorpusAgreesWithRattler asks what rattler was asked on 26,381 real records.
func TestCorpusAgreesWithRattler(t *testing.T) {
	x := corpusIndex(t, "conda-forge")
	identical, alike, total := 0, 0, 0
	var spent time.Duration
	for _, file := range []string{"solve/curated-rattler-0.3.5.json", "solve/random-rattler-0.3.5.json"} {
		for _, a := range answers(t, file) {
			total++
			start := time.Now()
			s, err := solve.Solve(t.Context(), x, request(t, a.Specs))
			spent += time.Since(start)
			var unsat *solve.UnsatisfiableError
			if err != nil {
				require.ErrorAs(t, err, &unsat, "%v", a.Specs)
			}
			if (err == nil) != (a.Error == "") {
				t.Logf("%v: satisfiable here: %v, there: %v", a.Specs, err == nil, a.Error == "")
				continue
			}
			alike++
			got := fileNames(s)
			if slices.Equal(got, a.Solution) {
				identical++
				continue
			}
			t.Logf("%v\n\there only: %v\n\tthere only: %v", a.Specs, without(got, a.Solution), without(a.Solution, got))
		}
	}
	require.Equal(t, 184, total)
	require.Equal(t, total, alike, "requests of which both say that there is, or is not, a solution")
	require.GreaterOrEqual(t, identical, 184, "requests with the identical answer")
	t.Logf("identical %d, sat/unsat alike %d, of %d; %.1f ms each", identical, alike, total, spent.Seconds()*1000/float64(total))
}

func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}
