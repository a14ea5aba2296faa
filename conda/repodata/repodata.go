// Package repodata answers "the records of name X" from channels.
//
// A channel's subdir is read as repodata.json.zst, else repodata.json, else repodata.json.bz2, and kept in a cache for
// as long as its server says. Only the places of its records are found at once; a record is read when its name is
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
	"time"

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
	// Warn gets a line for each thing that was passed over. It is never called twice at once; nil means no one.
	Warn func(string)
}

// Index is the records of some channels for some subdirs. It is safe for concurrent use.
type Index struct {
	parts []*part
	mu    sync.Mutex
	warn  func(string)
}

// Part says where the records of one subdir of one channel come from.
type Part struct {
	Channel conda.Channel
	Subdir  conda.Subdir
	Records int  // that are listed, twins and removed ones included
	Missing bool // the channel does not have the subdir
	Cached  bool // the cache had a copy that was current, or asked for by offline mode
	Checked time.Time
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
	if o.Dir == "" {
		dir, err := os.MkdirTemp("", "repodata-")
		if err != nil {
			return nil, fmt.Errorf("reading repodata: %w", err)
		}
		defer os.RemoveAll(dir)
		o.Dir = dir
	}
	o.Channels, o.Subdirs = unique(o.Channels), unique(o.Subdirs)
	x := &Index{warn: o.Warn}
	for _, c := range o.Channels {
		for _, s := range o.Subdirs {
			x.parts = append(x.parts, &part{channel: c, subdir: s})
		}
	}
	if err := x.load(ctx, o); err != nil {
		return nil, err
	}
	if err := x.check(o); err != nil {
		return nil, err
	}
	return x, nil
}

// load loads all parts, several at a time. Of several errors it returns the one of the first part, so that it is the
// same each time.
func (x *Index) load(ctx context.Context, o Options) error {
	var g errgroup.Group
	g.SetLimit(max(4, runtime.GOMAXPROCS(0)))
	errs := make([]error, len(x.parts))
	for i, p := range x.parts {
		g.Go(func() error {
			errs[i] = p.load(ctx, o)
			return nil
		})
	}
	_ = g.Wait() // the errors are in errs
	for i, p := range x.parts {
		if errs[i] != nil {
			return fmt.Errorf("channel %s: repodata of %s: %w", p.channel.Name, p.subdir, errs[i])
		}
	}
	return nil
}

// check tells of channels that are not there at all.
func (x *Index) check(o Options) error {
	for _, c := range o.Channels {
		found := len(o.Subdirs) == 0
		for _, p := range x.parts {
			if p.channel == c && p.document != nil {
				found = true
			}
		}
		if !found {
			return &UnknownChannelError{Channel: c, Subdirs: o.Subdirs}
		}
	}
	return nil
}

func (x *Index) warning(text string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.warn(text)
}

// Records are the records of a name, in the order of channels, of subdirs, and of repodata, where a .conda has the
// place of the .tar.bz2 that is otherwise the same. An unknown name has none. Records that do not parse are left out,
// and counted in a warning.
func (x *Index) Records(_ context.Context, name conda.PackageName) ([]*conda.Record, error) {
	var all []*conda.Record
	for _, p := range x.parts {
		all = append(all, p.records(name, x.warning)...)
	}
	return all, nil
}

// Names are the names that are listed, sorted.
func (x *Index) Names(_ context.Context) ([]conda.PackageName, error) {
	all := map[conda.PackageName]bool{}
	for _, p := range x.parts {
		if p.document != nil {
			for _, n := range p.document.names() {
				all[conda.PackageName(n)] = true
			}
		}
	}
	delete(all, "")
	return slices.Sorted(maps.Keys(all)), nil
}

// Parts says what the index is made of, in the order of channels and subdirs.
func (x *Index) Parts() []Part {
	parts := make([]Part, 0, len(x.parts))
	for _, p := range x.parts {
		of := Part{Channel: p.channel, Subdir: p.subdir, Missing: p.document == nil, Cached: p.cached, Checked: p.checked}
		if p.document != nil {
			of.Records = p.document.records
		}
		parts = append(parts, of)
	}
	return parts
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

// part is one subdir of one channel.
type part struct {
	channel  conda.Channel
	subdir   conda.Subdir
	document *document // nil where the channel does not have the subdir
	cached   bool
	checked  time.Time

	mu   sync.Mutex
	read map[conda.PackageName][]*conda.Record
}

// String names the part in messages.
func (p *part) String() string { return p.channel.Name + "/" + string(p.subdir) }

// load gets and scans the part's repodata.
func (p *part) load(ctx context.Context, o Options) error {
	e := entry{client: o.Client, url: p.channel.SubdirURL(p.subdir), dir: o.Dir, current: o.Current}
	return e.open(ctx, func(text string, s state, cached bool) (err error) {
		p.checked, p.cached = s.Checked, cached
		if s.Missing {
			return nil
		}
		p.document, err = scanDocument(text, p.channel, p.subdir)
		return err
	})
}

// records are the part's records of a name, which are read once.
func (p *part) records(name conda.PackageName, warn func(string)) []*conda.Record {
	if p.document == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if records, ok := p.read[name]; ok {
		return records
	}
	skipped, example := 0, ""
	records := p.document.read(name, func(fileName string, err error) {
		if skipped++; skipped == 1 {
			example = fmt.Sprintf("%s: %v", fileName, err)
		}
	})
	if skipped > 0 {
		warn(fmt.Sprintf("%s: %d of the records of %s do not parse and were left out, such as %s", p, skipped, name, example))
	}
	if p.read == nil {
		p.read = map[conda.PackageName][]*conda.Record{}
	}
	p.read[name] = records
	return records
}
