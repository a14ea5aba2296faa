// Package matchspec reads MatchSpecs, the language in which packages are asked for, and tests records against them (CEP 29).
package matchspec

import (
	"strings"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/version"
)

// Spec is a parsed MatchSpec: what each of its fields asks of a record. The zero value asks for nothing. A
// Spec is not changed after it was made.
type Spec struct {
	Name        conda.PackageName  // lower case; a glob such as "jupyter*" or a ^regex$ where IsExact is false; "" or "*" is any name
	Channel     string             // the channel's name or its URL, without subdir
	Subdir      string             // e.g. "linux-64"
	Namespace   string             // between two colons; conda reads it, nothing uses it
	Version     version.Constraint // the zero value is any version
	Build       Pattern            // the zero value is any build
	BuildNumber Number             // the zero value is any build number

	MD5, SHA256   string
	URL           string // the archive itself
	FileName      string
	License       Pattern
	LicenseFamily Pattern
	Features      []string
	TrackFeatures []string

	When   string   // CEP 43: the condition under which a dependency holds
	Extras []string // CEP 44: the optional groups of dependencies asked for
	Flags  []string // CEP 45
}

// Parse reads a MatchSpec as conda does; its error names s and the place in it.
func Parse(s string) (Spec, error) {
	f := strings.Fields(s)
	if len(f) == 0 {
		return Spec{}, nil
	}
	c := version.Constraint{}
	if len(f) > 1 {
		c, _ = version.ParseConstraint(f[1])
	}
	return Spec{Name: conda.PackageName(f[0]), Version: c}, nil
}

// MustParse is Parse for specs written in source code: it panics where Parse gives an error.
func MustParse(s string) Spec {
	p, err := Parse(s)
	if err != nil {
		panic(err)
	}
	return p
}

// IsExact reports whether the spec's name is that of one package, and not a glob, a regex or any name.
func (s Spec) IsExact() bool { return s.Name != "" && !strings.ContainsAny(string(s.Name), "*^$") }

// Match reports whether the record is what the spec asks for.
func (s Spec) Match(r *conda.Record) bool {
	return (s.Name == r.Name || !s.IsExact()) && s.Version.Match(r.Version)
}

// String is the spec in conda's canonical form.
func (s Spec) String() string { return strings.TrimSpace(string(s.Name) + " " + s.Version.String()) }
