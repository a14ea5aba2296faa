package main

import (
	"slices"
	"strings"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/condarc"
	"github.com/datalayer/conda2docker/conda/matchspec"
	"github.com/datalayer/conda2docker/envspec"
)

// resolvePins leads the channels to which dependencies are pinned, as in team::tool, to where conda's configuration has them. Those that
// are not among the channels yet come after them, as with conda. A pin to several channels, such as one of custom_multichannels,
// means any of them.
func resolvePins(env envspec.Environment, channels []conda.Channel, c condarc.Config) (envspec.Environment, []conda.Channel, error) {
	env.Dependencies, channels = slices.Clone(env.Dependencies), slices.Clone(channels)
	for i, d := range env.Dependencies {
		ref := d.ChannelRef()
		if ref == "" || strings.Contains(ref, "*") {
			continue
		}
		pinned, err := c.Resolve(ref)
		if err != nil {
			return env, nil, inputError(d.Fault(err))
		}
		for _, p := range pinned {
			if !slices.ContainsFunc(channels, func(c conda.Channel) bool { return c.URL == p.URL }) {
				channels = append(channels, p)
			}
		}
		if !pinMatches(d.Spec, pinned) {
			urls := make([]string, len(pinned))
			for j, p := range pinned {
				urls[j] = p.URL
			}
			env.Dependencies[i].Spec.Channel = strings.Join(urls, ",")
		}
	}
	return env, channels, nil
}

// pinMatches reports whether the spec's channel is what these are called anyhow.
func pinMatches(s matchspec.Spec, channels []conda.Channel) bool {
	pin := matchspec.Spec{Channel: s.Channel}
	return !slices.ContainsFunc(channels, func(c conda.Channel) bool { return !pin.Match(&conda.Record{Channel: c}) })
}
