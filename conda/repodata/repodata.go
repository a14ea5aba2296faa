// Package repodata answers "the records of name X" from channels.
//
// A channel's subdir is read as shards (CEP 16), else as repodata.json.zst, repodata.json or repodata.json.bz2, and kept in a cache
// for as long as its server says. Only the places of its records are found at once; a record is read when its name is
// asked for.
package repodata

import (
	"context"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/fetch"
)

// Options say which index to open.
type Options struct {
	Channels []conda.Channel // in priority order
	Subdirs  []conda.Subdir  // the platform's first, then noarch
	Client   *fetch.Client   // default one without mirrors and credentials
	Dir      string          // where repodata is cached; default nowhere
	// Current asks the servers even where the cached copy has not expired.
	Current bool
	// Others are channels that are not searched, of which Elsewhere tells.
	Others []conda.Channel
	// Warn gets a line for each thing that was passed over. It is never called twice at once; nil means no one.
	Warn func(string)

	memory int // bytes of one repodata.json that may stay in memory; default memoryLimit
}

// Index is the records of some channels for some subdirs. It is safe for concurrent use.
type Index struct {
	parts   []*part
	mu      sync.Mutex // for warn
	warn    func(string)
	options Options
	passing bool // the cache was for opening only

	around around
}

// UnknownChannelError is a channel that has none of the subdirs.
type UnknownChannelError struct {
	Channel conda.Channel
	Subdirs []conda.Subdir
}

func (e *UnknownChannelError) Error() string {
	subdirs := make([]string, 0, len(e.Subdirs))
	for _, s := range e.Subdirs {
		subdirs = append(subdirs, string(s))
	}
	at := ""
	if e.Channel.Name != e.Channel.URL {
		at = " (" + e.Channel.URL + ")"
	}
	return fmt.Sprintf("unknown channel %s%s: it has no repodata.json in %s", e.Channel.Name, at, strings.Join(subdirs, " or "))
}

// Open gets the channels' repodata, or finds it in the cache. A channel that lacks some of the subdirs is fine; one
// that lacks all is an *UnknownChannelError.
func Open(ctx context.Context, o Options) (*Index, error) {
	if o.Client == nil {
		c, err := fetch.New(fetch.Options{})
		if err != nil {
			return nil, err
		}
		o.Client = c
	}
	if o.Warn == nil {
		o.Warn = func(string) {}
	}
	x := &Index{warn: o.Warn, passing: o.Dir == ""}
	if x.passing {
		dir, err := os.MkdirTemp("", "repodata-")
		if err != nil {
			return nil, fmt.Errorf("reading repodata: %w", err)
		}
		defer os.RemoveAll(dir)
		o.Dir = dir
	}
	o.Channels, o.Subdirs = unique(o.Channels), unique(o.Subdirs)
	x.options = o
	for _, c := range o.Channels {
		for _, s := range o.Subdirs {
			x.parts = append(x.parts, x.newPart(o, conda.Place{Channel: c, Subdir: s}))
		}
	}
	if err := openAll(ctx, x.parts); err != nil {
		return nil, err
	}
	if err := x.check(o); err != nil {
		return nil, err
	}
	x.tellFormats()
	return x, nil
}

func (x *Index) newPart(o Options, at conda.Place) *part {
	return &part{Place: at, entry: newEntry(o, at.Channel.SubdirURL(at.Subdir), x.passing)}
}

// openLimit is how many parts are opened at once.
func openLimit() int { return max(4, runtime.GOMAXPROCS(0)) }

// openAll opens parts, several at a time. Of several errors it returns the one of the first part, so that it is the same each
// time.
func openAll(ctx context.Context, parts []*part) error {
	return inOrder(openLimit(), len(parts), func(i int) error { return parts[i].open(ctx) })
}

// inOrder calls f with 0 to n-1, some at a time, and returns the first error in that order.
func inOrder(limit, n int, f func(int) error) error {
	var g errgroup.Group
	g.SetLimit(limit)
	errs := make([]error, n)
	for i := range n {
		g.Go(func() error {
			errs[i] = f(i)
			return nil
		})
	}
	_ = g.Wait() // the errors are in errs
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// check tells of channels that are not there at all.
func (x *Index) check(o Options) error {
	for _, c := range o.Channels {
		found := len(o.Subdirs) == 0
		for _, p := range x.parts {
			if p.Channel == c && p.current() != nil {
				found = true
			}
		}
		if !found {
			return &UnknownChannelError{Channel: c, Subdirs: o.Subdirs}
		}
	}
	return nil
}

// tellFormats warns of repodata that is newer than what is known: there may be packages in it that are not seen.
func (x *Index) tellFormats() {
	for _, p := range x.parts {
		if s := p.current(); s != nil && s.version() > knownFormat {
			x.warning(fmt.Sprintf("%s: repodata_version %d is newer than what is known (%d): it is read as far as that goes, and packages may be missing",
				p, s.version(), knownFormat))
		}
	}
}

func (x *Index) warning(text string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.warn(text)
}

// prefetchLimit is how many shards are asked for at once.
const prefetchLimit = 50

// Prefetch reads the records of some names, many at a time where they have to be fetched.
func (x *Index) Prefetch(ctx context.Context, names []conda.PackageName) error {
	type want struct {
		from *part
		name conda.PackageName
	}
	var all []want
	limit := runtime.GOMAXPROCS(0)
	for _, n := range names {
		for _, p := range x.parts {
			s := p.current()
			if s == nil || !s.has(string(n)) {
				continue
			}
			all = append(all, want{p, n})
			if _, ok := s.(*shards); ok {
				limit = prefetchLimit
			}
		}
	}
	return inOrder(limit, len(all), func(i int) error {
		_, err := all[i].from.load(ctx, all[i].name)
		return err
	})
}

// Records are the records of a name, in the order of channels, of subdirs, and of the archives' file names, as far as repodata is
// sorted by them. A .conda has the place of the .tar.bz2 that is otherwise the same. An unknown name has none. Records that do not parse are left out,
// and counted in a warning.
func (x *Index) Records(ctx context.Context, name conda.PackageName) ([]*conda.Record, error) {
	var all []*conda.Record
	for _, p := range x.parts {
		g, err := p.load(ctx, name)
		if err != nil {
			return nil, err
		}
		x.tell(p, name, g)
		all = append(all, g.records...)
	}
	return all, nil
}

// tell warns of what was skipped, once, and when it is asked for: so the warnings have an order.
func (x *Index) tell(p *part, name conda.PackageName, g *group) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.told && g.skipped > 0 {
		x.warning(fmt.Sprintf("%s: %d of the records of %s do not parse and were left out, such as %s", p, g.skipped, name, g.example))
	}
	g.told = true
}

// Names are the names that are listed, sorted.
func (x *Index) Names(_ context.Context) ([]conda.PackageName, error) {
	all := map[conda.PackageName]bool{}
	for _, p := range x.parts {
		if s := p.current(); s != nil {
			for _, n := range s.allNames() {
				all[conda.PackageName(n)] = true
			}
		}
	}
	delete(all, "")
	return slices.Sorted(maps.Keys(all)), nil
}

func unique[T comparable](items []T) []T {
	var all []T
	for _, i := range items {
		if !slices.Contains(all, i) {
			all = append(all, i)
		}
	}
	return all
}
