package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/solve/oracle/rattler"
)

// startRival starts rattler with the facts that all are asked with.
func (b *bench) startRival(ctx context.Context) (*rattler.Solver, error) {
	o := rattler.Options{Dir: filepath.Join(filepath.Dir(b.dir), "oracle")}
	for _, f := range systemFacts() {
		v, err := conda.ParseVirtualPackage(f)
		if err != nil {
			return nil, err
		}
		o.Virtual = append(o.Virtual, v)
	}
	return rattler.New(ctx, o)
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
