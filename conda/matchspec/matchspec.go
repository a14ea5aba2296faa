// Package matchspec reads MatchSpecs, the language in which packages are asked for, and tests records against them (CEP 29).
package matchspec

import (
	"slices"
	"strings"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/version"
)

// Spec is a parsed MatchSpec: what each of its fields asks of a record. The zero value asks for nothing,
// and so does each field's. A Spec is not changed after it was made.
type Spec struct {
	Name        conda.PackageName  // in lower case; a glob such as "jupyter*" where IsExact is false; "" and "*" are any name
	Channel     string             // its name, or its URL without subdir and credentials; may be a glob, or several with commas between them
	Subdir      string             // e.g. "linux-64"
	Namespace   string             // what stood between the colons of "channel:namespace:name"; it asks for nothing
	Version     version.Constraint // which versions
	Build       Pattern            // the build string
	BuildNumber Number             // the build number

	MD5, SHA256   string // of the archive
	URL           string // of the archive, without credentials
	FileName      string // of the archive
	License       Pattern
	LicenseFamily Pattern
	Features      []string // exactly these, in alphabetical order; nil asks for nothing
	TrackFeatures []string // as Features

	// What only "v3" records know. Match does not look at these: a caller that does not honour them itself
	// must refuse a spec that has them.
	When   string   // CEP 43: the condition under which the dependency holds
	Extras []string // CEP 44: the optional groups of dependencies that are asked for as well
	Flags  []string // CEP 45: flags that the record must carry; may be globs
}

// IsExact reports whether the spec's name is that of one package, and neither a glob nor any name.
func (s Spec) IsExact() bool { return s.Name != "" && strings.IndexByte(string(s.Name), '*') < 0 }

// IsName reports whether the spec asks for nothing but a name: every record of that name matches.
func (s *Spec) IsName() bool {
	return s.Version.IsAny() && s.Build.IsAny() && s.BuildNumber.IsAny() && s.Channel == "" && s.Subdir == "" &&
		s.MD5 == "" && s.SHA256 == "" && s.FileName == "" && s.URL == "" && s.License.IsAny() && s.LicenseFamily.IsAny() &&
		s.Features == nil && s.TrackFeatures == nil
}

// Match reports whether the record is what the spec asks for.
func (s Spec) Match(r *conda.Record) bool {
	if s.Name != r.Name && (s.IsExact() || !matchGlob(string(s.Name), string(r.Name)) && s.Name != "") {
		return false
	}
	return s.Version.Match(r.Version) &&
		s.Build.Match(r.Build) &&
		s.BuildNumber.Match(r.BuildNumber) &&
		(s.Channel == "" || matchChannel(s.Channel, r.Channel)) &&
		(s.Subdir == "" || s.Subdir == string(r.Subdir)) &&
		s.matchRest(r)
}

// matchRest tests the fields that few specs have.
func (s *Spec) matchRest(r *conda.Record) bool {
	return (s.MD5 == "" || strings.EqualFold(s.MD5, r.MD5)) &&
		(s.SHA256 == "" || strings.EqualFold(s.SHA256, r.SHA256)) &&
		(s.FileName == "" || s.FileName == r.FileName) &&
		(s.URL == "" || sameURL(s.URL, r.URL)) &&
		s.License.Match(r.License) &&
		s.LicenseFamily.Match(r.LicenseFamily) &&
		(s.Features == nil || slices.Equal(s.Features, words(r.Features))) &&
		(s.TrackFeatures == nil || slices.Equal(s.TrackFeatures, words(strings.Join(r.TrackFeatures, " "))))
}

// words splits a list written with commas or spaces, and sorts it.
func words(s string) []string {
	w := strings.FieldsFunc(s, func(c rune) bool { return c == ',' || c == ' ' })
	slices.Sort(w)
	return slices.Compact(w)
}
