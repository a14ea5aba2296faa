package repodata

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/fetch"
	"github.com/datalayer/conda2docker/conda/version"
)

// recordReader reads records of one name in one document.
type recordReader struct {
	*document
	text     string // of the name that was read last
	name     conda.PackageName
	versions map[string]version.Version // each version has several builds
}

// read reads the entry whose key, which may lack an extension, is at a place in the text. The file name is known also
// where there is an error.
func (r *recordReader) read(at uint32, extension string) (fileName string, record *conda.Record, err error) {
	s := &scanner{text: r.document.text, at: int(at)}
	if fileName, err = s.string(); err != nil {
		return "", nil, err
	}
	fileName += extension
	if err := s.expect(':'); err != nil {
		return fileName, nil, err
	}
	if strings.ContainsAny(fileName, "/\\") {
		return fileName, nil, errors.New("its file name has a slash")
	}
	record = &conda.Record{
		Subdir: r.subdir, Channel: r.channel, FileName: fileName, URL: r.base + "/" + escape(fileName),
	}
	var name, text string
	err = s.object(func(key string, _ int) error {
		var err error
		switch key {
		case "name":
			name, err = s.optional()
		case "version":
			text, err = s.optional()
		default:
			err = readField(s, record, key)
		}
		return err
	})
	if err != nil {
		return fileName, nil, err
	}
	if name != r.text || name == "" {
		if r.name, err = conda.ParsePackageName(name); err != nil {
			return fileName, nil, err
		}
		r.text = name
	}
	record.Name = r.name
	known, ok := r.versions[text]
	if !ok {
		if known, err = version.Parse(text); err != nil {
			return fileName, nil, err
		}
		r.versions[text] = known
	}
	record.Version = known
	return fileName, record, nil
}

// readField reads a record's field other than name and version; unknown ones are passed over.
func readField(s *scanner, r *conda.Record, key string) (err error) {
	switch key {
	case "build":
		r.Build, err = s.optional()
	case "build_number":
		r.BuildNumber, err = s.integer()
	case "depends":
		r.Depends, err = s.list()
	case "constrains":
		r.Constrains, err = s.list()
	case "track_features":
		r.TrackFeatures, err = readFeatures(s)
	case "features":
		r.Features, err = s.optional()
	case "noarch":
		r.NoArch, err = readNoArch(s)
	case "license":
		r.License, err = s.optional()
	case "license_family":
		r.LicenseFamily, err = s.optional()
	case "timestamp":
		r.Timestamp, err = s.integer()
		r.Timestamp = conda.Milliseconds(r.Timestamp)
	case "md5":
		r.MD5, err = s.optional()
		r.MD5 = strings.ToLower(r.MD5)
	case "sha256":
		r.SHA256, err = s.optional()
		r.SHA256 = strings.ToLower(r.SHA256)
	case "size":
		r.Size, err = s.integer()
	case "extra_depends":
		r.Extras, err = s.lists()
	case "flags":
		r.Flags, err = s.list()
	case "python_site_packages_path":
		r.PythonSitePackagesPath, err = s.optional()
	default:
		err = s.skip()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

// readFeatures reads track_features: names in one string, or a list.
func readFeatures(s *scanner) ([]string, error) {
	if s.next() == '[' {
		return s.list()
	}
	text, err := s.optional()
	return strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' }), err
}

// readNoArch reads noarch: a kind, or true, which once meant generic.
func readNoArch(s *scanner) (conda.NoArch, error) {
	if s.next() != '"' {
		start := s.at
		err := s.skip()
		if s.text[start:s.at] == "true" {
			return conda.NoArchGeneric, err
		}
		return conda.NoArchNone, err
	}
	text, err := s.string()
	switch kind := conda.NoArch(text); kind {
	case conda.NoArchPython, conda.NoArchGeneric:
		return kind, err
	}
	return conda.NoArchNone, err
}

// resolveBase is the base_url of repodata (CEP 15), relative to the folder that it is in.
func resolveBase(folder, base string) (string, error) {
	from, err := url.Parse(folder + "/")
	if err != nil {
		return "", fmt.Errorf("base_url: %w", err)
	}
	clean, _, _ := fetch.SplitURL(base)
	to, err := from.Parse(clean)
	if err != nil {
		return "", errors.New("base_url: the URL does not parse")
	}
	switch to.Scheme {
	case "http", "https", from.Scheme:
		return strings.TrimRight(to.String(), "/"), nil
	}
	return "", fmt.Errorf("base_url: a %s: URL, in a channel that is not", to.Scheme)
}

// escape makes a file name part of a URL. What need not be escaped is not: other tools write such URLs into locks.
func escape(fileName string) string {
	special := func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`%?#"<>^`+"`{|}", r) }
	if strings.IndexFunc(fileName, special) < 0 {
		return fileName
	}
	return url.PathEscape(fileName)
}
