package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/datalayer/conda2docker/conda/condatest"
	"github.com/datalayer/conda2docker/conda/solve/oracle/rattler"
)

// scaleStep is a channel of some share of conda-forge's size.
type scaleStep struct {
	records string
	factor  float64
}

func scaleSteps() []scaleStep {
	return []scaleStep{{"26k", 1. / 32}, {"105k", 1. / 8}, {"840k", 1}}
}

// scaleWays are the forms of the channel's index.
func scaleWays() []scaleWay {
	return []scaleWay{
		{name: "shards", hidden: []string{".json", ".json.zst", ".json.bz2"}},
		{name: "repodata.json.zst", hidden: []string{"repodata_shards.msgpack.zst"}},
	}
}

type scaleWay struct {
	name   string
	hidden []string // files that the channel does not have
}

// benchScale resolves one request on channels of growing size, cold and warm.
func benchScale(ctx context.Context, b *bench) error {
	requests := condatest.Scale{}.Requests()
	b.heading("Scale", fmt.Sprintf("`make bench` → `bench scale`: processes that resolve %d requests, such as `%s`, on a generated channel with "+
		"conda-forge's shape, served on loopback. Cold: nothing is cached; warm: the cache is there and current. Medians of %d for each request and of all requests; "+
		"the slowest request's median in brackets. rattler, which keeps nothing between its requests here, is asked `%s` once, and stopped after %s.",
		len(requests), joined(requests[1]), b.runs, joined(requests[1]), patience))
	rows := [][]string{{"records", "index", "cold", "of it opening", "of it solving", "peak", "warm", "of it opening", "of it solving", "peak", "rattler " + rattler.Version + ", cold"}}
	for _, step := range scaleSteps() {
		dir, err := b.scaleChannel(step)
		if err != nil {
			return err
		}
		for _, way := range scaleWays() {
			say("%s records through %s", step.records, way.name)
			row, err := b.measureScale(ctx, dir, way, requests)
			if err != nil {
				return err
			}
			rows = append(rows, append([]string{step.records, way.name}, row...))
		}
	}
	b.table(rows)
	return nil
}

// measureScale is a row's cells for a channel's folder.
func (b *bench) measureScale(ctx context.Context, dir string, way scaleWay, requests [][]string) ([]string, error) {
	server, err := serve(ctx, dir, way.hidden...)
	if err != nil {
		return nil, err
	}
	defer server.Close()
	cold, warm := make([][]process, len(requests)), make([][]process, len(requests))
	for i, request := range requests {
		for range b.runs {
			if err := b.coldAndWarm(ctx, server.URL, request, &cold[i], &warm[i]); err != nil {
				return nil, err
			}
		}
	}
	rival, _, err := b.askRival(ctx, server.URL, requests[1])
	if err != nil {
		return nil, err
	}
	return append(append(processCells(cold), processCells(warm)...), rival), nil
}

// coldAndWarm runs two processes, of which the second finds what the first has cached.
func (b *bench) coldAndWarm(ctx context.Context, url string, request []string, cold, warm *[]process) error {
	cache, err := os.MkdirTemp(b.dir, "cache-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(cache)
	for _, to := range []*[]process{cold, warm} {
		p, err := runOnce(ctx, []string{url}, cache, request)
		if err == nil && p.Packages == 0 {
			err = fmt.Errorf("%s has no solution", joined(request))
		}
		if err != nil {
			return err
		}
		*to = append(*to, p)
	}
	return nil
}

// processCells are the medians of the processes of each request, and of the requests.
func processCells(requests [][]process) []string {
	var wall, read, solve []time.Duration
	var peak int64
	for _, all := range requests {
		wall = append(wall, medianOf(all, func(p process) time.Duration { return p.wall }))
		read = append(read, medianOf(all, func(p process) time.Duration { return p.Open }))
		solve = append(solve, medianOf(all, func(p process) time.Duration { return p.Solve }))
		for _, p := range all {
			peak = max(peak, p.Peak)
		}
	}
	return []string{fmt.Sprintf("%s (%s)", shown(median(wall)), shown(slices.Max(wall))), shown(median(read)), shown(median(solve)), megabytes(peak)}
}

func medianOf(all []process, of func(process) time.Duration) time.Duration {
	var values []time.Duration
	for _, p := range all {
		values = append(values, of(p))
	}
	return median(values)
}

// scaleChannel is the folder of a channel that is generated once.
func (b *bench) scaleChannel(step scaleStep) (string, error) {
	dir := filepath.Join(b.dir, "channel-"+step.records)
	if _, err := os.Stat(dir); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return dir, err
	}
	say("generating a channel of %s records", step.records)
	unfinished := dir + ".new"
	if err := os.RemoveAll(unfinished); err != nil {
		return "", err
	}
	if err := condatest.WriteScale(unfinished, condatest.Scale{Factor: step.factor, Seed: 1, Shards: true}); err != nil {
		return "", err
	}
	return dir, os.Rename(unfinished, dir)
}
