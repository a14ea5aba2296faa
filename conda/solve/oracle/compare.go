package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/fetch"
	"github.com/datalayer/conda2docker/conda/matchspec"
	"github.com/datalayer/conda2docker/conda/solve"
	"github.com/datalayer/conda2docker/conda/solve/oracle/rattler"
)

// comparison asks both solvers the same.
type comparison struct {
	rattler      *rattler.Solver
	client       *fetch.Client
	virtual      []conda.VirtualPackage
	out          io.Writer
	total        tally
	spent        time.Duration
	rattlerSpent time.Duration
}

// tally counts what became of requests.
type tally struct {
	asked, identical, unsatisfiable int // unsatisfiable ones are among the identical ones
	meaning                         int // which differ because conda takes a MatchSpec otherwise than rattler, and nothing else
	crashed                         int // rattler crashed
	different                       int
}

func (t tally) String() string {
	return fmt.Sprintf("%d requests: %d identical (%d of them without a solution), %d where conda's meaning of a MatchSpec differs from rattler's, %d where rattler crashed, %d different",
		t.asked, t.identical, t.unsatisfiable, t.meaning, t.crashed, t.different)
}

func (t *tally) add(o tally) {
	t.asked += o.asked
	t.identical += o.identical
	t.unsatisfiable += o.unsatisfiable
	t.meaning += o.meaning
	t.crashed += o.crashed
	t.different += o.different
}

// one asks one request, and counts what became of it.
func (c *comparison) one(ctx context.Context, w *world, specs []string, favored []*conda.Record, t *tally) error {
	q := rattler.Question{Specs: specs, Favored: favored}
	for _, ch := range w.channels {
		q.Channels = append(q.Channels, ch.URL)
	}
	theirs, err := c.rattler.Solve(ctx, q)
	if err != nil {
		return err
	}
	c.rattlerSpent += theirs.Took
	begin := time.Now()
	ours, err := c.solve(ctx, w.index, w, specs, favored)
	c.spent += time.Since(begin)
	if err != nil {
		return fmt.Errorf("%v: %w", specs, err)
	}
	t.asked++
	switch {
	case theirs.Error == rattler.Crashed:
		t.crashed++
	case theirs.Error != "" && !strings.HasPrefix(theirs.Error, "Cannot solve the request"):
		return fmt.Errorf("rattler cannot answer %v: %s", specs, theirs.Error)
	case same(ours, theirs):
		t.identical++
		if theirs.Error != "" {
			t.unsatisfiable++
		}
	default:
		return c.explain(ctx, w, specs, favored, ours, theirs, t)
	}
	return nil
}

func same(a, b rattler.Answer) bool {
	return (a.Error == "") == (b.Error == "") && slices.Equal(a.Records, b.Records)
}

// explain finds out whether a difference comes from the meaning of MatchSpecs, and prints it where it does not.
func (c *comparison) explain(ctx context.Context, w *world, specs []string, favored []*conda.Record, ours, theirs rattler.Answer, t *tally) error {
	their := make([]string, len(specs))
	for i, s := range specs {
		their[i] = rattlersMeaning(s)
	}
	translated, err := c.solve(ctx, meaningIndex{w.index}, w, their, favored)
	if err == nil && same(translated, theirs) {
		t.meaning++
		return nil
	}
	t.different++
	_, err = fmt.Fprintf(c.out, "DIFFERENT in %s: %s\n", w.name, strings.Join(specs, " "))
	for _, r := range favored {
		_, _ = fmt.Fprintf(c.out, "  favored:   %s\n", r)
	}
	for _, s := range without(ours.Records, theirs.Records) {
		_, _ = fmt.Fprintf(c.out, "  ours only:   %s\n", s)
	}
	for _, s := range without(theirs.Records, ours.Records) {
		_, _ = fmt.Fprintf(c.out, "  theirs only: %s\n", s)
	}
	if (ours.Error == "") != (theirs.Error == "") {
		_, _ = fmt.Fprintf(c.out, "  ours:   %.600s\n  theirs: %.600s\n", ours.Error, theirs.Error)
	}
	return err
}

func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}

// solve is the answer of this library in rattler's terms.
func (c *comparison) solve(ctx context.Context, index solve.Index, w *world, specs []string, favored []*conda.Record) (rattler.Answer, error) {
	r := solve.Request{Virtual: c.virtual, Channels: w.channels, Favored: favored}
	for _, s := range specs {
		spec, err := matchspec.Parse(s)
		if err != nil {
			return rattler.Answer{}, err
		}
		r.Specs = append(r.Specs, spec)
	}
	s, err := solve.Solve(ctx, index, r)
	var unsat *solve.UnsatisfiableError
	if errors.As(err, &unsat) {
		return rattler.Answer{Error: unsat.Error()}, nil
	}
	if err != nil {
		return rattler.Answer{}, err
	}
	var out rattler.Answer
	for _, rec := range s.Records {
		out.Records = append(out.Records, rec.URL)
	}
	slices.Sort(out.Records)
	return out, nil
}
