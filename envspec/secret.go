package envspec

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// secretPattern finds what must not be shown in a URL: userinfo, even where it is not well-formed, the token of a conda
// channel (/t/TOKEN/), and the value of a query.
// What is still a ${VARIABLE} is not secret.
var secretPattern = regexp.MustCompile(`//([^/'"]+)@|/t/([^/\s'"]+)|://[^\s'"?]*\?([^\s'"]+)|\?([\w.~%-]+=[^\s'"]+)`)

const mask = "***"

// redact masks the credentials in a text.
func redact(s string) string {
	masked, _ := redactAt(s, 0)
	return masked
}

// redactAt masks the credentials in a line and says where character n of it went.
func redactAt(s string, n int) (string, int) {
	var b strings.Builder
	last, moved := 0, n
	for _, m := range secretPattern.FindAllStringSubmatchIndex(s, -1) {
		from, to := m[2], m[3]
		for i := 4; from < 0; i += 2 {
			from, to = m[i], m[i+1]
		}
		if onlyVariables(s[from:to]) {
			continue
		}
		b.WriteString(s[last:from] + mask)
		last = to
		width := utf8.RuneCountInString(s[from:to])
		switch start := utf8.RuneCountInString(s[:from]); {
		case n >= start+width:
			moved -= width - len(mask)
		case n > start:
			moved -= n - start
		}
	}
	b.WriteString(s[last:])
	return b.String(), moved
}

var (
	variable      = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)
	shellVariable = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$([A-Za-z_][A-Za-z0-9_]*)`)
	variableName  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	notSecret     = regexp.MustCompile(`^(?:\$\{[A-Za-z_][A-Za-z0-9_]*\}|\$[A-Za-z_][A-Za-z0-9_]*|:)+$`)
)

func onlyVariables(s string) bool { return notSecret.MatchString(s) }

// unresolvedError names a variable that has no value.
type unresolvedError struct {
	Name string
	Text string // as written, e.g. "${NAME}"
}

func (e *unresolvedError) Error() string {
	return fmt.Sprintf("%s has no value: set the environment variable %s, or write the value itself", e.Text, e.Name)
}

// expand replaces the variables that pattern finds in s by their values. A variable that is empty has no value.
func expand(s string, pattern *regexp.Regexp, getenv func(string) string) (string, error) {
	var b strings.Builder
	last := 0
	for _, m := range pattern.FindAllStringSubmatchIndex(s, -1) {
		name := group(s, m)
		value := ""
		if getenv != nil {
			value = getenv(name)
		}
		if value == "" {
			return "", &unresolvedError{Name: name, Text: s[m[0]:m[1]]}
		}
		b.WriteString(s[last:m[0]] + value)
		last = m[1]
	}
	b.WriteString(s[last:])
	return b.String(), nil
}

// group is the text of the first group that took part in a match.
func group(s string, m []int) string {
	for i := 2; i+1 < len(m); i += 2 {
		if m[i] >= 0 {
			return s[m[i]:m[i+1]]
		}
	}
	return ""
}
