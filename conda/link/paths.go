package link

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// pathsFile reads info/paths.json as it comes: it may list a hundred thousand files, and is never in memory as a whole.
type pathsFile struct {
	size    int64 // of the file
	version json.Number
	paths   []Path // of which only Meta is known
	words   words
}

// words are strings that most paths have in common, each once.
type words map[string]string

func (w words) one(s string) string {
	if known, ok := w[s]; ok {
		return known
	}
	w[s] = s
	return s
}

// readPaths reads a paths.json of size bytes.
func readPaths(r io.Reader, size int64) ([]Path, error) {
	f := pathsFile{size: size, words: words{}}
	dec := json.NewDecoder(r)
	if err := f.object(dec); err != nil {
		return nil, fmt.Errorf("reading info/paths.json: %w", err)
	}
	if f.version != "1" {
		return nil, fmt.Errorf("info/paths.json is of version %q, and only 1 is known", f.version)
	}
	return f.paths, nil
}

// object reads the whole document.
func (f *pathsFile) object(dec *json.Decoder) error {
	if err := begin(dec, '{'); err != nil {
		return err
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return err
		}
		switch name := fmt.Sprint(key); {
		case strings.EqualFold(name, "paths_version"):
			err = dec.Decode(&f.version)
		case strings.EqualFold(name, "paths"):
			err = f.list(dec)
		default:
			err = dec.Decode(new(json.RawMessage))
		}
		if err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the document")
	}
	return nil
}

// sampled is after how many paths their number is estimated.
const sampled = 128

func (f *pathsFile) list(dec *json.Decoder) error {
	if err := begin(dec, '['); err != nil {
		return err
	}
	f.paths = nil // as in any JSON, the last word counts
	start := dec.InputOffset()
	var m MetaPath
	for dec.More() {
		m = MetaPath{}
		if err := dec.Decode(&m); err != nil {
			return err
		}
		m.Placeholder, m.FileMode, m.PathType = f.words.one(m.Placeholder), f.words.one(m.FileMode), f.words.one(m.PathType)
		if f.paths = append(f.paths, Path{Meta: m}); len(f.paths) == sampled {
			each := max(1, (dec.InputOffset()-start)/sampled)
			rest := (f.size - dec.InputOffset()) / each
			f.paths = slices.Grow(f.paths, int(max(0, min(rest+rest/32, f.size/32))))
		}
	}
	_, err := dec.Token()
	return err
}

// begin reads the delimiter that a list or an object begins with.
func begin(dec *json.Decoder, want json.Delim) error {
	t, err := dec.Token()
	if err == nil && t != want {
		err = fmt.Errorf("%v where %v was expected", t, want)
	}
	return err
}
