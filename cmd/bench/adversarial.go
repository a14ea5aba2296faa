package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/datalayer/conda2docker/conda/solve/oracle/rattler"
)

// benchAdversarial asks both what is made to be hard.
func benchAdversarial(ctx context.Context, b *bench) error {
	b.heading("Adversarial", fmt.Sprintf("`make bench` → `bench adversarial`: a process for each request, from its start to its end, with its answer; "+
		"rattler is stopped after %s. Medians of %d for conda2docker, one try for rattler.", patience, b.runs))
	all, err := puzzles()
	if err != nil {
		return err
	}
	rows := [][]string{{"request", "conda2docker", "answer", "peak", "rattler " + rattler.Version, "answer"}}
	for i, p := range all {
		say("%s", p.name)
		dir := filepath.Join(b.dir, fmt.Sprintf("puzzle-%d", i))
		if err := errors.Join(os.RemoveAll(dir), p.write(dir)); err != nil {
			return err
		}
		row, err := b.measurePuzzle(ctx, dir, p)
		if err != nil {
			return err
		}
		rows = append(rows, append([]string{p.name}, row...))
	}
	b.table(rows)
	return nil
}

// measurePuzzle is a row's cells.
func (b *bench) measurePuzzle(ctx context.Context, dir string, p puzzle) ([]string, error) {
	server, err := serve(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer server.Close()
	var wall []time.Duration
	var peaks []int64
	answer := ""
	for range b.runs {
		cache, err := os.MkdirTemp(b.dir, "cache-")
		if err != nil {
			return nil, err
		}
		o, err := runOnce(ctx, []string{server.URL}, cache, p.request)
		if err := errors.Join(err, os.RemoveAll(cache)); err != nil {
			return nil, err
		}
		wall, peaks, answer = append(wall, o.wall), append(peaks, o.Peak), o.Answer
	}
	took, theirs, err := b.askRival(ctx, server.URL, p.request)
	if err != nil {
		return nil, err
	}
	return []string{shown(median(wall)), answer, megabytes(slices.Max(peaks)), took, theirs}, nil
}
