package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/datalayer/conda2docker/cmd/internal/largepages"
	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/matchspec"
	"github.com/datalayer/conda2docker/conda/repodata"
	"github.com/datalayer/conda2docker/conda/solve"
	"github.com/datalayer/conda2docker/conda/solve/oracle/rattler"
)

// once is what a process that resolves one request says of itself.
type once struct {
	Packages int           `json:"packages"` // 0 where there is no solution
	Answer   string        `json:"answer"`   // as a table has it
	Open     time.Duration `json:"open"`
	Solve    time.Duration `json:"solve"`
	Peak     int64         `json:"peak"` // bytes that were resident at most
}

// onceCommand is the process that is measured: conda's family of packages alone.
func onceCommand() *cli.Command {
	return &cli.Command{
		Name: "once", Usage: "resolve one request, and say what it took (the process that is measured)", Hidden: true,
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "channel", Required: true},
			&cli.StringFlag{Name: "cache"},
		},
		Action: func(c *cli.Context) error {
			out, err := resolveOnce(c.Context, c.StringSlice("channel"), c.String("cache"), c.Args().Slice())
			if err != nil {
				return err
			}
			return json.NewEncoder(c.App.Writer).Encode(out)
		},
	}
}

func resolveOnce(ctx context.Context, urls []string, cache string, specs []string) (once, error) {
	var out once
	largepages.Ask() // as the program does
	start := time.Now()
	index, err := open(ctx, urls, cache)
	if err != nil {
		return out, err
	}
	out.Open = time.Since(start)
	request, err := newRequest(specs)
	if err != nil {
		return out, err
	}
	start = time.Now()
	solution, err := solve.Solve(ctx, index, request)
	out.Solve, out.Packages = time.Since(start), len(solution.Records)
	var unsat *solve.UnsatisfiableError
	switch {
	case err == nil:
		out.Answer = fmt.Sprintf("%d packages", out.Packages)
	case errors.As(err, &unsat):
		out.Answer = "no solution"
	case errors.Is(err, solve.ErrTooHard):
		out.Answer = "gives up"
	default:
		return out, err
	}
	out.Peak, err = peak()
	return out, err
}

func open(ctx context.Context, urls []string, cache string) (*repodata.Index, error) {
	o := repodata.Options{Subdirs: []conda.Subdir{conda.Linux64, conda.NoArchSubdir}, Dir: cache}
	for _, u := range urls {
		o.Channels = append(o.Channels, conda.Channel{Name: u, URL: u})
	}
	return repodata.Open(ctx, o)
}

func newRequest(specs []string) (solve.Request, error) {
	virtual, err := rattler.Target()
	r := solve.Request{Virtual: virtual}
	if err != nil {
		return r, err
	}
	for _, s := range specs {
		spec, err := matchspec.Parse(s)
		if err != nil {
			return r, err
		}
		r.Specs = append(r.Specs, spec)
	}
	return r, nil
}

// peak is how much of this process was in memory at most, as Linux counts it (VmHWM).
func peak() (int64, error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/self/status has no VmHWM")
}
