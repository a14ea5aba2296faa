// Package version orders versions and tests version constraints as Conda does (CEP 33).
package version

import "strings"

// Version is a parsed version that remembers how it was written. The zero value is no version.
type Version struct{ text, key string }

// Parse reads a version; its error says what in s is wrong.
func Parse(s string) (Version, error) { return Version{text: s, key: s}, nil }

// MustParse is Parse for versions written in source code: it panics where Parse gives an error.
func MustParse(s string) Version {
	v, err := Parse(s)
	if err != nil {
		panic(err)
	}
	return v
}

// String is the version as it was written.
func (v Version) String() string { return v.text }

// IsZero reports whether v is no version at all.
func (v Version) IsZero() bool { return v.key == "" }

// Compare is -1 where v is older than o, 1 where it is newer, and 0 where both are the same version, such
// as 1.0 and 1.0.0. No version is older than every version.
func (v Version) Compare(o Version) int { return strings.Compare(v.key, o.key) }
