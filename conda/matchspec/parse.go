package matchspec

import (
	"errors"
	"fmt"
	"strings"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/version"
)

// Parse reads a MatchSpec as conda does; its error names s and the place in it. A path of an archive must
// be absolute: ParseIn reads others.
func Parse(s string) (Spec, error) { return ParseIn(s, "") }

// ParseIn is Parse where relative paths of archives are below the folder dir, which is absolute.
func ParseIn(s, dir string) (Spec, error) {
	spec, err := parse(s, dir)
	if err != nil {
		return Spec{}, fmt.Errorf("MatchSpec %q: %w", conda.WithoutCredentials(s), err)
	}
	return spec, nil
}

// MustParse is Parse for specs written in source code: it panics where Parse gives an error.
func MustParse(s string) Spec {
	p, err := Parse(s)
	if err != nil {
		panic(err)
	}
	return p
}

func parse(s, dir string) (Spec, error) {
	if feature, ok := strings.CutSuffix(s, "@"); ok && featureName().MatchString(feature) {
		return Spec{Name: "*", TrackFeatures: []string{feature}}, nil
	}
	text, comment, _ := strings.Cut(s, "#")
	text, when, conditional := strings.Cut(text, " if ")
	if conditional {
		text = strings.TrimSuffix(strings.TrimRight(text, " "), ";") // "name >=1; if condition" is how CEP 43 began
	}
	if archive := strings.TrimRight(text, " "); isArchive(archive) {
		return parseArchive(archive, comment, dir)
	}
	if i := strings.IndexByte(text, '['); i >= 0 && !strings.Contains(text, "]") {
		return Spec{}, &PartError{Offset: i, Err: errors.New("the bracket is not closed")}
	}
	spec := Spec{When: strings.TrimSpace(when)}
	text, pairs, err := cutBrackets(text)
	if err != nil {
		return Spec{}, err
	}
	if text, err = cutParentheses(text); err != nil {
		return Spec{}, err
	}
	text = spec.takeChannel(text)
	if err := checkPlace(spec.Channel, spec.Subdir); err != nil {
		return Spec{}, err
	}
	name, text := cutName(text)
	if name == "" {
		return Spec{}, fmt.Errorf("no package name in %q", strings.TrimSpace(s))
	}
	if spec.Name, err = parseName(name); err != nil {
		return Spec{}, located(s, name, err)
	}
	v, build, err := cutVersion(text)
	if err != nil {
		return Spec{}, err
	}
	if _, ok := find(pairs, "version"); !ok && v != "" {
		if spec.Version, err = version.ParseConstraint(v); err != nil {
			return Spec{}, located(s, strings.TrimSpace(text), err)
		}
	}
	if spec.Build, err = ParsePattern(build); err != nil {
		return Spec{}, located(s, build, err)
	}
	for _, p := range pairs {
		if err := spec.set(p); err != nil {
			return Spec{}, located(s, p.key, err)
		}
	}
	return spec, nil
}

// PartError is an error about a part of a MatchSpec's text.
type PartError struct {
	Offset int // where the part begins in the text, in bytes from 0
	Err    error
}

func (e *PartError) Error() string { return fmt.Sprintf("character %d: %v", e.Offset+1, e.Err) }

// Unwrap is what is wrong with the part.
func (e *PartError) Unwrap() error { return e.Err }

// located says where in s the text stands that the error is about.
func located(s, text string, err error) error {
	if i := strings.Index(s, text); i >= 0 {
		return &PartError{Offset: i, Err: err}
	}
	return err
}

// takeChannel reads "channel/subdir:namespace:" and returns what follows.
func (s *Spec) takeChannel(text string) string {
	i := strings.LastIndexByte(text, ':')
	if i < 0 {
		return text
	}
	rest := text[i+1:]
	if j := strings.LastIndexByte(text[:i], ':'); j >= 0 {
		s.Channel, s.Subdir = splitChannel(text[:j])
		s.Namespace = text[j+1 : i]
	} else {
		s.Namespace = text[:i]
	}
	return rest
}

// cutName splits the name from the version and build. What follows a name but is neither is ignored, as a
// lonely "=" is.
func cutName(s string) (name, rest string) {
	i := strings.IndexAny(s, " =<>!~")
	if i < 0 {
		return s, ""
	}
	if name, rest = s[:i], s[i:]; len(rest) < 2 {
		rest = ""
	}
	return name, rest
}

// isPlain reports whether s is a name of lower-case letters, digits and single separators between them, as nearly all are.
func isPlain(s string) bool {
	separator := true
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			separator = false
		case separator || c != '-' && c != '_' && c != '.':
			return false
		default:
			separator = true
		}
	}
	return !separator
}

func parseName(s string) (conda.PackageName, error) {
	if isPlain(s) && !isArchive(s) {
		return conda.PackageName(s), nil
	}
	l := strings.ToLower(s)
	if bad := foreign().FindString(l); bad != "" {
		return "", fmt.Errorf("package name %q has %q in it: only letters, digits, '_', '.' and '-' are allowed", s, bad)
	}
	if isArchive(l) {
		return "", fmt.Errorf("package name %q: an archive's extension is in lower case", s)
	}
	if !strings.Contains(l, "*") && !packageName().MatchString(l) && !virtualName().MatchString(l) {
		return "", fmt.Errorf("package name %q does not begin with a letter, digit or '_', or has two separators in a row", s)
	}
	return conda.PackageName(l), nil
}

// cutVersion splits "1.2 py_0", "=1.2=py_0", ">=1.0 , < 2.0 py_0" and the like, in each of the ways that
// conda has understood them.
func cutVersion(s string) (v, build string, err error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return "", "", nil
	}
	if strings.Contains(s, "[") {
		return "", "", fmt.Errorf("%q: a bracket is not closed, or there are several", s)
	}
	at := buildAt(s)
	if at < len(s) {
		build = strings.TrimSpace(s[at+1:])
	}
	return plainVersion(strings.ReplaceAll(s[:at], " ", ""), build != ""), build, nil
}

// buildAt is where the separator before the build string is, or len(s). It tries the places in the order
// in which the regular expression of conda's _parse_version_plus_build does:
//
//	((?:.+?)[^><!,|]?)(?:(?<![=!|,<>~])(?:[ =])([^-=,|<>~]+?))?$
func buildAt(s string) int {
	build := strings.LastIndexAny(s, "-=,|<>~") + 1 // a build string begins here or later
	ok := func(i int) bool {
		return i == len(s) || (s[i] == ' ' || s[i] == '=') && i+1 >= build && i+1 < len(s) &&
			strings.IndexByte("=!|,<>~", s[i-1]) < 0
	}
	for i := 1; i < len(s); i++ {
		if strings.IndexByte("><!,|", s[i]) < 0 && ok(i+1) {
			return i + 1
		}
		if ok(i) {
			return i
		}
	}
	return len(s)
}

// plainVersion makes "1.2" of "==1.2" and "1.2*" of "=1.2"; before a build string "=1.2" is 1.2 exactly.
func plainVersion(v string, hasBuild bool) string {
	if v == "=" || v == "==" || !strings.HasPrefix(v, "=") {
		return v
	}
	plain := strings.TrimLeft(v, "=")
	switch {
	case strings.HasPrefix(v, "==") && !hasBuild:
		return plain
	case strings.ContainsAny(plain, "=,|"):
		return v
	case hasBuild || strings.HasSuffix(plain, "*"):
		return plain
	default:
		return plain + "*"
	}
}
