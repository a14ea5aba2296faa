// Package version orders versions and tests version constraints as Conda does (CEP 33).
package version

// Version is a parsed version that remembers how it was written. The zero value is no version.
type Version struct{ text string }

// Parse reads a version; its error says what in s is wrong.
func Parse(s string) (Version, error) { return Version{text: s}, nil }

// String is the version as it was written.
func (v Version) String() string { return v.text }
