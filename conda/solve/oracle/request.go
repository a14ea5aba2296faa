package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/fetch"
	"github.com/datalayer/conda2docker/conda/repodata"
	"github.com/datalayer/conda2docker/conda/version"
)

// world is some channels, as both solvers read them.
type world struct {
	name     string
	channels []conda.Channel
	index    *repodata.Index
	names    []conda.PackageName
}

// platforms are the subdirs that are searched, in this order.
var platforms = []conda.Subdir{conda.Linux64, conda.NoArchSubdir}

func openWorld(ctx context.Context, client *fetch.Client, names ...string) (*world, error) {
	w := &world{name: strings.Join(names, " + ")}
	for _, n := range names {
		w.channels = append(w.channels, conda.Channel{Name: n, URL: conda.Alias + n})
	}
	var err error
	if w.index, err = repodata.Open(ctx, repodata.Options{Channels: w.channels, Subdirs: platforms, Client: client}); err != nil {
		return nil, err
	}
	w.names, err = w.index.Names(ctx)
	return w, err
}

// specs makes up to eight random MatchSpecs about names of the world.
func (w *world) specs(ctx context.Context, r *rand.Rand, most int) ([]string, error) {
	var out []string
	if w.has("python") && r.IntN(2) == 0 {
		out = append(out, fmt.Sprintf("python=3.%d", 8+r.IntN(7)))
	}
	for range 1 + r.IntN(most) {
		n := w.names[r.IntN(len(w.names))]
		if n.IsVirtual() {
			continue
		}
		records, err := w.index.Records(ctx, n)
		if err != nil {
			return nil, err
		}
		if len(records) > 0 {
			out = append(out, w.spec(r, records))
		}
	}
	return out, nil
}

func (w *world) has(n conda.PackageName) bool {
	_, ok := slices.BinarySearch(w.names, n)
	return ok
}

// spec is a random MatchSpec that at least has something to do with the records of a name.
func (w *world) spec(r *rand.Rand, records []*conda.Record) string {
	rec := records[r.IntN(len(records))]
	name, v := string(rec.Name), rec.Version.String()
	parts := strings.Split(v, ".")
	short := strings.Join(parts[:1+r.IntN(len(parts))], ".")
	switch r.IntN(14) {
	case 0, 1, 2, 3:
		return name
	case 4, 5:
		return name + ">=" + v
	case 6:
		return name + "<=" + v
	case 7:
		return name + "<" + v
	case 8:
		return name + "==" + v
	case 9:
		return name + "=" + short
	case 10:
		return name + "!=" + v
	case 11:
		return name + "=" + v + "=" + rec.Build
	case 12:
		return name + "=*=*" + rec.Build[max(0, len(rec.Build)-2):]
	default:
		return name + ">" + v // which nothing may meet
	}
}

// generate makes a small random channel. Each subdir has records of the same names, as real channels have while a package
// moves from one to the other.
func generate(c *channels, r *rand.Rand, name string, constrains bool) error {
	count := 5 + r.IntN(8)
	versions := []string{"0.9", "1.0", "1.0.1", "1.1", "1.2.0", "2.0", "2.0.1", "3", "10.1"}
	ask := func() string {
		n := fmt.Sprintf("p%d", r.IntN(count))
		v := versions[r.IntN(len(versions))]
		return n + []string{"", "", " >=" + v, " >=" + v, " <" + v, " " + v + ".*", " >=" + v + ",<3", " !=" + v, " ==" + v}[r.IntN(9)]
	}
	for _, subdir := range platforms {
		var records []*conda.Record
		for i := range count {
			for j := range r.IntN(9) {
				e := &conda.Record{
					Name: conda.PackageName(fmt.Sprintf("p%d", i)), Version: version.MustParse(versions[r.IntN(len(versions))]),
					Build:       fmt.Sprintf("h%x_%d", r.IntN(1<<16), j),
					BuildNumber: int64(r.IntN(3)), Timestamp: int64(r.IntN(5)) * 1_700_000_000_000,
				}
				if subdir == conda.NoArchSubdir {
					e.NoArch = conda.NoArchGeneric
				}
				if r.IntN(10) == 0 {
					e.TrackFeatures = []string{"feature", "other"}[:1+r.IntN(2)]
				}
				for range r.IntN(4) {
					e.Depends = append(e.Depends, ask())
				}
				if r.IntN(6) == 0 {
					e.Depends = append(e.Depends, []string{"__glibc >=2.17", "__unix", "__linux", "__cuda", "__glibc >=2.40", "absent"}[r.IntN(6)])
				}
				if constrains && r.IntN(4) == 0 {
					e.Constrains = append(e.Constrains, ask())
				}
				records = append(records, e)
			}
		}
		if err := c.add(name, subdir, records); err != nil {
			return err
		}
	}
	return nil
}
