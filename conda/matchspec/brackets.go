package matchspec

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/version"
)

// pair is one key=value of the brackets; a value written as a list has its elements in list.
type pair struct {
	key, value string
	list       []string
}

func find(pairs []pair, key string) (pair, bool) {
	for _, p := range pairs {
		if p.key == key {
			return p, true
		}
	}
	return pair{}, false
}

// cutBrackets takes the brackets out of s and reads them.
func cutBrackets(s string) (rest string, pairs []pair, err error) {
	end := strings.LastIndexByte(s, ']')
	if end < 0 {
		return s, nil, nil
	}
	begin := strings.IndexByte(s[:end], '[')
	if begin < 0 {
		return s, nil, nil
	}
	if pairs, ok := parsePairs(s[begin+1 : end]); ok {
		return cut(s, begin, end), pairs, checkValues(pairs)
	}
	begin = strings.LastIndexByte(s[:end], '[')
	pairs = loosePairs(s[begin+1 : end])
	return cut(s, begin, end), pairs, checkValues(pairs)
}

// cut takes the text from begin to end out of s, wherever it stands.
func cut(s string, begin, end int) string { return strings.ReplaceAll(s, s[begin:end+1], "") }

func checkValues(pairs []pair) error {
	for _, p := range pairs {
		if p.value == "" && len(p.list) == 0 {
			return fmt.Errorf("%s in brackets has no value", p.key)
		}
	}
	return nil
}

// parsePairs reads brackets that are written as CEP 29 has them, quotes and lists (CEP 44, 45) included.
func parsePairs(s string) ([]pair, bool) {
	var pairs []pair
	for s = strings.TrimLeft(s, " "); s != ""; {
		m := onePair().FindStringSubmatch(s)
		if m == nil {
			return nil, false
		}
		p := pair{key: m[1], value: m[2] + m[3] + m[5]}
		if m[4] != "" {
			for _, e := range strings.Split(strings.Trim(m[4], "[]"), ",") {
				p.list = append(p.list, unquote(strings.TrimSpace(e)))
			}
		}
		pairs = append(pairs, p)
		s = s[len(m[0]):]
	}
	return pairs, true
}

func unquote(s string) string {
	if len(s) >= 2 && (s[0] == '\'' || s[0] == '"') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}

func loosePairs(s string) []pair {
	var pairs []pair
	for _, m := range anyPair().FindAllStringSubmatch(s, -1) {
		pairs = append(pairs, pair{key: m[1], value: m[2] + m[3] + m[4]})
	}
	return pairs
}

// cutParentheses takes such parentheses out of s. conda does so with whatever they hold; that would lose
// the version in "numpy (>=1.8)".
func cutParentheses(s string) (string, error) {
	end := strings.LastIndexByte(s, ')')
	if end < 0 {
		return s, nil
	}
	begin := strings.LastIndexByte(s[:end], '(')
	if begin < 0 {
		return s, nil
	}
	if !parentheses().MatchString(s[begin : end+1]) {
		return "", fmt.Errorf("parentheses %q: write the version without them, or as [version='…']", s[begin:end+1])
	}
	return cut(s, begin, end), nil
}

// set takes over one key of the brackets; it overrides what stands before them.
func (s *Spec) set(p pair) (err error) {
	if p.list != nil && p.key != "extras" && p.key != "flags" {
		return fmt.Errorf("%s cannot be a list", p.key)
	}
	switch p.key {
	case "name": // conda keeps to the name before the brackets
	case "channel":
		channel, subdir := splitChannel(p.value)
		if s.Channel = channel; subdir != "" {
			s.Subdir = subdir
		}
		err = checkPlace(s.Channel, s.Subdir)
	case "subdir":
		s.Subdir = p.value
		err = checkPlace(s.Channel, s.Subdir)
	case "version":
		s.Version, err = version.ParseConstraint(plainVersion(p.value, false))
	case "build":
		s.Build, err = ParsePattern(p.value)
	case "build_number":
		s.BuildNumber, err = ParseNumber(p.value)
	case "license":
		s.License, err = parseFolded(p.value)
	case "license_family":
		s.LicenseFamily, err = parseFolded(p.value)
	case "track_features":
		s.TrackFeatures, err = parseFeatures(p.value)
	case "features":
		s.Features, err = parseFeatures(p.value)
	case "md5":
		s.MD5 = p.value
	case "sha256":
		s.SHA256 = p.value
	case "url":
		s.URL = conda.WithoutCredentials(p.value)
	case "fn":
		s.FileName = p.value
	case "when":
		s.When = p.value
	case "extras":
		s.Extras, err = p.names(extraName())
	case "flags":
		s.Flags, err = p.names(flagName())
	default:
		return fmt.Errorf("%q is not a field that can be asked for", p.key)
	}
	return err
}

// names are the elements of a list, or the only one.
func (p pair) names(form *regexp.Regexp) ([]string, error) {
	list := p.list
	if list == nil {
		list = []string{p.value}
	}
	for _, n := range list {
		if !form.MatchString(n) {
			return nil, fmt.Errorf("%s: %q is not a name for one", p.key, n)
		}
	}
	return list, nil
}

// parseFolded is a pattern for which upper and lower case are the same.
func parseFolded(s string) (Pattern, error) {
	p, err := ParsePattern(strings.ToLower(s))
	p.fold = true
	return p, err
}

func parseFeatures(s string) ([]string, error) {
	w := words(s)
	if len(w) == 0 {
		return nil, errors.New("no feature is named")
	}
	for _, f := range w {
		if !featureName().MatchString(f) {
			return nil, fmt.Errorf("%q is not a feature's name", f)
		}
	}
	return w, nil
}
