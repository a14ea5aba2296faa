package solve_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda/solve"
)

// BenchmarkSolveCorpus solves, in each round, one of the requests that rattler's recorded answers are to: on 26,381 real
// records, which are parsed already.
func BenchmarkSolveCorpus(b *testing.B) {
	x := corpusIndex(b, "conda-forge")
	var requests []solve.Request
	for _, file := range []string{"solve/curated-rattler-0.3.5.json", "solve/random-rattler-0.3.5.json"} {
		for _, a := range answers(b, file) {
			requests = append(requests, request(b, a.Specs))
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		x.asked = x.asked[:0]
		_, err := solve.Solve(b.Context(), x, requests[i%len(requests)])
		if unsat := (*solve.UnsatisfiableError)(nil); err != nil {
			require.True(b, errors.As(err, &unsat))
		}
	}
}
