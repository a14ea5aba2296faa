package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/datalayer/conda2docker/conda/condatest"
	"github.com/datalayer/conda2docker/conda/repodata"
	"github.com/datalayer/conda2docker/conda/solve"
	"github.com/datalayer/conda2docker/conda/solve/oracle/rattler"
)

// pair is how long the two took for the same request.
type pair struct {
	ours, whole, rival time.Duration // whole is ours with the reading of the index, which the rival does each time too
	same               bool
}

// benchResolve asks both solvers the same requests in turn: first as processes, then inside of one process each.
func benchResolve(ctx context.Context, b *bench) error {
	channel, requests, text, err := b.resolveInput()
	if err != nil {
		return err
	}
	b.heading("Resolving", text)
	server, err := serve(ctx, channel)
	if err != nil {
		return err
	}
	defer server.Close()
	if err := b.resolveProcesses(ctx, channel, server.URL); err != nil {
		return err
	}
	r, err := b.startRival(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	return b.resolveInProcess(ctx, r, server.URL, requests)
}

// resolveInput is conda-forge's records of the corpus and the requests that were recorded there; without it a generated channel of the
// same size, and its requests.
func (b *bench) resolveInput() (channel string, requests [][]string, text string, err error) {
	if corpus := os.Getenv(condatest.CorpusVariable); corpus != "" {
		requests, err = rattler.Recorded(corpus)
		return filepath.Join(corpus, "repodata", "conda-forge"), requests,
			fmt.Sprintf("`make bench` → `bench resolve`: %d requests on 26,381 real records of conda-forge.", len(requests)), err
	}
	say("%s is not set: a generated channel of the same size stands in", condatest.CorpusVariable)
	channel, err = b.scaleChannel(scaleSteps()[0])
	requests = condatest.Scale{}.Requests()
	return channel, requests, fmt.Sprintf("`make bench` → `bench resolve`: %d requests on a generated channel of 26,000 records.", len(requests)), err
}

// resolveProcesses measures processes from their start to their end. Both read the same files, which are local and not cached by either.
func (b *bench) resolveProcesses(ctx context.Context, channel, url string) error {
	request := []string{"python=3.11", "numpy", "pandas", "scipy"}
	var ours, program, theirs []time.Duration
	var peaks []int64
	for range 2*b.runs + 1 {
		cache, err := os.MkdirTemp(b.dir, "cache-")
		if err != nil {
			return err
		}
		p, err := runOnce(ctx, []string{"file://" + channel}, cache, request)
		if err == nil && p.Packages == 0 {
			err = errors.New("the request has no solution")
		}
		if err := errors.Join(err, os.RemoveAll(cache)); err != nil {
			return err
		}
		ours, peaks = append(ours, p.wall), append(peaks, p.Peak)
		whole, err := b.runProgram(ctx, channel, request)
		if err != nil {
			return err
		}
		program = append(program, whole)
		d, err := b.rivalProcess(ctx, url, request)
		if err != nil {
			return err
		}
		theirs = append(theirs, d)
	}
	fmt.Fprintf(b.out, "A cold process that resolves `%s`, nothing cached; the median of %d.\n\n", joined(request), len(ours))
	b.table([][]string{
		{"", "median", "rattler / it"},
		{"conda2docker's resolver, as a program of its own (" + megabytes(median(peaks)) + " at most)", shown(median(ours)), times(median(theirs), median(ours))},
		{"`conda2docker lock`, the whole program", shown(median(program)), times(median(theirs), median(program))},
		{"rattler " + rattler.Version + " (WebAssembly, in Node)", shown(median(theirs)), "1"},
	})
	return nil
}

// resolveInProcess asks both each request in turn.
func (b *bench) resolveInProcess(ctx context.Context, r *rattler.Solver, url string, requests [][]string) error {
	index, err := open(ctx, []string{url}, "")
	if err != nil {
		return err
	}
	var pairs []pair
	for i, specs := range requests {
		if i%50 == 0 {
			say("request %d of %d", i, len(requests))
		}
		p, err := b.resolvePair(ctx, r, index, url, specs)
		if err != nil {
			return err
		}
		pairs = append(pairs, p)
	}
	same := 0
	var ours, whole, rivals, ratios, wholeRatios []time.Duration
	for _, p := range pairs {
		if p.same {
			same++
		}
		ours, whole, rivals = append(ours, p.ours), append(whole, p.whole), append(rivals, p.rival)
		ratios = append(ratios, time.Duration(float64(p.rival)/float64(p.ours)*1000))
		wholeRatios = append(wholeRatios, time.Duration(float64(p.rival)/float64(p.whole)*1000))
	}
	fmt.Fprintf(b.out, "Each request in turn inside of a process that goes on; %d of %d answers are identical.\n\n", same, len(pairs))
	b.table([][]string{
		{"", "mean", "median", "slowest", "rattler / it (median of the requests)"},
		{"conda2docker, index read before", shown(mean(ours)), shown(median(ours)), shown(slices.Max(ours)), fmt.Sprintf("%.1f", float64(median(ratios))/1000)},
		{"conda2docker, reading the index each time", shown(mean(whole)), shown(median(whole)), shown(slices.Max(whole)), fmt.Sprintf("%.1f", float64(median(wholeRatios))/1000)},
		{"rattler " + rattler.Version + ", which reads it each time", shown(mean(rivals)), shown(median(rivals)), shown(slices.Max(rivals)), "1"},
	})
	return nil
}

func (b *bench) resolvePair(ctx context.Context, r *rattler.Solver, index *repodata.Index, url string, specs []string) (pair, error) {
	var p pair
	request, err := newRequest(specs)
	if err != nil {
		return p, err
	}
	solution, took, err := solveTimed(ctx, index, request)
	if err != nil {
		return p, err
	}
	p.ours = took
	start := time.Now()
	fresh, err := open(ctx, []string{url}, "")
	if err != nil {
		return p, err
	}
	if _, _, err := solveTimed(ctx, fresh, request); err != nil {
		return p, err
	}
	p.whole = time.Since(start)
	answer, err := r.Solve(ctx, rattler.Question{Specs: specs, Channels: []string{url}})
	if err != nil {
		return p, err
	}
	p.rival, p.same = answer.Took, slices.Equal(urls(solution), answer.Records)
	return p, nil
}

// solveTimed solves; no solution is an empty one.
func solveTimed(ctx context.Context, index solve.Index, r solve.Request) (solve.Solution, time.Duration, error) {
	start := time.Now()
	solution, err := solve.Solve(ctx, index, r)
	took := time.Since(start)
	if unsat := (*solve.UnsatisfiableError)(nil); errors.As(err, &unsat) {
		err = nil
	}
	return solution, took, err
}

// urls are a solution's archives, sorted.
func urls(s solve.Solution) []string {
	all := make([]string, 0, len(s.Records))
	for _, r := range s.Records {
		all = append(all, r.URL)
	}
	slices.Sort(all)
	return all
}
