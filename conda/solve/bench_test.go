package solve_test

import (
	"syscall"
	"testing"
	"time"

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
	before := processorTime(b)
	for i := 0; b.Loop(); i++ {
		x.asked = x.asked[:0]
		_, err := solve.Solve(b.Context(), x, requests[i%len(requests)])
		if unsat := (*solve.UnsatisfiableError)(nil); err != nil {
			require.ErrorAs(b, err, &unsat)
		}
	}
	b.ReportMetric(float64((processorTime(b)-before).Microseconds())/1000/float64(b.N), "cpu-ms/op")
}

// processorTime is what this process has used of the processors, which other processes do not disturb as much as a clock.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
