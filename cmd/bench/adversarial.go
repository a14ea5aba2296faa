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

// patience is how long rattler is waited for.
const patience = 30 * time.Second

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
	took, theirs, err := b.askRival(ctx, server.URL, p)
	if err != nil {
		return nil, err
	}
	return []string{shown(median(wall)), answer, megabytes(slices.Max(peaks)), took, theirs}, nil
}

// askRival is how long rattler took, and what it said.
func (b *bench) askRival(ctx context.Context, channel string, p puzzle) (took, answer string, err error) {
	r, err := b.startRival(ctx)
	if err != nil {
		return "", "", err
	}
	defer r.Close()
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	a, err := r.Solve(limited, rattler.Question{Specs: p.request, Channels: []string{channel}})
	switch {
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		return "more than " + shown(patience), "none", nil
	case err != nil:
		return "", "", err
	case a.Error == rattler.Crashed:
		return "—", "it crashed", nil
	case a.Error != "":
		return shown(a.Took), "no solution", nil
	}
	return shown(a.Took), fmt.Sprintf("%d packages", len(a.Records)), nil
}
