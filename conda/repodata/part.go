package repodata

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/datalayer/conda2docker/conda"
)

// source is one subdir's repodata, in whatever form.
type source interface {
	// read reads the records of the reader's name. An errDamaged or errStale says that the source has to be opened anew.
	read(ctx context.Context, r *reader) error
	has(name string) bool
	allNames() []string // in any order
	baseURL() string    // of the folder with the archives
	removed(fileName string) bool
	version() uint32 // repodata_version, 0 where it is not said
}

// part is one subdir of one channel.
type part struct {
	conda.Place
	entry entry

	mu     sync.Mutex
	source source // nil where the channel does not have the subdir
	groups map[conda.PackageName]*group
}

// group is the records of one name, which are read once.
type group struct {
	mu      sync.Mutex
	read    bool
	told    bool // of what was skipped
	skipped int
	example string // of what was skipped
	records []*conda.Record
}

// open gets the part's repodata.
func (p *part) open(ctx context.Context) error {
	s, err := p.entry.open(ctx)
	if err != nil {
		return fmt.Errorf("channel %s: repodata of %s: %w", p.Channel.Name, p.Subdir, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.source = s
	return nil
}

func (p *part) current() source {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.source
}

func (p *part) group(name conda.PackageName) *group {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.groups == nil {
		p.groups = map[conda.PackageName]*group{}
	}
	g := p.groups[name]
	if g == nil {
		g = &group{}
		p.groups[name] = g
	}
	return g
}

// load reads the records of a name, if that was not done yet.
func (p *part) load(ctx context.Context, name conda.PackageName) (*group, error) {
	s := p.current()
	if s == nil || !s.has(string(name)) {
		return &group{told: true}, nil
	}
	g := p.group(name)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.read {
		return g, nil
	}
	err := g.load(ctx, p, s, name)
	if errors.Is(err, errDamaged) || errors.Is(err, errStale) {
		if err = p.reopen(ctx, s, err); err == nil {
			err = g.load(ctx, p, p.current(), name)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("channel %s: repodata of %s: %w", p.Channel.Name, p.Subdir, err)
	}
	return g, nil
}

// load reads the records from a source.
func (g *group) load(ctx context.Context, p *part, s source, name conda.PackageName) error {
	g.skipped = 0
	r := &reader{
		origin: origin{channel: p.Channel, subdir: p.Subdir, base: s.baseURL()}, name: name, removed: s.removed,
		skip: func(fileName string, err error) {
			if g.skipped++; g.skipped == 1 {
				g.example = fmt.Sprintf("%s: %v", fileName, err)
			}
		},
	}
	if err := s.read(ctx, r); err != nil {
		return err
	}
	g.read, g.records = true, r.inOrder()
	return nil
}

// reopen gets the repodata anew of which the cache had a form that is damaged or stale, once for all who find that.
func (p *part) reopen(ctx context.Context, old source, why error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.source != old {
		return nil
	}
	e := p.entry
	if e.passing {
		return why // it was got just now, and the place where it was is gone
	}
	if errors.Is(why, errStale) {
		e.current = true
	} else {
		e.discardPack()
	}
	s, err := e.open(ctx)
	if err != nil {
		return err
	}
	if s == nil {
		return why
	}
	p.source = s
	return nil
}
