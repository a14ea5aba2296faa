package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/datalayer/conda2docker/conda/solve/oracle/rattler"
)

// patience is how long rattler is waited for.
const patience = 30 * time.Second

// startRival starts rattler with the facts that all are asked with.
func (b *bench) startRival(ctx context.Context) (*rattler.Solver, error) {
	virtual, err := rattler.Target()
	if err != nil {
		return nil, err
	}
	return rattler.New(ctx, rattler.Options{Dir: filepath.Join(filepath.Dir(b.dir), "oracle"), Virtual: virtual})
}

// rivalProcess is how long a new process of rattler's takes from its start to its answer.
func (b *bench) rivalProcess(ctx context.Context, channel string, specs []string) (time.Duration, error) {
	start := time.Now()
	r, err := b.startRival(ctx)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	a, err := r.Solve(ctx, rattler.Question{Specs: specs, Channels: []string{channel}})
	if err == nil && a.Error != "" {
		err = errors.New(a.Error)
	}
	if err != nil {
		return 0, fmt.Errorf("rattler on %s: %w", joined(specs), err)
	}
	return time.Since(start), nil
}

// askRival is how long rattler took, and what it said.
func (b *bench) askRival(ctx context.Context, channel string, request []string) (took, answer string, err error) {
	r, err := b.startRival(ctx)
	if err != nil {
		return "", "", err
	}
	defer r.Close()
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	a, err := r.Solve(limited, rattler.Question{Specs: request, Channels: []string{channel}})
	switch {
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		return "more than " + shown(patience), "none", nil
	case err != nil:
		return "", "", err
	case a.Error == rattler.Crashed:
		return "it crashed", "none", nil
	case a.Error != "":
		return shown(a.Took), "no solution", nil
	}
	return shown(a.Took), fmt.Sprintf("%d packages", len(a.Records)), nil
}
