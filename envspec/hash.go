package envspec

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/datalayer/conda2docker/conda"
)

// HashInput is what a lock depends on besides the environment files.
type HashInput struct {
	Channels []conda.Channel // those that are asked, in order: the environment's and the configured defaults
	Subdir   conda.Subdir
	Virtual  []conda.VirtualPackage
	Priority string // the channel priority
}

// Hash is a hash of everything that a lock depends on: while it stays the same, a lock made then is not stale.
//
// It is the lower-case hex SHA-256 of lines "KIND VALUE\n": "format 1", "subdir", "priority", "channel" (URLs
// without credentials) in order, then, each sorted and without repetition, "virtual" (name=version=build),
// "spec" (the MatchSpecs' canonical form) and "pip" (requirements, hashes included), then "option" (those for
// pip) in order. Variables are not replaced in it: a new token does not make a lock stale. The order of the
// dependencies, comments, names, categories and environment variables are not part of it.
func (e Environment) Hash(in HashInput) string {
	var b strings.Builder
	add := func(kind string, values ...string) {
		for _, v := range values {
			fmt.Fprintf(&b, "%s %s\n", kind, v)
		}
	}
	var virtual, specs, pip []string
	for _, v := range in.Virtual {
		virtual = append(virtual, v.String())
	}
	for _, d := range e.Dependencies {
		specs = append(specs, redact(d.Spec.String()))
	}
	for _, r := range e.Pip {
		pip = append(pip, strings.Join(append([]string{r.String()}, sorted(r.Hashes)...), " "))
	}
	add("format", "1")
	add("subdir", string(in.Subdir))
	add("priority", in.Priority)
	for _, c := range in.Channels {
		add("channel", redact(c.URL))
	}
	add("virtual", sorted(virtual)...)
	add("spec", sorted(specs)...)
	add("pip", sorted(pip)...)
	for _, o := range e.PipOptions {
		add("option", o.String())
	}
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:])
}

// sorted is the values in order, each once.
func sorted(values []string) []string {
	values = slices.Clone(values)
	slices.Sort(values)
	return slices.Compact(values)
}
