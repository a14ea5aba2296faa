package solve_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/matchspec"
	"github.com/datalayer/conda2docker/conda/solve"
	"github.com/datalayer/conda2docker/conda/version"
)

// pigeons asks for n+1 packages that each need a hole of their own out of n: there is no solution, and proving
// it takes a number of steps that grows exponentially.
func pigeons(n int) (*index, solve.Request) {
	x := &index{records: map[conda.PackageName][]*conda.Record{}}
	var r solve.Request
	add := func(name string, v int, depends ...string) {
		n := conda.PackageName(name)
		x.records[n] = append(x.records[n], &conda.Record{Name: n, Version: version.MustParse(fmt.Sprint(v)), Build: "0", Depends: depends})
	}
	for pigeon := range n + 1 {
		name := fmt.Sprintf("pigeon%d", pigeon)
		r.Specs = append(r.Specs, matchspec.MustParse(name))
		for hole := range n {
			add(name, hole+1, fmt.Sprintf("hole%d ==%d", hole, pigeon+1))
		}
	}
	for hole := range n {
		for pigeon := range n + 1 {
			add(fmt.Sprintf("hole%d", hole), pigeon+1)
		}
	}
	return x, r
}

func TestPigeonsDoNotFit(t *testing.T) {
	x, r := pigeons(4)
	_, err := solve.Solve(t.Context(), x, r)
	var unsat *solve.UnsatisfiableError
	require.ErrorAs(t, err, &unsat)
	require.Len(t, unsat.Conflicts, 1)
	require.Len(t, unsat.Conflicts[0].Requirements, 5, "without any one of them the others fit")
}

// doneAfter is a context that is cancelled when it has been asked n times whether it is.
type doneAfter struct {
	context.Context
	n *int
}

func (c doneAfter) Err() error {
	if *c.n--; *c.n < 0 {
		return context.Canceled
	}
	return nil
}

func TestCancelledInTheSearch(t *testing.T) {
	x, r := pigeons(30) // no computer would ever finish this
	n := 2000
	_, err := solve.Solve(doneAfter{t.Context(), &n}, x, r)
	require.ErrorIs(t, err, context.Canceled)
	var unsat *solve.UnsatisfiableError
	require.NotErrorAs(t, err, &unsat)
}

func TestCancelledBeforeTheSearch(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("the user has left")
	cancel(cause)
	x, r := pigeons(2)
	_, err := solve.Solve(ctx, x, r)
	require.ErrorIs(t, err, cause)
	require.Empty(t, x.asked)
}

type failingIndex struct{ err error }

func (x failingIndex) Records(context.Context, conda.PackageName) ([]*conda.Record, error) {
	return nil, x.err
}

func TestAnIndexThatFailsProvesNothing(t *testing.T) {
	broken := errors.New("connection reset")
	_, err := solve.Solve(t.Context(), failingIndex{broken}, solve.Request{Specs: []matchspec.Spec{matchspec.MustParse("a")}})
	require.ErrorIs(t, err, broken)
	require.ErrorContains(t, err, "reading the records of a")
	var unsat *solve.UnsatisfiableError
	require.NotErrorAs(t, err, &unsat)
}

// prefetching notes what it is told to get.
type prefetching struct {
	*index
	rounds [][]conda.PackageName
}

func (x *prefetching) Prefetch(_ context.Context, names []conda.PackageName) error {
	x.rounds = append(x.rounds, names)
	return nil
}

func TestNamesAreReadOnceAndBreadthFirst(t *testing.T) {
	x := &prefetching{index: readPackages(t, `
app 1.0
  needs left
  needs right
  needs __glibc
  allows unrelated <2
left 1.0
  needs core
right 1.0
  needs core
  needs left
core 1.0
unrelated 1.0
`)}
	s, err := solve.Solve(t.Context(), x, request(t, []string{"app"}))
	require.NoError(t, err)
	require.Len(t, s.Records, 4)
	require.Equal(t, [][]conda.PackageName{{"app"}, {"left", "right"}, {"core"}}, x.rounds)
	require.Equal(t, []conda.PackageName{"app", "left", "right", "core"}, x.asked)
}

func TestNamesAreReadOnceEvenForAnExplanation(t *testing.T) {
	x := &prefetching{index: readPackages(t, `
app 1.0
  needs lib >=2
lib 1.0
lib 2.0
  needs core
core 1.0
`)}
	_, err := solve.Solve(t.Context(), x, request(t, []string{"app", "lib <2"}))
	var unsat *solve.UnsatisfiableError
	require.ErrorAs(t, err, &unsat)
	require.Equal(t, []conda.PackageName{"app", "lib", "core"}, x.asked)
	require.Equal(t, [][]conda.PackageName{{"app", "lib"}, {"core"}}, x.rounds)
}

func TestNothingAsked(t *testing.T) {
	s, err := solve.Solve(t.Context(), &index{}, solve.Request{})
	require.NoError(t, err)
	require.Empty(t, s.Records)
}

// TestSudoku needs many conflicts and what is learnt from them: each cell is a package with nine versions, and
// each version needs the cells of its row, column and box to have other ones.
func TestSudoku(t *testing.T) {
	const puzzle = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
	const answer = "534678912672195348198342567859761423426853791713924856961537284287419635345286179"
	x := &index{records: map[conda.PackageName][]*conda.Record{}}
	var r solve.Request
	for i := range 81 {
		n := conda.PackageName(fmt.Sprintf("cell%d", i))
		for digit := 1; digit <= 9; digit++ {
			rec := &conda.Record{Name: n, Version: version.MustParse(fmt.Sprint(digit)), Build: "0"}
			for j := range 81 {
				sameBox := i/27 == j/27 && i%9/3 == j%9/3
				if i != j && (i/9 == j/9 || i%9 == j%9 || sameBox) {
					rec.Depends = append(rec.Depends, fmt.Sprintf("cell%d !=%d", j, digit))
				}
			}
			x.records[n] = append(x.records[n], rec)
		}
		spec := string(n)
		if puzzle[i] != '.' {
			spec += " ==" + puzzle[i:i+1]
		}
		r.Specs = append(r.Specs, matchspec.MustParse(spec))
	}
	s, err := solve.Solve(t.Context(), x, r)
	require.NoError(t, err)
	require.Len(t, s.Records, 81)
	for _, rec := range s.Records {
		var i int
		_, err := fmt.Sscanf(string(rec.Name), "cell%d", &i)
		require.NoError(t, err)
		require.Equal(t, answer[i:i+1], rec.Version.String(), rec.Name)
	}
}
