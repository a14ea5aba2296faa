package archive

import (
	"encoding/binary"
	"hash/maphash"
)

// kinds remembers what each path of a tarball is. Of the paths it keeps hashes of 128 bits, seeded anew each time, and so not
// to be made collide: the paths themselves take five times as much, and a package may have a hundred thousand.
type kinds struct {
	seeds [2]maphash.Seed
	types map[[16]byte]byte // indexes of kindTypes
}

// kindTypes are the types, the first of which is that of a path that was not seen.
func kindTypes() [5]Type { return [...]Type{"", Regular, Symlink, Hardlink, Directory} }

func newKinds() kinds {
	return kinds{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, types: map[[16]byte]byte{}}
}

func (k kinds) key(path string) (key [16]byte) {
	binary.NativeEndian.PutUint64(key[:], maphash.String(k.seeds[0], path))
	binary.NativeEndian.PutUint64(key[8:], maphash.String(k.seeds[1], path))
	return key
}

// of is the type of a path, "" if it was not seen.
func (k kinds) of(path string) Type { return kindTypes()[k.types[k.key(path)]] }

func (k kinds) set(path string, t Type) {
	for i, known := range kindTypes() {
		if known == t {
			k.types[k.key(path)] = byte(i)
		}
	}
}
