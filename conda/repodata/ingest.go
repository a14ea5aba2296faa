package repodata

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
)

// section is the part of repodata that a record stands in. Of two records of one archive's name, the one of the higher section
// counts.
type section uint32

const (
	sectionOld   section = iota // packages
	sectionNew                  // packages.conda
	sectionV3Old                // v3, tar.bz2 (CEP 48)
	sectionV3New                // v3, conda
)

// extension is what the keys of a section lack of file names.
func (s section) extension() string { return [...]string{"", "", ".tar.bz2", ".conda"}[s] }

// extent is where entries of one name follow each other: in a block, from and to.
type extent struct {
	section         section
	block, from, to uint32
}

const (
	// blockSize is how many bytes of entries a block has at least. The entries of few names are in one, as reading one name means to
	// decompress all of its blocks.
	blockSize = 16 << 10
	// blockLimit is where the entries of one name go on in another block.
	blockLimit = 64 << 10
)

// ingest reads a whole repodata.json, and puts its entries into blocks as they come. Where there is no packer, the text is in memory
// as a whole, and is the only block.
type ingest struct {
	*stream
	to *packer

	base    string // info's base_url
	format  uint32 // repodata_version
	removed []string
	ids     map[string]int // a name's place in extents
	extents [][]extent

	block []byte // that is being filled
	count uint32 // of those before
	last  int    // the id of the last entry, if it is in the block
}

func (in *ingest) run() error {
	err := in.object(func(key string) error {
		if null, err := in.null(); null || err != nil {
			return err
		}
		switch key {
		case "info":
			return in.info()
		case "repodata_version":
			text, err := in.value(true)
			if err != nil {
				return err
			}
			version, err := (&scanner{text: text}).integer()
			in.format = format(version)
			return err
		case "packages":
			return in.packages(sectionOld)
		case "packages.conda":
			return in.packages(sectionNew)
		case "v3":
			return in.v3()
		case "removed":
			text, err := in.value(true)
			if err != nil {
				return err
			}
			in.removed, err = (&scanner{text: text}).list()
			return err
		}
		_, err := in.value(false)
		return err
	})
	if err != nil {
		return err
	}
	if c, err := in.next(); err != nil {
		return err
	} else if c != 0 || in.at < len(in.buf) {
		return in.errorf("%q after the end", c)
	}
	return in.flush()
}

// knownFormat is the newest repodata_version of which all is read. 1 and 2 are those of CEP 36 and 15, and with 3 come
// the packages for newer clients (CEP 48), which older versions may have too.
const knownFormat = 3

// format is a repodata_version as it is kept.
func format(version int64) uint32 { return uint32(min(max(version, 0), math.MaxUint32)) }

func (in *ingest) info() error {
	text, err := in.value(true)
	if err != nil {
		return err
	}
	s := &scanner{text: text}
	return s.object(func(key string) (err error) {
		if key != "base_url" {
			return s.skip()
		}
		in.base, err = s.optional()
		return err
	})
}

// v3 reads the packages for newer clients. Those that are no Conda packages, such as wheels, are passed over.
func (in *ingest) v3() error {
	return in.object(func(key string) error {
		if null, err := in.null(); null || err != nil {
			return err
		}
		switch key {
		case "tar.bz2":
			return in.packages(sectionV3Old)
		case "conda":
			return in.packages(sectionV3New)
		}
		_, err := in.value(false)
		return err
	})
}

// packages reads the entries of a section.
func (in *ingest) packages(of section) error {
	last, id := "", -1
	in.last = -1
	return in.members(func() error {
		text, name, err := in.entry()
		if err != nil {
			return err
		}
		if id < 0 || string(name) != last {
			last = string(name)
			key := strings.ToLower(last)
			known, ok := in.ids[key]
			if !ok {
				known = len(in.extents)
				in.extents = append(in.extents, nil)
				in.ids[key] = known
			}
			id = known
			if len(in.block) >= blockSize {
				if err := in.flush(); err != nil {
					return err
				}
			}
		}
		return in.add(id, of, text)
	})
}

// add puts an entry behind the others.
func (in *ingest) add(id int, of section, entry []byte) error {
	if len(in.block) > 0 && len(in.block)+len(entry) >= blockLimit {
		if err := in.flush(); err != nil {
			return err
		}
	}
	from := uint32(in.at - len(entry))
	if in.to != nil {
		from = uint32(len(in.block))
		in.block = append(append(in.block, entry...), ',')
	}
	to := from + uint32(len(entry))
	extents := in.extents[id]
	if n := len(extents); in.last == id && n > 0 && extents[n-1].section == of {
		extents[n-1].to = to
		return nil
	}
	in.last = id
	in.extents[id] = append(extents, extent{section: of, block: in.count, from: from, to: to})
	return nil
}

// flush hands the block on.
func (in *ingest) flush() error {
	if len(in.block) == 0 {
		return nil
	}
	if in.count++; in.count == 0 {
		return errors.New("it has too many records")
	}
	in.to.queue <- in.block
	in.block, in.last = in.to.room(), -1
	return nil
}

// readText reads a repodata.json that is in memory.
func readText(text []byte) (*pack, error) {
	in := &ingest{stream: &stream{buf: text, whole: true}, ids: map[string]int{}, last: -1}
	if err := in.run(); err != nil {
		return nil, err
	}
	t, err := parseTable(newTable(in))
	return &pack{table: t, blocks: wholeText(text)}, err
}

// errKeeping is a failure of this machine, not of repodata.
var errKeeping = errors.New("keeping its records")

// readStream reads a repodata.json into a pack's file.
func readStream(from io.Reader, to packFile) (*pack, error) {
	p := newPacker(to)
	in := &ingest{stream: newStream(from), to: p, ids: map[string]int{}, block: p.room(), last: -1}
	if err := in.run(); err != nil {
		p.abandon()
		return nil, err
	}
	done, err := p.finish(newTable(in))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errKeeping, err)
	}
	return done, nil
}
