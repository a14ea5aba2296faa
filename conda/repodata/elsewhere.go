package repodata

import (
	"context"
	"os"
	"slices"
	"time"

	"github.com/datalayer/conda2docker/conda"
)

// platforms are the subdirs that Elsewhere looks at.
var platforms = []conda.Subdir{
	conda.Linux64, conda.LinuxAarch64, "linux-ppc64le", "osx-64", "osx-arm64", "win-64", "win-arm64", conda.NoArchSubdir,
}

// elsewhereLimit bounds how long Elsewhere asks servers for what is not in the cache.
const elsewhereLimit = 4 * time.Second

// Elsewhere says where a name exists that is not searched: in other subdirs of the channels, and in Options.Others. It is meant
// for the explanation of a failure, so what cannot be had within a few seconds is left out.
func (x *Index) Elsewhere(ctx context.Context, name conda.PackageName) ([]conda.Place, error) {
	x.once.Do(func() { x.lookAround(ctx) })
	var places []conda.Place
	for _, p := range x.elsewhere {
		if s := p.current(); s != nil && s.has(string(name)) {
			places = append(places, p.Place)
		}
	}
	return places, ctx.Err()
}

// lookAround opens all that is not searched.
func (x *Index) lookAround(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, elsewhereLimit)
	defer cancel()
	if x.passing {
		dir, err := os.MkdirTemp("", "repodata-")
		if err != nil {
			return
		}
		defer os.RemoveAll(dir)
		x.options.Dir = dir
	}
	for _, c := range x.options.Channels {
		for _, s := range platforms {
			if !slices.Contains(x.options.Subdirs, s) {
				x.elsewhere = append(x.elsewhere, x.newPart(conda.Place{Channel: c, Subdir: s}))
			}
		}
	}
	for _, c := range unique(x.options.Others) {
		if slices.ContainsFunc(x.options.Channels, func(s conda.Channel) bool { return s.URL == c.URL }) {
			continue
		}
		for _, s := range x.options.Subdirs {
			x.elsewhere = append(x.elsewhere, x.newPart(conda.Place{Channel: c, Subdir: s}))
		}
	}
	_ = openAll(ctx, x.elsewhere) // what cannot be had is not told of
}
