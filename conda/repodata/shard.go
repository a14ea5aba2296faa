package repodata

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/tinylib/msgp/msgp"

	"github.com/datalayer/conda2docker/conda"
)

// shardReader reads msgpack (CEP 16). What it returns shares the text's memory.
type shardReader struct {
	text string
	rest []byte   // what follows, of the same bytes
	room []string // for lists
}

func newShardReader(body []byte) *shardReader { return &shardReader{text: string(body), rest: body} }

// object calls f for each key of a map; f reads or skips the value. A nil is an empty one.
func (s *shardReader) object(f func(key string) error) error {
	if msgp.NextType(s.rest) == msgp.NilType {
		return s.skip()
	}
	n, rest, err := msgp.ReadMapHeaderBytes(s.rest)
	if err != nil {
		return err
	}
	s.rest = rest
	for range n {
		key, err := s.string()
		if err != nil {
			return err
		}
		if err := f(key); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}

// array calls f for each element of an array; f reads or skips it. A nil is an empty one.
func (s *shardReader) array(f func() error) error {
	if msgp.NextType(s.rest) == msgp.NilType {
		return s.skip()
	}
	n, rest, err := msgp.ReadArrayHeaderBytes(s.rest)
	if err != nil {
		return err
	}
	s.rest = rest
	for range n {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

func (s *shardReader) skip() (err error) {
	s.rest, err = msgp.Skip(s.rest)
	return err
}

// string reads a string.
func (s *shardReader) string() (string, error) {
	b, rest, err := msgp.ReadStringZC(s.rest)
	if err != nil {
		return "", err
	}
	end := len(s.text) - len(rest)
	s.rest = rest
	return s.text[end-len(b) : end], nil
}

// optional reads a string; what is no string is passed over and counts as empty.
func (s *shardReader) optional() (string, error) {
	if msgp.NextType(s.rest) != msgp.StrType {
		return "", s.skip()
	}
	return s.string()
}

// sum reads a checksum of n bytes, or in hex, as lower-case hex.
func (s *shardReader) sum(n int) (string, error) {
	if msgp.NextType(s.rest) != msgp.BinType {
		text, err := s.optional()
		return strings.ToLower(text), err
	}
	b, rest, err := msgp.ReadBytesZC(s.rest)
	if err != nil {
		return "", err
	}
	s.rest = rest
	if len(b) != n {
		return "", fmt.Errorf("a checksum of %d bytes", len(b))
	}
	var text [64]byte
	return string(text[:hex.Encode(text[:], b)]), nil
}

// integer reads a whole number; what is none counts as 0.
func (s *shardReader) integer() (int64, error) {
	switch msgp.NextType(s.rest) {
	case msgp.IntType, msgp.UintType:
		n, rest, err := msgp.ReadInt64Bytes(s.rest)
		if over := (msgp.UintOverflow{}); errors.As(err, &over) {
			return 0, s.skip()
		}
		if err == nil {
			s.rest = rest
		}
		return n, err
	}
	return 0, s.skip()
}

// longList is how many elements are believed before they were seen.
const longList = 1 << 10

// list reads an array of strings.
func (s *shardReader) list() ([]string, error) {
	var items []string
	n, _, err := msgp.ReadArrayHeaderBytes(s.rest)
	if err == nil && n > 0 {
		items = takeList(&s.room, min(int(n), longList)) // what claims to be longer grows as it comes
	}
	err = s.array(func() error {
		item, err := s.string()
		items = append(items, item)
		return err
	})
	return items, err
}

// lists reads a map of arrays of strings.
func (s *shardReader) lists() (map[string][]string, error) {
	var all map[string][]string
	err := s.object(func(key string) error {
		items, err := s.list()
		if all == nil {
			all = map[string][]string{}
		}
		all[key] = items
		return err
	})
	return all, err
}

// readShard reads the records of a shard, which must all be of the reader's name.
func (r *reader) readShard(body []byte) error {
	s := newShardReader(body)
	removed, err := shardRemoved(body)
	if err != nil {
		return err
	}
	r.removed = func(fileName string) bool { return removed[fileName] }
	err = s.object(func(key string) error {
		switch key {
		case "packages":
			return r.readShardSection(s, sectionOld)
		case "packages.conda":
			return r.readShardSection(s, sectionNew)
		case "v3":
			return s.object(func(key string) error {
				switch key {
				case "tar.bz2":
					return r.readShardSection(s, sectionV3Old)
				case "conda":
					return r.readShardSection(s, sectionV3New)
				}
				return s.skip()
			})
		}
		return s.skip()
	})
	if err == nil && len(s.rest) > 0 {
		err = fmt.Errorf("%d bytes after the end", len(s.rest))
	}
	return err
}

// shardRemoved is what a shard has taken back, wherever in it that stands.
func shardRemoved(body []byte) (map[string]bool, error) {
	empty := msgp.AppendArrayHeader(msgp.AppendString(nil, "removed"), 0)
	if bytes.Contains(body, empty) && bytes.Count(body, empty[1:len(empty)-1]) == 1 {
		return nil, nil // as nearly always, which spares a look at all that comes before
	}
	s := newShardReader(body)
	removed := map[string]bool{}
	return removed, s.object(func(key string) error {
		if key != "removed" {
			return s.skip()
		}
		names, err := s.list()
		for _, n := range names {
			removed[n] = true
		}
		return err
	})
}

func (r *reader) readShardSection(s *shardReader, of section) error {
	r.startSection(of)
	return s.object(func(key string) error {
		record := r.newRecord(key + of.extension())
		var name, versionText string
		err := s.object(func(key string) (err error) {
			switch key {
			case "name":
				name, err = s.optional()
			case "version":
				versionText, err = s.optional()
			default:
				err = readShardField(s, record, key)
			}
			return err
		})
		if err != nil {
			return err
		}
		if r.checkName(name) != nil {
			return fmt.Errorf("it is a record of %q, not of %s", name, r.name)
		}
		r.add(record, name, versionText)
		return nil
	})
}

// readShardField reads a record's field other than name and version; unknown ones are passed over.
func readShardField(s *shardReader, r *conda.Record, key string) (err error) {
	switch key {
	case "md5":
		r.MD5, err = s.sum(16)
	case "sha256":
		r.SHA256, err = s.sum(32)
	case "noarch":
		r.NoArch, err = s.noArch()
	case "track_features":
		r.TrackFeatures, err = s.features()
	default:
		return readCommonField(s, r, key)
	}
	return err
}

// noArch reads noarch: a kind, or true, which once meant generic.
func (s *shardReader) noArch() (conda.NoArch, error) {
	if msgp.NextType(s.rest) == msgp.BoolType {
		generic, rest, err := msgp.ReadBoolBytes(s.rest)
		s.rest = rest
		if generic {
			return conda.NoArchGeneric, err
		}
		return conda.NoArchNone, err
	}
	text, err := s.optional()
	return noArchKind(text), err
}

// features reads track_features: names in one string, or a list.
func (s *shardReader) features() ([]string, error) {
	if msgp.NextType(s.rest) == msgp.ArrayType {
		return s.list()
	}
	text, err := s.optional()
	return splitFeatures(text), err
}
