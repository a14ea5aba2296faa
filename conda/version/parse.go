package version

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// after makes of a key the least one that is greater.
const after = "\x00"

// maxDepth bounds how deep parentheses may nest.
const maxDepth = 64

// ParseConstraint reads a version constraint as conda's VersionSpec does; its error says what in s is
// wrong. "1.8" is exactly that version; "=1.8", "1.8*" and "1.8.*" are versions that begin with 1.8.
func ParseConstraint(s string) (Constraint, error) {
	p := parser{rest: s}
	n, err := p.either(0)
	if err == nil && p.rest != "" {
		err = fmt.Errorf("%q follows where '|' or ',' is wanted", p.rest)
	}
	if err != nil {
		return Constraint{}, fmt.Errorf("version constraint %q: %w", s, err)
	}
	return Constraint{root: &n}, nil
}

// parser reads a constraint from left to right. ',' binds tighter than '|'.
type parser struct{ rest string }

func (p *parser) either(depth int) (node, error) { return p.join('|', either, depth, p.all) }
func (p *parser) all(depth int) (node, error)    { return p.join(',', all, depth, p.term) }

// join reads parts with the separator between them; parts that are joined in the same way become one.
func (p *parser) join(sep byte, k kind, depth int, part func(int) (node, error)) (node, error) {
	source := p.rest
	n, err := part(depth)
	if err != nil || !p.take(sep) {
		return n, err
	}
	joined := node{kind: k, nodes: make([]node, 0, 2)}
	joined.add(n)
	for more := true; more; more = p.take(sep) {
		if n, err = part(depth); err != nil {
			return node{}, err
		}
		joined.add(n)
	}
	joined.text = joined.join(sep, source[:len(source)-len(p.rest)])
	return joined, nil
}

// join is the text of a node that was read from source.
func (n *node) join(sep byte, source string) string {
	length := len(n.nodes) - 1
	for i := range n.nodes {
		length += len(n.nodes[i].text)
	}
	if length == len(source) && !strings.ContainsAny(source, " \t()") {
		return source // what is written otherwise is written longer
	}
	texts := make([]string, len(n.nodes))
	for i := range n.nodes {
		if texts[i] = n.nodes[i].text; n.nodes[i].kind == either {
			texts[i] = "(" + texts[i] + ")" // conda leaves them out, and then reads another constraint
		}
	}
	return strings.Join(texts, string(sep))
}

func (n *node) add(part node) {
	if part.kind == n.kind {
		n.nodes = append(n.nodes, part.nodes...)
	} else {
		n.nodes = append(n.nodes, part)
	}
}

func (p *parser) term(depth int) (node, error) {
	if p.take('(') {
		if depth >= maxDepth {
			return node{}, errors.New("parentheses nest too deep")
		}
		n, err := p.either(depth + 1)
		if err == nil && !p.take(')') {
			err = errors.New("')' is missing")
		}
		return n, err
	}
	end := strings.IndexAny(p.rest, "()|,")
	if strings.HasPrefix(p.rest, "^") {
		if i := strings.IndexByte(p.rest, '$'); i >= 0 {
			end = i + 1 // whatever a regular expression holds is its own
		}
	}
	if end < 0 {
		end = len(p.rest)
	}
	text := strings.TrimSpace(p.rest[:end])
	p.rest = p.rest[end:]
	if text == "" {
		return node{}, errors.New("a version is missing")
	}
	return clause(text)
}

// take skips spaces, and c where it follows.
func (p *parser) take(c byte) bool {
	p.rest = strings.TrimLeftFunc(p.rest, unicode.IsSpace) // as TrimSpace in term
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

// clause reads a single condition.
func clause(s string) (node, error) {
	first, last := s[0], s[len(s)-1]
	body := strings.TrimRight(s, "*")
	switch {
	case first == '^' || last == '$':
		return regexClause(s)
	case strings.IndexByte("=<>!~", first) >= 0:
		return operatorClause(s)
	case s == "*":
		return node{kind: anything, text: s}, nil
	case strings.Contains(body, "*"):
		rx := strings.ReplaceAll(regexp.QuoteMeta(s), `\*`, ".*")
		re, err := regexp.Compile("^(?:" + rx + ")$")
		return node{kind: pattern, text: s, regex: re}, err
	case last == '*' && body != "" && (len(body) < len(s)-1 || strings.HasSuffix(body, "..")):
		return node{}, fmt.Errorf("%q: want a version and then one '*' or '.*'", s)
	case last == '*':
		if !strings.HasSuffix(s, ".*") {
			s = s[:len(s)-1] + ".*"
		}
		n, err := prefix(strings.TrimRight(strings.TrimRight(s, "*"), "."))
		n.text = s
		return n, err
	default:
		n, err := compare("==", s)
		n.text = s
		return n, err
	}
}

func regexClause(s string) (node, error) {
	if len(s) < 2 || s[0] != '^' || s[len(s)-1] != '$' {
		return node{}, fmt.Errorf("regular expression %q: want '^' at its beginning and '$' at its end", s)
	}
	re, err := regexp.Compile(s)
	if err != nil {
		return node{}, fmt.Errorf("regular expression %q: %w", s, err)
	}
	return node{kind: pattern, text: s, regex: re}, nil
}

// operatorClause reads an operator and its version.
func operatorClause(s string) (node, error) {
	op := s[:1]
	for _, o := range []string{"==", "!=", "<=", ">=", "~="} {
		if strings.HasPrefix(s, o) {
			op = o
		}
	}
	v := s[len(op):]
	if op == "!" || op == "~" || v == "" || strings.IndexByte("=<>!~", v[0]) >= 0 || strings.ContainsAny(v, " \t\r\n\f\v") {
		return node{}, fmt.Errorf("invalid operator in %q: want one of = == != < <= > >= ~= and a version right after it", s)
	}
	if stem, ok := strings.CutSuffix(v, ".*"); ok {
		if op == "~=" {
			return node{}, fmt.Errorf("%q: '~=' does not go with '.*'", s)
		}
		if v = stem; op == "!=" {
			op = "!=*"
		}
	}
	n, err := compare(op, v)
	n.text = s
	return n, err
}

// compare is the range of keys that an operator and a version stand for.
func compare(op, s string) (node, error) {
	if op == "=" || op == "!=*" {
		n, err := prefix(s)
		if op == "!=*" {
			n.kind = outside
		}
		return n, err
	}
	v, err := Parse(s)
	if err != nil {
		return node{}, err
	}
	n := node{kind: within}
	switch op {
	case "==":
		n.low, n.high = v.key, v.key+after
	case "!=":
		n.kind, n.low, n.high = outside, v.key, v.key+after
	case "<":
		n.low, n.high = after, v.key
	case "<=":
		n.low, n.high = after, v.key+after
	case ">":
		n.low = v.key + after
	case ">=":
		n.low = v.key
	case "~=":
		i := strings.LastIndexByte(v.text, '.')
		if i < 0 {
			return node{}, fmt.Errorf("\"~=%s\" wants a version of two components or more", s)
		}
		if n, err = prefix(v.text[:i]); err != nil {
			return node{}, err
		}
		n.low = max(n.low, v.key)
	}
	return n, nil
}

// prefix is the range of the versions that begin like s: conda's VersionOrder.startswith. The last atom,
// where it is a text, may go on: 1.8rc1 begins with 1.8r.
func prefix(s string) (node, error) {
	low, high := keyWriter{extra: least}, keyWriter{extra: greatest}
	if err := low.version(s); err != nil {
		return node{}, fmt.Errorf("version %q: %w", s, err)
	}
	if err := high.version(s); err != nil {
		return node{}, err
	}
	return node{kind: within, low: string(low.buf), high: string(high.buf)}, nil
}
