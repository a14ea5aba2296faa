package repodata

import (
	"errors"
	"fmt"
	"strings"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/version"
)

// origin is where records come from.
type origin struct {
	channel conda.Channel
	subdir  conda.Subdir
	base    string // URL of the folder with the archives
}

// reader makes the records of one name. They have the order of their entries, where one of a higher section takes the place of the one
// that is otherwise the same, as a .conda does with a .tar.bz2.
type reader struct {
	origin
	name    conda.PackageName
	removed func(fileName string) bool
	skip    func(fileName string, err error) // is told of the records that do not parse, which are left out

	records  []*conda.Record
	checked  string         // a spelling of the name
	section  section        // that is being read
	twins    map[string]int // by file name without extension; nil in the first section, which has none
	first    int            // how many records the first section has
	versions map[string]version.Version
	room     []conda.Record // that were allocated together
	raw      []byte         // the text that is being read, where some of its records do not parse
}

// startSection is called before the records of each section, and may be called again.
func (r *reader) startSection(of section) {
	if len(r.records) == 0 || of == r.section {
		r.section = of
		return
	}
	r.section = of
	if r.twins == nil {
		r.twins, r.first = make(map[string]int, len(r.records)), len(r.records)
		for i, record := range r.records {
			r.twins[stem(record.FileName)] = i
		}
	}
}

// inOrder is the records as rattler has them, whose choice among equals is the first: those of the first section and of the others merged
// by file name, as if each were sorted.
func (r *reader) inOrder() []*conda.Record {
	if r.twins == nil || r.first == len(r.records) {
		return r.records
	}
	out := make([]*conda.Record, 0, len(r.records))
	a, b := r.records[:r.first], r.records[r.first:]
	for len(a) > 0 && len(b) > 0 {
		if a[0].FileName <= b[0].FileName {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	return append(append(out, a...), b...)
}

func stem(fileName string) string {
	s, _ := conda.CutExtension(fileName)
	return s
}

// newRecord is a record to be filled in.
func (r *reader) newRecord(fileName string) *conda.Record {
	if len(r.room) == 0 {
		r.room = make([]conda.Record, min(64, len(r.records)+4))
	}
	record := &r.room[0]
	r.room = r.room[1:]
	record.Subdir, record.Channel, record.FileName = r.subdir, r.channel, fileName
	return record
}

// add adds a record, of which the name and the version are not filled in yet.
func (r *reader) add(record *conda.Record, name, versionText string) {
	if r.removed(record.FileName) {
		return
	}
	if err := r.complete(record, name, versionText); err != nil {
		r.skip(record.FileName, err)
		return
	}
	if r.twins != nil {
		key := stem(record.FileName)
		if twin, ok := r.twins[key]; ok {
			r.records[twin] = record
			return
		}
		r.twins[key] = len(r.records)
	}
	r.records = append(r.records, record)
}

func (r *reader) complete(record *conda.Record, name, versionText string) (err error) {
	if strings.ContainsAny(record.FileName, "/\\") {
		return errors.New("its file name has a slash")
	}
	if err := r.checkName(name); err != nil {
		return err
	}
	record.Name = r.name
	if of := otherPackage(record, versionText); of != "" {
		return fmt.Errorf("it is a record of %s, but its file is one of %s", name, of)
	}
	known, ok := r.versions[versionText]
	if !ok {
		if known, err = version.Parse(versionText); err != nil {
			return err
		}
		if r.versions == nil {
			r.versions = map[string]version.Version{}
		}
		r.versions[versionText] = known // each version has several builds
	}
	record.Version = known
	record.URL = r.base + "/" + escape(record.FileName)
	return nil
}

// checkName holds that a name is the reader's, however it is spelled.
func (r *reader) checkName(name string) error {
	if name == r.checked && name != "" {
		return nil
	}
	n, err := conda.ParsePackageName(name)
	if err != nil {
		return err
	}
	if n != r.name {
		return fmt.Errorf("it is a record of %s", name)
	}
	r.checked = name
	return nil
}

// otherPackage is the name of the package whose archive the record's file is, "" where that is the record's own or cannot be said: the
// archive would be downloaded for it. Only names are compared, as there are channels whose records have had their versions corrected.
func otherPackage(r *conda.Record, versionText string) string {
	dist := stem(r.FileName)
	of, _, _, ok := conda.SplitDist(dist)
	if !ok || strings.EqualFold(of, string(r.Name)) || strings.EqualFold(dist, string(r.Name)+"-"+versionText+"-"+r.Build) {
		return "" // the last is a build with a hyphen
	}
	return of
}

// readEntries reads entries with commas between them.
func (r *reader) readEntries(of section, text string) error {
	s := &scanner{text: text}
	r.raw = nil
	for {
		if err := r.readEntry(of, s); err != nil {
			return err
		}
		if s.next() == 0 {
			return nil
		}
		if err := s.expect(','); err != nil {
			return err
		}
	}
}

// readEntry reads a key and its record. An error is one of the text; other ones are for skip.
func (r *reader) readEntry(of section, s *scanner) error {
	s.next()
	start := s.at
	fileName, err := s.string()
	if err != nil {
		return err
	}
	if err := s.expect(':'); err != nil {
		return err
	}
	record := r.newRecord(fileName + of.extension())
	var name, versionText string
	err = s.object(func(key string) (err error) {
		switch key {
		case "name":
			name, err = s.optional()
		case "version":
			versionText, err = s.optional()
		default:
			err = readField(s, record, key)
		}
		return err
	})
	if err == nil {
		r.add(record, name, versionText)
		return nil
	}
	if !r.removed(record.FileName) {
		r.skip(record.FileName, err)
	}
	if r.raw == nil {
		r.raw = []byte(s.text)
	}
	n, _, err := findEntry(r.raw[start:]) // as it was found: what is between may be no JSON
	s.at = start + n
	return err
}
