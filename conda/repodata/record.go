package repodata

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/fetch"
)

// fields are the values of a record, in JSON or in msgpack.
type fields interface {
	optional() (string, error) // what is no string is empty
	integer() (int64, error)   // what is no number is 0
	list() ([]string, error)
	lists() (map[string][]string, error)
	skip() error
}

// readCommonField reads a field that is written alike in JSON and in msgpack; unknown ones are passed over.
func readCommonField(s fields, r *conda.Record, key string) (err error) {
	switch key {
	case "build":
		r.Build, err = s.optional()
	case "build_number":
		r.BuildNumber, err = s.integer()
	case "depends":
		r.Depends, err = s.list()
	case "constrains":
		r.Constrains, err = s.list()
	case "features":
		r.Features, err = s.optional()
	case "license":
		r.License, err = s.optional()
	case "license_family":
		r.LicenseFamily, err = s.optional()
	case "timestamp":
		r.Timestamp, err = s.integer()
		r.Timestamp = conda.Milliseconds(r.Timestamp)
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
	return err
}

// readField reads a record's field other than name and version from JSON.
func readField(s *scanner, r *conda.Record, key string) (err error) {
	switch key {
	case "md5":
		r.MD5, err = s.optional()
		r.MD5 = strings.ToLower(r.MD5)
	case "sha256":
		r.SHA256, err = s.optional()
		r.SHA256 = strings.ToLower(r.SHA256)
	case "noarch":
		r.NoArch, err = readNoArch(s)
	case "track_features":
		r.TrackFeatures, err = readFeatures(s)
	default:
		err = readCommonField(s, r, key)
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
	return splitFeatures(text), err
}

func splitFeatures(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' })
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
	return noArchKind(text), err
}

func noArchKind(text string) conda.NoArch {
	switch kind := conda.NoArch(text); kind {
	case conda.NoArchPython, conda.NoArchGeneric:
		return kind
	}
	return conda.NoArchNone
}

// resolveBase is the base_url of repodata (CEP 15), relative to the folder that it is in.
func resolveBase(folder, base string) (string, error) {
	from, err := url.Parse(folder + "/")
	if err != nil {
		return "", err
	}
	clean, _, _ := fetch.SplitURL(base)
	to, err := from.Parse(clean)
	if err != nil {
		return "", errors.New("the URL does not parse")
	}
	switch to.Scheme {
	case "http", "https", from.Scheme:
		return strings.TrimRight(to.String(), "/"), nil
	}
	return "", fmt.Errorf("a %s: URL, in a channel that is not", to.Scheme)
}

// escape makes a file name part of a URL. What need not be escaped is not: other tools write such URLs into locks.
func escape(fileName string) string {
	special := func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`%?#"<>^`+"`{|}", r) }
	if strings.IndexFunc(fileName, special) < 0 {
		return fileName
	}
	return url.PathEscape(fileName)
}
