package envspec

import (
	"slices"
	"strings"

	"github.com/datalayer/conda2docker/conda"
)

// RequestInput is what a lock answers to besides the environment files.
type RequestInput struct {
	Channels []conda.Channel // those that are asked, in order: the environment's and the configured defaults
	Subdir   conda.Subdir
	Priority string // the channel priority
}

// Request is everything that a lock answers to, in words: while it stays the same, a lock made then is not stale. What the system
// has that packages may expect is not part of it: a lock says for itself which systems it is for.
//
// It is a list of "KIND VALUE": "subdir", "priority", "channel" (URLs without credentials) in order, then, each sorted and without
// repetition, "spec" (the MatchSpecs' canonical form), "pip" (requirements, hashes included) and "constraint" (pip's), then "option"
// (those for pip) in order. Variables are not replaced in it, and credentials are masked: a new token does not make a lock stale. The order of the
// dependencies, comments, names, categories and environment variables are not part of it.
func (e Environment) Request(in RequestInput) []string {
	var out []string
	add := func(kind string, values ...string) {
		for _, v := range values {
			out = append(out, kind+" "+v)
		}
	}
	var specs []string
	for _, d := range e.Dependencies {
		specs = append(specs, redact(d.Spec.String()))
	}
	add("subdir", string(in.Subdir))
	add("priority", in.Priority)
	for _, c := range in.Channels {
		add("channel", redact(c.URL))
	}
	add("spec", sorted(specs)...)
	add("pip", requested(e.Pip)...)
	add("constraint", requested(e.PipConstraints)...)
	for _, o := range e.PipOptions {
		add("option", o.String())
	}
	return out
}

// requested are requirements as a request has them.
func requested(requirements []Requirement) []string {
	out := make([]string, len(requirements))
	for i, r := range requirements {
		out[i] = strings.Join(append([]string{r.String()}, sorted(r.Hashes)...), " ")
	}
	return sorted(out)
}

// sorted is the values in order, each once.
func sorted(values []string) []string {
	values = slices.Clone(values)
	slices.Sort(values)
	return slices.Compact(values)
}
