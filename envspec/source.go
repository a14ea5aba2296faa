package envspec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"sort"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// source is a file's text, and the places in it.
type source struct {
	path   string
	text   string
	starts []int // the offset at which each line begins
}

const bom = "\uFEFF"

func newSource(f File) *source {
	s := &source{path: f.Path, text: string(f.Data), starts: []int{0}}
	if strings.HasPrefix(s.text, bom) {
		s.starts[0] = len(bom) // YAML does not count it
	}
	for i := 0; i < len(s.text); {
		n := lineBreak(s.text[i:])
		if n == 0 {
			i++
			continue
		}
		i += n
		s.starts = append(s.starts, i)
	}
	return s
}

// lineBreak is the length of the line break that s, not empty, begins with, as YAML counts them: 0 if there is none.
func lineBreak(s string) int {
	switch s[0] {
	case '\n':
		return 1
	case '\r':
		if strings.HasPrefix(s, "\r\n") {
			return 2
		}
		return 1
	case 0xC2, 0xE2:
		if r, n := utf8.DecodeRuneInString(s); r == 0x85 || r == 0x2028 || r == 0x2029 {
			return n
		}
	}
	return 0
}

// bounds are the offsets of line n without its line break; an empty range at the end where there is no such line.
func (s *source) bounds(n int) (start, end int) {
	if n < 1 || n > len(s.starts) {
		return len(s.text), len(s.text)
	}
	start, end = s.starts[n-1], len(s.text)
	for i := start; i < end; i++ {
		if lineBreak(s.text[i:]) > 0 {
			return start, i
		}
	}
	return start, end
}

// line is line n's text.
func (s *source) line(n int) string {
	start, end := s.bounds(n)
	return s.text[start:end]
}

// offset is where a line's column is in the text, or false if the line is not that long.
func (s *source) offset(line, column int) (int, bool) {
	start, end := s.bounds(line)
	for c := 1; c < column; c++ {
		if start >= end {
			return 0, false
		}
		_, n := utf8.DecodeRuneInString(s.text[start:end])
		start += n
	}
	return start, line >= 1 && line <= len(s.starts)
}

// position is the place of an offset.
func (s *source) position(offset int) Position {
	n := max(1, sort.SearchInts(s.starts, offset+1))
	start := min(s.starts[n-1], offset)
	return Position{File: s.path, Line: n, Column: 1 + utf8.RuneCountInString(s.text[start:offset])}
}

// at is a node's place.
func (s *source) at(n *yaml.Node) Position {
	return Position{File: s.path, Line: max(1, n.Line), Column: max(1, n.Column)}
}

// errorf is an error at a node.
func (s *source) errorf(n *yaml.Node, format string, args ...any) *Error {
	return s.errorAt(s.at(n), nil, format, args...)
}

// wrap is an error at a node, with a cause.
func (s *source) wrap(n *yaml.Node, err error, format string, args ...any) *Error {
	return s.errorAt(s.at(n), err, format, args...)
}

func (s *source) errorAt(p Position, err error, format string, args ...any) *Error {
	line, caret := excerpt(redactAt(s.line(p.Line), p.Column-1))
	return &Error{Position: p, Source: line, Msg: redact(fmt.Sprintf(format, args...)), Err: err, caret: caret}
}

// documents parses a text of the source's own lines (the text itself, or the text with lines blanked) into its
// YAML documents, those that are empty left out.
func (s *source) documents(text string) ([]*yaml.Node, error) {
	if err := s.checkCharacters(); err != nil {
		return nil, err
	}
	docs, err := parseYAML(text)
	if err != nil {
		return nil, s.syntaxError(text, err)
	}
	return docs, nil
}

// parseYAML parses all documents of a text.
func parseYAML(text string) ([]*yaml.Node, error) { return decodeAll(strings.NewReader(text)) }

func decodeAll(r io.Reader) (docs []*yaml.Node, err error) {
	defer func() {
		// The parser indexes past its buffers on some malformed inputs: that is a malformed input, not a crash.
		if r := recover(); r != nil {
			docs, err = nil, fmt.Errorf("not readable as YAML (%v)", r)
		}
	}()
	d := yaml.NewDecoder(r)
	for {
		var n yaml.Node
		if err := d.Decode(&n); errors.Is(err, io.EOF) {
			return docs, nil
		} else if err != nil {
			return nil, err
		}
		if n.Kind == yaml.DocumentNode && len(n.Content) == 1 && !isEmpty(n.Content[0]) {
			docs = append(docs, n.Content[0])
		}
	}
}

// isEmpty reports whether nothing is written at a node.
func isEmpty(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" && n.Value == ""
}

// checkCharacters refuses what is not a YAML character, where it is.
func (s *source) checkCharacters() error {
	if strings.HasPrefix(s.text, "\xff\xfe") || strings.HasPrefix(s.text, "\xfe\xff") {
		return s.errorAt(s.position(0), nil, "the file is UTF-16, as PowerShell writes it: save it as UTF-8")
	}
	for i, r := range s.text {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s.text[i:], string(utf8.RuneError)):
			return s.errorAt(s.position(i), nil, "this byte (0x%02x) is not UTF-8: save the file as UTF-8", s.text[i])
		case r == 0xFEFF && i == 0, r == '\t', r == '\n', r == '\r', r == 0x85:
		case r < 0x20, r >= 0x7F && r < 0xA0, r == 0xFEFF, r == 0xFFFE, r == 0xFFFF:
			return s.errorAt(s.position(i), nil, "the control character %U is not allowed in YAML", r)
		}
	}
	return nil
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line \d+: )?`)

// syntaxError turns an error of the YAML parser into one at its place. The parser gives a line that is near the
// place and no column: the place is after the longest part of the text that can be parsed.
func (s *source) syntaxError(text string, err error) *Error {
	msg := err.Error()
	msg = msg[len(yamlLine.FindString(msg)):]
	read := charactersRead(text)
	if strings.Contains(msg, "cannot start any token") {
		// That token is the last that the parser looked at, and it looks four characters ahead.
		last := max(0, read-4)
		if i := strings.IndexAny(text[last:read], "@`%"); i >= 0 {
			return s.badYAML(s.position(last+i), msg)
		}
	}
	return s.badYAML(s.position(s.unparsed(text, read)), msg)
}

// longestProbed is how long a text may be for the place of a fault to be found by parsing its beginnings.
const longestProbed = 1 << 18

// unparsed is where what cannot be parsed of a text begins, at the latest at an offset.
func (s *source) unparsed(text string, latest int) int {
	if len(text) > longestProbed { // no environment has as much: the line that the parser has come to will do
		return s.firstWord(s.position(latest).Line)
	}
	p := prober{text: text, budget: 1 << 20}
	n := p.last(s.position(latest).Line, func(line int) int { return s.starts[line-1] })
	start, end := s.bounds(n)
	if tab := strings.IndexByte(text[start:end], '\t'); tab >= 0 && strings.TrimSpace(text[start:start+tab]) == "" {
		return start + tab
	}
	ends := []int{start}
	for i := range text[start:end] {
		if i > 0 {
			ends = append(ends, start+i)
		}
	}
	ends = append(ends, end)
	return max(s.firstWord(n), ends[p.last(len(ends), func(i int) int { return ends[i-1] })-1])
}

// prober finds out which beginnings of a text can be parsed.
type prober struct {
	text   string
	budget int // how many bytes may be parsed for it one beginning after the other
}

func (p *prober) parses(end int) bool {
	p.budget -= end
	_, err := parseYAML(p.text[:end])
	return err == nil
}

// last is the greatest i in 1 … n for which the text up to end(i) can be parsed; 1 if there is none. Where that
// would take too long it is one that can be parsed while the next cannot.
func (p *prober) last(n int, end func(i int) int) int {
	for ; n > 1; n-- {
		if p.budget < 0 {
			return max(1, sort.Search(n, func(i int) bool { return i > 0 && !p.parses(end(i)) })-1)
		}
		if p.parses(end(n)) {
			return n
		}
	}
	return 1
}

// charactersRead is how far the parser comes in a text that it cannot parse, its look ahead included.
func charactersRead(text string) int {
	r := &oneByteReader{text: text}
	_, _ = decodeAll(r)
	return r.read
}

// oneByteReader is read byte by byte, so that what was read tells how far its reader has come.
type oneByteReader struct {
	text string
	read int
}

func (r *oneByteReader) Read(p []byte) (int, error) {
	if len(p) == 0 || r.read == len(r.text) {
		return 0, io.EOF
	}
	r.read++
	return copy(p, r.text[r.read-1:r.read]), nil
}

func (s *source) badYAML(p Position, msg string) *Error {
	if o, ok := s.offset(p.Line, p.Column); ok && strings.HasPrefix(s.text[o:], "\t") {
		msg = "a tab cannot indent YAML, use spaces"
	}
	return s.errorAt(p, nil, "this is not YAML: %s", msg)
}

// firstWord is the offset of the first character of line n that is not blank.
func (s *source) firstWord(n int) int {
	start, end := s.bounds(n)
	line := s.text[start:end]
	return start + len(line) - len(strings.TrimLeft(line, " "))
}

// newline is the line break that the file uses.
func (s *source) newline() string {
	if i := strings.IndexByte(s.text, '\n'); i > 0 && s.text[i-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}

// pair is one entry of a mapping.
type pair struct {
	key   *yaml.Node
	value *yaml.Node // never an alias
}

// mapping is the entries of a mapping, whose keys are strings and unique; what names the mapping in messages.
func (s *source) mapping(n *yaml.Node, what string) ([]pair, error) {
	m := deref(n)
	if m.Kind != yaml.MappingNode {
		return nil, s.errorf(n, "%s: want a mapping (key: value), found %s", what, describe(m))
	}
	var pairs []pair
	seen := map[string]int{}
	for i := 0; i+1 < len(m.Content); i += 2 {
		k, v := m.Content[i], m.Content[i+1]
		switch {
		case k.Kind == yaml.ScalarNode && k.ShortTag() == "!!merge":
			return nil, s.errorf(k, "%s: merge keys (<<) are not read here: write the entries themselves", what)
		case k.Kind != yaml.ScalarNode || k.ShortTag() == "!!null":
			return nil, s.errorf(k, "%s: a key must be a word, found %s", what, describe(k))
		}
		if line, ok := seen[k.Value]; ok {
			return nil, s.errorf(k, "%s: the key %q is already there, on line %d", what, k.Value, line)
		}
		seen[k.Value] = k.Line
		pairs = append(pairs, pair{key: k, value: deref(v)})
	}
	return pairs, nil
}

// str is a scalar that is a string.
func (s *source) str(n *yaml.Node, what string) (string, error) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
		return "", s.errorf(n, "%s: want a string, found %s", what, describe(n))
	}
	return n.Value, nil
}

// list is the elements of a list, aliases followed.
func (s *source) list(n *yaml.Node, what string) ([]*yaml.Node, error) {
	if n.Kind != yaml.SequenceNode {
		return nil, s.errorf(n, "%s: want a list (- …), found %s", what, describe(n))
	}
	items := make([]*yaml.Node, len(n.Content))
	for i, c := range n.Content {
		items[i] = deref(c)
	}
	return items, nil
}

func deref(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

// describe says what a node is, for messages.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	switch n.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!int", "!!float":
		return "the number " + n.Value
	case "!!bool":
		return "the boolean " + n.Value
	case "!!timestamp":
		return "the date " + n.Value
	case "!!str":
		return fmt.Sprintf("the string %q", n.Value)
	}
	return fmt.Sprintf("%s (%s)", n.Value, n.ShortTag())
}

// quoted is a string as a double-quoted YAML (and JSON) scalar.
func quoted(v string) string {
	var b bytes.Buffer
	b.WriteByte('"')
	for _, r := range v {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x20 || r >= 0x7F && r < 0xA0 || r == 0x2028 || r == 0x2029 || r == 0xFEFF || r == 0xFFFE || r == 0xFFFF:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
