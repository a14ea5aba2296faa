package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda/condatest"
)

// What is measured must be the right answer.
func TestPuzzlesAreAnswered(t *testing.T) {
	for _, c := range []struct {
		puzzle puzzle
		answer string
	}{{manyBuilds(), "4 packages"}, {circles(), "300 packages"}, {clauses(), "gives up"}} {
		dir := t.TempDir()
		require.NoError(t, c.puzzle.write(dir))
		got, err := resolveOnce(t.Context(), []string{"file://" + dir}, t.TempDir(), c.puzzle.request)
		require.NoError(t, err, c.puzzle.name)
		require.Equal(t, c.answer, got.Answer, c.puzzle.name)
		require.Positive(t, got.Peak)
	}
}

// Each way must be the one that it is called after.
func TestWaysOfAChannel(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, condatest.WriteScale(dir, condatest.Scale{Factor: 0.005, Seed: 1, Shards: true}))
	for _, way := range scaleWays() {
		server, err := serve(t.Context(), dir, way.hidden...)
		require.NoError(t, err)
		got, err := resolveOnce(t.Context(), []string{server.URL}, t.TempDir(), []string{"python"})
		server.Close()
		require.NoError(t, err, way.name)
		require.Positive(t, got.Packages)
	}
	server, err := serve(t.Context(), dir, ".json", ".zst", ".bz2")
	require.NoError(t, err)
	defer server.Close()
	_, err = resolveOnce(t.Context(), []string{server.URL}, t.TempDir(), []string{"python"})
	require.ErrorContains(t, err, "unknown channel")
}

func TestReport(t *testing.T) {
	var out bytes.Buffer
	b := &bench{out: &out}
	b.table([][]string{{"what", "took"}, {"this", shown(1500 * time.Microsecond)}, {"that", shown(12 * time.Second)}})
	require.Equal(t, "| what | took |\n|---|---|\n| this | 1.5 ms |\n| that | 12.0 s |\n\n", out.String())
	require.Equal(t, time.Duration(3), median([]time.Duration{9, 1, 3}))
	require.Equal(t, time.Duration(2), mean([]time.Duration{1, 3}))
	require.Equal(t, "2.0", times(4*time.Second, 2*time.Second))
}
