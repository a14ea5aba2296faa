package solve_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/condatest"
	"github.com/datalayer/conda2docker/conda/solve"
	"github.com/datalayer/conda2docker/conda/version"
)

func (x *index) add(name string, v int, depends ...string) *conda.Record {
	n := conda.PackageName(name)
	r := &conda.Record{Name: n, Version: version.MustParse(fmt.Sprint(v)), Build: "0", Subdir: conda.NoArchSubdir, Depends: depends}
	x.records[n] = append(x.records[n], r)
	return r
}

// damagedSudoku is a channel of a sudoku's cells, in which the boxes are not what they should be, and its 81 names.
func damagedSudoku(t testing.TB) (*index, []string) {
	t.Helper()
	body, err := os.ReadFile(condatest.Corpus(t, "mamba/sudoku.json"))
	require.NoError(t, err)
	var doc struct{ Packages map[string]repodataRecord }
	require.NoError(t, json.Unmarshal(body, &doc))
	x := &index{records: map[conda.PackageName][]*conda.Record{}}
	for _, file := range slices.Sorted(maps.Keys(doc.Packages)) {
		r := doc.Packages[file]
		x.records[conda.PackageName(r.Name)] = append(x.records[conda.PackageName(r.Name)], &conda.Record{
			Name: conda.PackageName(r.Name), Version: version.MustParse(r.Version), Build: r.Build, Depends: r.Depends, Subdir: conda.NoArchSubdir,
		})
	}
	var names []string
	for i := range 81 {
		names = append(names, fmt.Sprintf("sudoku_%d_%d", i%9, i/9))
	}
	return x, names
}

// TestCorpusSudoku is a channel of which no two solvers have ever told why it has no solution: ten cells exclude each other and
// have nine digits.
func TestCorpusSudoku(t *testing.T) {
	x, names := damagedSudoku(t)
	_, err := solve.Solve(t.Context(), x, request(t, names))
	var unsat *solve.UnsatisfiableError
	require.ErrorAs(t, err, &unsat)
	require.Len(t, unsat.Conflicts, 1)
	require.Len(t, unsat.Conflicts[0].Requirements, 10)
	require.Equal(t, 9, unsat.Conflicts[0].Places)

	const puzzle = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
	for i := range names {
		if puzzle[i] != '.' {
			names[i] += " ==" + puzzle[i:i+1]
		}
	}
	_, err = solve.Solve(t.Context(), x, request(t, names))
	require.ErrorAs(t, err, &unsat)
	require.Less(t, len(unsat.Conflicts[0].Requirements), 5)
}

func TestACrowdIsTold(t *testing.T) {
	x, r := pigeons(11)
	_, err := solve.Solve(t.Context(), x, r)
	var unsat *solve.UnsatisfiableError
	require.ErrorAs(t, err, &unsat)
	require.Equal(t, strings.TrimSpace(`
no solution: "pigeon0", "pigeon1", "pigeon2", "pigeon3", "pigeon4", "pigeon5" and … (6 more) cannot be installed
  together
└─ of the 12 packages that they are or need at most 11 can be installed together, because their
     versions exclude each other: pigeon0, pigeon1, pigeon2, pigeon3, pigeon4, pigeon5, pigeon6,
     pigeon7, pigeon8, pigeon9, pigeon10 and pigeon11`), err.Error())
}

// TestAHardRequestEnds asks for what takes exponentially many steps to find out: random clauses of three literals.
func TestAHardRequestEnds(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 200))
	x := &index{records: map[conda.PackageName][]*conda.Record{}}
	for i := range 200 {
		x.add(fmt.Sprint("variable", i), 0)
		x.add(fmt.Sprint("variable", i), 1)
	}
	var specs []string
	for i := range 860 {
		specs = append(specs, fmt.Sprint("clause", i))
		for k := range 3 {
			x.add(specs[i], k, fmt.Sprintf("variable%d ==%d", r.IntN(200), r.IntN(2)))
		}
	}
	_, err := solve.Solve(t.Context(), x, request(t, specs))
	var unsat *solve.UnsatisfiableError
	require.NotErrorAs(t, err, &unsat, "nothing is proven")
	require.ErrorContains(t, err, "too many steps")
}

func TestANameWithManyBuilds(t *testing.T) {
	x := &index{records: map[conda.PackageName][]*conda.Record{}}
	for i := range 5000 {
		r := x.add("many", 1, fmt.Sprintf("one >=%d", i%70), fmt.Sprintf("two >=%d", i%110), "__unix")
		r.Build, r.Timestamp, r.Constrains = fmt.Sprint("h", i), int64(i), []string{fmt.Sprintf("three !=%d", i%50)}
	}
	for i := range 100 {
		x.add("one", i, "many")
		x.add("two", i, "three", "one")
		x.add("three", i, "many")
	}
	s, err := solve.Solve(t.Context(), x, request(t, []string{"many", "two <60"}))
	require.NoError(t, err)
	require.Len(t, s.Records, 4)
	_, err = solve.Solve(t.Context(), x, request(t, []string{"many", "two <60", "one >=99", "three >=200"}))
	var unsat *solve.UnsatisfiableError
	require.ErrorAs(t, err, &unsat)
}

// TestManyCircles has 300 packages that all need each other, in versions that go together, but for the last.
func TestManyCircles(t *testing.T) {
	x := &index{records: map[conda.PackageName][]*conda.Record{}}
	for i := range 300 {
		for v := range 10 {
			next := v
			if i == 299 && v > 3 {
				next = v + 1
			}
			x.add(fmt.Sprint("p", i), v, fmt.Sprintf("p%d ==%d", (i+1)%300, next), fmt.Sprintf("p%d >=%d", (i+7)%300, v/2))
		}
	}
	s, err := solve.Solve(t.Context(), x, request(t, []string{"p0"}))
	require.NoError(t, err)
	require.Len(t, s.Records, 300)
	require.Equal(t, "3", s.Records[0].Version.String())
	_, err = solve.Solve(t.Context(), x, request(t, []string{"p0 >4"}))
	var unsat *solve.UnsatisfiableError
	require.ErrorAs(t, err, &unsat)
}

// manyUnsatisfiable are requests of 50 specs on the corpus' channel, each with some that nothing can meet.
func manyUnsatisfiable(x *index) [][]string {
	r := rand.New(rand.NewPCG(50, 1))
	names := slices.Sorted(maps.Keys(x.records))
	var out [][]string
	for range 10 {
		specs := []string{"python 3.9.*", "numpy <1.17"}
		for len(specs) < 50 {
			records := x.records[names[r.IntN(len(names))]]
			rec := records[r.IntN(len(records))]
			specs = append(specs, string(rec.Name)+[]string{" ==", " >=", " <=", " ~="}[r.IntN(4)]+strings.ReplaceAll(rec.Version.String(), "_", ".")+".0")
		}
		out = append(out, specs)
	}
	return out
}

func TestCorpusManyUnsatisfiable(t *testing.T) {
	x := corpusIndex(t, "conda-forge")
	for _, specs := range manyUnsatisfiable(x) {
		_, err := solve.Solve(t.Context(), x, request(t, specs))
		var unsat *solve.UnsatisfiableError
		require.ErrorAs(t, err, &unsat)
		require.NotEmpty(t, unsat.Conflicts)
	}
}
