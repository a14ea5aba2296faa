// Command oracle compares the solver, live, with rattler, which it runs in Node: on recorded requests and on random ones, on real
// channels and on generated ones. It fails where Node or rattler is missing, and where answers differ.
//
// What rattler's binding for Node cannot be asked is not compared here but held by tests of the package solve: flexible and disabled
// channel priority, records that are locked, constraints of a request, and specs with a channel, on which it crashes. The records that
// it takes as a fourth parameter are favored ones.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/condatest"
	"github.com/datalayer/conda2docker/conda/fetch"
	"github.com/datalayer/conda2docker/conda/solve/oracle/rattler"
)

func main() {
	var o options
	flag.IntVar(&o.n, "n", 1000, "how many random requests")
	flag.Uint64Var(&o.seed, "seed", 1, "of the random requests")
	flag.StringVar(&o.cache, "cache", os.Getenv("CONDA2DOCKER_CACHE"), "the folder below which rattler is installed")
	flag.StringVar(&o.corpus, "corpus", os.Getenv(condatest.CorpusVariable), "the folder of real channels; without it all are generated")
	flag.BoolVar(&o.recorded, "recorded", true, "ask the recorded requests as well")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: oracle [flags] [MATCHSPEC...]  (with MatchSpecs, only this request on the corpus' conda-forge)")
		flag.PrintDefaults()
	}
	flag.Parse()
	o.specs = flag.Args()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "oracle:", err)
		os.Exit(1)
	}
}

type options struct {
	n             int
	seed          uint64
	recorded      bool
	specs         []string // a request to ask instead of all others
	cache, corpus string
}

func run(ctx context.Context, o options) error {
	if o.cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return err
		}
		o.cache = filepath.Join(dir, "conda2docker")
	}
	served, err := serve(o.corpus)
	if err != nil {
		return err
	}
	client, err := fetch.New(fetch.Options{Mirrors: map[string][]string{conda.Alias: {served.url + "/"}}})
	if err != nil {
		return err
	}
	virtual, err := rattler.Target()
	if err != nil {
		return err
	}
	r, err := rattler.New(ctx, rattler.Options{Dir: filepath.Join(o.cache, "oracle"), Channels: served.url, Virtual: virtual})
	if err != nil {
		return err
	}
	defer r.Close()
	c := &comparison{rattler: r, client: client, virtual: virtual, out: os.Stdout}
	if err := c.all(ctx, served, o); err != nil {
		return err
	}
	fmt.Printf("all: %s\n", c.total)
	fmt.Printf("time of a request, repodata read beforehand here and in each request there: %.1f ms here, %.1f ms in rattler\n",
		ms(c.spent, c.total.asked), ms(c.rattlerSpent, c.total.asked))
	if c.total.different > 0 {
		return fmt.Errorf("%d answers differ and no rule says why", c.total.different)
	}
	return nil
}

func ms(d time.Duration, n int) float64 { return d.Seconds() * 1000 / float64(max(n, 1)) }

// all runs every kind of request. Of the random ones, half are on one channel and a quarter on two, where there are real ones; the
// rest are on generated channels.
func (c *comparison) all(ctx context.Context, served *channels, o options) error {
	if len(o.specs) > 0 {
		w, err := openWorld(ctx, c.client, "conda-forge")
		if err != nil {
			return err
		}
		return c.one(ctx, w, o.specs, nil, &c.total)
	}
	real := 0
	if o.corpus != "" {
		real = o.n * 3 / 4
		if o.recorded {
			if err := c.recorded(ctx, o); err != nil {
				return err
			}
		}
		for i, names := range [][]string{{"conda-forge"}, {"conda-forge", "robostack-staging"}, {"robostack-jazzy", "conda-forge"}, {"pytorch", "conda-forge"}} {
			n := real * 2 / 3
			if i > 0 {
				n = (real - real*2/3 + 2) / 3
			}
			if err := c.random(ctx, o, n, names); err != nil {
				return err
			}
		}
	}
	for i, kind := range []string{"one generated channel", "two generated channels", "a generated channel, with favored records"} {
		n := (o.n - real + 2) / 3
		if i == 2 {
			n = max(n, 100)
		}
		if err := c.generated(ctx, served, o, n, kind, i); err != nil {
			return err
		}
	}
	return nil
}

func (c *comparison) report(what string, t tally) {
	fmt.Printf("%s: %s\n", what, t)
	c.total.add(t)
}

// recorded asks what rattler was asked when its answers were recorded.
func (c *comparison) recorded(ctx context.Context, o options) error {
	w, err := openWorld(ctx, c.client, "conda-forge")
	if err != nil {
		return err
	}
	var t tally
	requests, err := rattler.Recorded(o.corpus)
	if err != nil {
		return err
	}
	for _, specs := range requests {
		if err := c.one(ctx, w, specs, nil, &t); err != nil {
			return err
		}
	}
	c.report("recorded requests on conda-forge", t)
	return nil
}

func (c *comparison) random(ctx context.Context, o options, n int, names []string) error {
	w, err := openWorld(ctx, c.client, names...)
	if err != nil {
		return err
	}
	var t tally
	r := rand.New(rand.NewPCG(o.seed, hash(w.name))) //nolint:gosec // the same every time
	for t.asked < n {
		specs, err := w.specs(ctx, r, 8)
		if err != nil {
			return err
		}
		if err := c.one(ctx, w, specs, nil, &t); err != nil {
			return err
		}
	}
	c.report(w.name, t)
	return nil
}

// generated asks four requests of each of many small channels.
func (c *comparison) generated(ctx context.Context, served *channels, o options, n int, kind string, number int) error {
	var t tally
	r := rand.New(rand.NewPCG(o.seed, uint64(number))) //nolint:gosec // the same every time
	for i := 0; t.asked < n; i++ {
		names := []string{fmt.Sprintf("generated-%d-%d-a", number, i), fmt.Sprintf("generated-%d-%d-b", number, i)}[:1+number%2]
		for _, name := range names {
			if err := generate(served, r, name, number < 2); err != nil {
				return err
			}
		}
		w, err := openWorld(ctx, c.client, names...)
		if err != nil {
			return err
		}
		for range 4 {
			specs, err := w.specs(ctx, r, 4)
			if err != nil {
				return err
			}
			var keep []*conda.Record
			if number == 2 {
				if keep, err = w.someRecords(ctx, r); err != nil {
					return err
				}
			}
			if err := c.one(ctx, w, specs, keep, &t); err != nil {
				return err
			}
		}
	}
	c.report(kind, t)
	return nil
}

// someRecords is a random record of some of the names.
func (w *world) someRecords(ctx context.Context, r *rand.Rand) ([]*conda.Record, error) {
	var out []*conda.Record
	for _, n := range w.names {
		records, err := w.index.Records(ctx, n)
		if err != nil {
			return nil, err
		}
		if len(records) > 0 && r.IntN(2) == 0 {
			out = append(out, records[r.IntN(len(records))])
		}
	}
	return out, nil
}
