package matchspec

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Pattern is what a spec asks of a text: to be it, to fit a glob such as "py311*", or to match a ^regex$.
// The zero value is met by every text.
type Pattern struct {
	text  string
	glob  bool
	fold  bool // upper and lower case are the same; text is in lower case
	regex *regexp.Regexp
}

// ParsePattern reads a pattern as conda does.
func ParsePattern(s string) (Pattern, error) {
	p := Pattern{text: s}
	if len(s) > 1 && s[0] == '^' && s[len(s)-1] == '$' {
		re, err := regexp.Compile(s)
		if err != nil {
			return Pattern{}, fmt.Errorf("regular expression %q: %w", s, err)
		}
		p.regex = re
		return p, nil
	}
	p.glob = strings.Contains(s, "*")
	return p, nil
}

// IsAny reports whether every text meets the pattern.
func (p Pattern) IsAny() bool { return p.text == "" || p.text == "*" }

// IsExact reports whether only one text meets the pattern.
func (p Pattern) IsExact() bool { return p.text != "" && !p.glob && p.regex == nil }

// Match reports whether s meets the pattern.
func (p Pattern) Match(s string) bool {
	if p.text == "" {
		return true
	}
	if p.fold {
		s = strings.ToLower(s)
	}
	switch {
	case p.glob:
		return matchGlob(p.text, s)
	case p.regex != nil:
		return p.regex.MatchString(s)
	default:
		return p.text == s
	}
}

// String is the pattern as it was written.
func (p Pattern) String() string { return p.text }

// matchGlob reports whether s fits the glob, in which '*' stands for any text.
func matchGlob(glob, s string) bool {
	head, rest, more := strings.Cut(glob, "*")
	if !more {
		return glob == s
	}
	if !strings.HasPrefix(s, head) {
		return false
	}
	s = s[len(head):]
	for {
		part, next, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(s, part)
		}
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s, rest = s[i+len(part):], next
	}
}

// Number is what a spec asks of a build number: a number, or one with an operator such as ">=2". The zero
// value is met by every number.
type Number struct {
	text  string
	op    string // "" tests the number's text with pattern
	n     int64
	fixed Pattern
}

// ParseNumber reads a condition on build numbers as conda's BuildNumberMatch does.
func ParseNumber(s string) (Number, error) {
	s = strings.TrimSpace(s)
	op := strings.TrimRight(s[:min(len(s), 2)], "+-0123456789")
	switch op {
	case "=", "==", "!=", "<", "<=", ">", ">=":
	case "":
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return Number{text: strconv.FormatInt(n, 10), op: "==", n: n}, nil
		}
		fallthrough
	default:
		if s == "" || strings.ContainsAny(s[:1], "=<>!") {
			return Number{}, fmt.Errorf("build number %q: invalid operator", s)
		}
		p, err := ParsePattern(s)
		p.glob = s == "*" // conda knows no other glob here
		return Number{text: s, fixed: p}, err
	}
	n, err := strconv.ParseInt(s[len(op):], 10, 64)
	if err != nil {
		return Number{}, fmt.Errorf("build number %q: want a number after %s", s, op)
	}
	return Number{text: s, op: op, n: n}, nil
}

// IsAny reports whether every number meets the condition.
func (n Number) IsAny() bool { return n.text == "" || n.text == "*" }

// Match reports whether the build number meets the condition.
func (n Number) Match(b int64) bool {
	switch n.op {
	case "=", "==":
		return b == n.n
	case "!=":
		return b != n.n
	case "<":
		return b < n.n
	case "<=":
		return b <= n.n
	case ">":
		return b > n.n
	case ">=":
		return b >= n.n
	default:
		return n.IsAny() || n.fixed.Match(strconv.FormatInt(b, 10))
	}
}

// String is the condition as it was written.
func (n Number) String() string { return n.text }
