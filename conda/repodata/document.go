package repodata

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/version"
)

// document is one repodata.json (CEP 36), of which only the places of its records have been read: a record is read
// when its name is asked for.
type document struct {
	text    string
	channel conda.Channel
	subdir  conda.Subdir
	base    string // URL of the folder with the archives

	ids     map[string]int // a name's place in places
	places  []places
	removed map[string]bool
	records int
}

// places are where the records of one name are in the text: the keys of their entries.
type places struct{ old, new, v3Old, v3New []uint32 }

// scanDocument finds the records of a repodata.json.
func scanDocument(text string, channel conda.Channel, subdir conda.Subdir) (*document, error) {
	if len(text) >= math.MaxUint32 {
		return nil, fmt.Errorf("it is longer than the 4 GiB that are read")
	}
	d := &document{
		text: text, channel: channel, subdir: subdir, base: channel.SubdirURL(subdir), ids: map[string]int{},
	}
	s := &scanner{text: text}
	err := s.object(func(key string, _ int) error {
		if s.null() {
			return nil
		}
		switch key {
		case "info":
			return d.scanInfo(s)
		case "packages":
			return d.scanPackages(s, func(p *places, at uint32) { p.old = append(p.old, at) })
		case "packages.conda":
			return d.scanPackages(s, func(p *places, at uint32) { p.new = append(p.new, at) })
		case "removed":
			return d.scanRemoved(s)
		case "v3":
			return d.scanV3(s)
		}
		return s.skip()
	})
	if err != nil {
		return nil, err
	}
	if s.next() != 0 || s.at < len(text) {
		return nil, s.errorf("%q after the end", text[s.at])
	}
	return d, nil
}

func (d *document) scanInfo(s *scanner) error {
	return s.object(func(key string, _ int) error {
		if key != "base_url" {
			return s.skip()
		}
		base, err := s.optional()
		if err != nil || base == "" {
			return err
		}
		d.base, err = resolveBase(d.base, base)
		return err
	})
}

// scanV3 notes where the entries for newer clients are (CEP 48), by the extension that their keys lack.
func (d *document) scanV3(s *scanner) error {
	return s.object(func(key string, _ int) error {
		switch {
		case s.null():
			return nil
		case key == "conda":
			return d.scanPackages(s, func(p *places, at uint32) { p.v3New = append(p.v3New, at) })
		case key == "tar.bz2":
			return d.scanPackages(s, func(p *places, at uint32) { p.v3Old = append(p.v3Old, at) })
		}
		return s.skip() // such as wheels, which are no Conda packages
	})
}

// scanPackages notes where the entries of one of the two formats are.
func (d *document) scanPackages(s *scanner, add func(p *places, at uint32)) error {
	last, id := "", -1
	return s.object(func(_ string, at int) error {
		name, err := scanName(s)
		if err != nil {
			return err
		}
		if id < 0 || name != last {
			key := strings.ToLower(name)
			known, ok := d.ids[key]
			if !ok {
				known = len(d.places)
				d.places = append(d.places, places{})
				d.ids[key] = known
			}
			last, id = name, known
		}
		add(&d.places[id], uint32(at))
		d.records++
		return nil
	})
}

// scanName passes over a record, and returns the value of its name.
func scanName(s *scanner) (string, error) {
	if err := s.expect('{'); err != nil {
		return "", err
	}
	if s.next() == '}' {
		s.at++
		return "", nil
	}
	for {
		key, err := s.string()
		if err != nil {
			return "", err
		}
		if err := s.expect(':'); err != nil {
			return "", err
		}
		if key == "name" {
			name, err := s.optional()
			if err != nil {
				return "", err
			}
			return name, s.skipRest(1)
		}
		if err := s.skip(); err != nil {
			return "", err
		}
		if s.next() != ',' {
			return "", s.expect('}')
		}
		s.at++
	}
}

func (d *document) scanRemoved(s *scanner) error {
	names, err := s.list()
	if err != nil {
		return err
	}
	d.removed = make(map[string]bool, len(names))
	for _, n := range names {
		d.removed[n] = true
	}
	return nil
}

// names are the names that have records, and the empty one where a record has none.
func (d *document) names() []string { return slices.Collect(maps.Keys(d.ids)) }

// read reads the records of a name: in the file's order, a .conda in the place of the .tar.bz2 that is otherwise the
// same. skip is told of the records that do not parse, which are left out.
func (d *document) read(name conda.PackageName, skip func(fileName string, err error)) []*conda.Record {
	id, ok := d.ids[string(name)]
	if !ok {
		return nil
	}
	of := d.places[id]
	r := recordReader{document: d, versions: map[string]version.Version{}}
	var records []*conda.Record
	twins := map[string]int{}
	for _, part := range []struct {
		at        []uint32
		extension string
	}{{of.old, ""}, {of.new, ""}, {of.v3Old, ".tar.bz2"}, {of.v3New, ".conda"}} {
		records = slices.Grow(records, len(part.at))
		for _, at := range part.at {
			fileName, record, err := r.read(at, part.extension)
			switch {
			case d.removed[fileName]:
				continue
			case err != nil:
				skip(fileName, err)
				continue
			}
			stem, _ := conda.CutExtension(fileName)
			if twin, ok := twins[stem]; ok {
				records[twin] = record
				continue
			}
			twins[stem] = len(records)
			records = append(records, record)
		}
	}
	return records
}
