package repodata

import (
	"context"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/datalayer/conda2docker/conda"
)

// platforms are the subdirs that Elsewhere looks at.
var platforms = []conda.Subdir{
	conda.Linux64, conda.LinuxAarch64, "linux-ppc64le", "osx-64", "osx-arm64", "win-64", "win-arm64", conda.NoArchSubdir,
}

// elsewhereLimit bounds how long Elsewhere asks servers for what is not in the cache, in all its calls together.
const elsewhereLimit = 4 * time.Second

// around is what is not searched.
type around struct {
	mu     sync.Mutex
	opened bool
	parts  []*part
	spent  time.Duration // of elsewhereLimit
}

// Elsewhere says where a name exists that is not searched: in other subdirs of the channels, and in Options.Others. Where wanted is
// not nil, there must be a record of the name that it accepts. It is meant for the explanation of a failure, so what cannot be had
// within a few seconds is left out.
func (x *Index) Elsewhere(ctx context.Context, name conda.PackageName, wanted func(*conda.Record) bool) ([]conda.Place, error) {
	x.around.mu.Lock()
	defer x.around.mu.Unlock()
	start := time.Now()
	defer func() { x.around.spent += time.Since(start) }()
	limited, cancel := context.WithTimeout(ctx, elsewhereLimit-x.around.spent)
	defer cancel()
	if !x.around.opened {
		x.around.opened = true
		x.lookAround(limited)
	}
	var having []*part
	for _, p := range x.around.parts {
		if s := p.current(); s != nil && s.has(string(name)) {
			having = append(having, p)
		}
	}
	found := make([]bool, len(having))
	_ = inOrder(openLimit(), len(having), func(i int) error { // what cannot be had is not told of
		found[i] = wanted == nil
		if !found[i] {
			g, err := having[i].load(limited, name)
			found[i] = err == nil && slices.ContainsFunc(g.records, wanted)
		}
		return nil
	})
	var places []conda.Place
	for i, p := range having {
		if found[i] {
			places = append(places, p.Place)
		}
	}
	return places, ctx.Err()
}

// lookAround opens all that is not searched.
func (x *Index) lookAround(ctx context.Context) {
	o := x.options
	if x.passing {
		dir, err := os.MkdirTemp("", "repodata-")
		if err != nil {
			return
		}
		defer os.RemoveAll(dir)
		o.Dir = dir
	}
	add := func(c conda.Channel, s conda.Subdir) {
		x.around.parts = append(x.around.parts, x.newPart(o, conda.Place{Channel: c, Subdir: s}))
	}
	for _, c := range o.Channels {
		for _, s := range platforms {
			if !slices.Contains(o.Subdirs, s) {
				add(c, s)
			}
		}
	}
	for _, c := range unique(o.Others) {
		if slices.ContainsFunc(o.Channels, func(s conda.Channel) bool { return s.URL == c.URL }) {
			continue
		}
		for _, s := range o.Subdirs {
			add(c, s)
		}
	}
	_ = openAll(ctx, x.around.parts) // what cannot be had is not told of
}
