// Package version orders versions and tests version constraints exactly as Conda does (CEP 33, CEP 29).
//
// Where conda and rattler (pixi) take a constraint differently, it means here what it means to conda:
//
//	written             to conda, and here                             to rattler
//	=1.8  1.8.*  1.8*   versions whose last component may go on:        versions of which 1 and 8 are the first
//	                    1.8.2, and also 1.8rc1, 1.8a, 1.8post1, and     components: not 1.8rc1
//	                    1.1.1w for =1.1.1
//	!=1.8.*             not these                                       not the ones that rattler takes =1.8 for
//	~=1.8.2             1.8.2 or newer among what =1.8 means            among what it means to rattler
//	=1.8*               what begins like the version "1.8*", which no   as =1.8
//	                    real version does
//	!=1.8*              all versions but "1.8*"                         as !=1.8.*
//	=*                  what begins like the version "*": none          any version
//	*.*                 versions of two components or more              any version
//	1.*.*  1.*.1        a glob on the text                              as 1.*; not readable
//	^1\.8$              a regular expression on the text                not readable
//	>1.8.*              newer than 1.8                                  1.8 or newer
//	1.0*                as a version, it is one                         it is none
package version

import (
	"fmt"
	"strings"
)

// Version is a parsed version that remembers how it was written. The zero value is no version.
type Version struct {
	text string
	key  string // bytes whose order is that of the versions: see keyWriter
}

// Parse reads a version as conda's VersionOrder does; its error says what in s is wrong.
func Parse(s string) (Version, error) {
	text := strings.TrimSpace(s)
	var buf [96]byte
	w := keyWriter{buf: buf[:0]}
	if err := w.version(text); err != nil {
		return Version{}, fmt.Errorf("version %q: %w", s, err)
	}
	return Version{text: text, key: string(w.buf)}, nil
}

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
