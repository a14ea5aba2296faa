package envspec

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// editor collects replacements of parts of a source's text.
type editor struct {
	*source
	edits  []edit
	failed bool // a place could not be told
}

// edit replaces the text from start to end.
type edit struct {
	start, end int
	text       string
}

// annotationPlace is where among the annotations new ones go.
type annotationPlace int

const (
	atEnd   annotationPlace = iota // where people put them
	atStart                        // where they cannot be taken for a part of a multi-line value
)

func (e *editor) add(start, end int, text string) { e.edits = append(e.edits, edit{start, end, text}) }

// text is the source's text with the edits made, or false if one of them could not be.
func (e *editor) text() (string, bool) {
	if e.failed {
		return "", false
	}
	slices.SortStableFunc(e.edits, func(a, b edit) int { return cmp.Compare(a.start, b.start) })
	var b strings.Builder
	last := 0
	for _, d := range e.edits {
		if d.start < last {
			return "", false
		}
		b.WriteString(e.source.text[last:d.start] + d.text)
		last = d.end
	}
	b.WriteString(e.source.text[last:])
	return b.String(), true
}

// begin is the offset of a node's first character, after its anchor and tag.
func (e *editor) begin(n *yaml.Node) (int, bool) {
	o, ok := e.offset(n.Line, n.Column)
	for ok && o < len(e.source.text) && (e.source.text[o] == '&' || e.source.text[o] == '!') {
		rest := e.source.text[o:]
		word := strings.IndexAny(rest, " \t\r\n")
		if word < 0 {
			return 0, false
		}
		blank := len(rest[word:]) - len(strings.TrimLeft(rest[word:], " \t"))
		o += word + blank
	}
	return o, ok && o < len(e.source.text)
}

// token is the part of the text that is a scalar or an alias; false for those of several lines, except quoted.
func (e *editor) token(n *yaml.Node) (start, end int, ok bool) {
	start, ok = e.begin(n)
	if !ok {
		return 0, 0, false
	}
	rest := e.source.text[start:]
	switch {
	case n.Kind == yaml.AliasNode:
		return start, start + 1 + len(n.Value), strings.HasPrefix(rest, "*"+n.Value)
	case n.Kind != yaml.ScalarNode:
		return 0, 0, false
	case n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		length := quotedLength(rest)
		return start, start + length, length > 0
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return 0, 0, false
	}
	return start, start + len(n.Value), n.Value != "" && strings.HasPrefix(rest, n.Value)
}

// quotedLength is the length of the quoted scalar that s begins with, or 0.
func quotedLength(s string) int {
	if s == "" || s[0] != '"' && s[0] != '\'' {
		return 0
	}
	for i := 1; i < len(s); i++ {
		switch {
		case s[0] == '"' && s[i] == '\\':
			i++
		case s[i] == s[0] && s[0] == '\'' && i+1 < len(s) && s[i+1] == '\'':
			i++
		case s[i] == s[0]:
			return i + 1
		}
	}
	return 0
}

// replace writes a value in a scalar's or alias' place, in the scalar's own style.
func (e *editor) replace(n *yaml.Node, value string) {
	e.replaceText(n, render(value, n.Style))
}

// render is a value as a scalar on one line.
func render(v string, style yaml.Style) string {
	switch {
	case style&yaml.SingleQuotedStyle != 0 && !strings.ContainsFunc(v, func(r rune) bool { return r < 0x20 || r >= 0x7F }):
		return "'" + strings.ReplaceAll(v, "'", "''") + "'"
	case style&yaml.DoubleQuotedStyle == 0 && plainWord(v):
		return v
	}
	return quoted(v)
}

// replaceVariables writes out the variables of a scalar. They are in the text as they are in the value, in the
// same order, whatever the scalar's style.
func (e *editor) replaceVariables(c change) {
	if _, _, ok := e.token(c.node); ok && c.node.Style&^yaml.TaggedStyle == 0 && !plainWord(c.value) {
		e.replace(c.node, c.value)
		return
	}
	at, ok := e.begin(c.node)
	if !ok {
		e.failed = true
		return
	}
	for _, m := range variable.FindAllStringSubmatch(c.node.Value, -1) {
		i := strings.Index(e.source.text[at:], m[0])
		if i < 0 {
			e.failed = true
			return
		}
		at += i
		e.add(at, at+len(m[0]), escape(c.variables[m[1]], c.node.Style))
		at += len(m[0])
	}
}

// escape is a text inside a scalar of a style.
func escape(v string, style yaml.Style) string {
	switch {
	case style&yaml.DoubleQuotedStyle != 0:
		q := quoted(v)
		return q[1 : len(q)-1]
	case style&yaml.SingleQuotedStyle != 0:
		return strings.ReplaceAll(v, "'", "''")
	}
	return v
}

// annotate adds annotations to the document's.
func (e *editor) annotate(doc *yaml.Node, annotations map[string]string, place annotationPlace) {
	metadata := child(doc, "metadata")
	i := index(metadata, "annotations")
	if i < 0 {
		e.insert(metadata, entries{under: "annotations", values: annotations}, place)
		return
	}
	key, own := metadata.Content[i], metadata.Content[i+1]
	fresh := maps.Clone(annotations)
	for j := 0; own.Kind == yaml.MappingNode && j+1 < len(own.Content); j += 2 {
		if v, ok := fresh[own.Content[j].Value]; ok {
			e.replace(own.Content[j+1], v)
			delete(fresh, own.Content[j].Value)
		}
	}
	switch {
	case len(fresh) == 0:
	case own.Kind == yaml.ScalarNode: // written as nothing
		if own.Value != "" {
			e.remove(own)
		}
		step := key.Column - 1
		e.addLines(key.Line, entries{values: fresh}.block(step+max(2, step), 2))
	default:
		e.insert(own, entries{values: fresh}, place)
	}
}

// entries are new entries of a mapping, or of a new mapping below one key of it.
type entries struct {
	under  string
	values map[string]string
}

// flow is the entries inside braces, as JSON has them.
func (n entries) flow() string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(n.values)) {
		parts = append(parts, quoted(k)+": "+quoted(n.values[k]))
	}
	text := strings.Join(parts, ", ")
	if n.under != "" {
		text = quoted(n.under) + ": {" + text + "}"
	}
	return text
}

// block is the entries as lines.
func (n entries) block(indent, step int) []string {
	var lines []string
	if n.under != "" {
		lines = append(lines, strings.Repeat(" ", indent)+n.under+":")
		indent += step
	}
	for _, k := range slices.Sorted(maps.Keys(n.values)) {
		lines = append(lines, strings.Repeat(" ", indent)+render(k, 0)+": "+quoted(n.values[k]))
	}
	return lines
}

// insert adds entries to a mapping.
func (e *editor) insert(m *yaml.Node, n entries, place annotationPlace) {
	if at, ok := e.begin(m); ok && m.Style&yaml.FlowStyle != 0 && e.source.text[at] == '{' {
		text := n.flow()
		if len(m.Content) > 0 {
			text += ", "
		}
		e.add(at+1, at+1, text)
		return
	}
	if m.Kind != yaml.MappingNode || len(m.Content) == 0 {
		e.failed = true
		return
	}
	first := m.Content[0]
	lines := n.block(first.Column-1, max(2, first.Column-1))
	if place == atStart {
		e.addLines(first.Line-1, lines)
		return
	}
	e.addLines(e.lastLine(first), lines)
}

// lastLine is the last line of the block mapping that begins with a key, comments of its own included.
func (e *editor) lastLine(first *yaml.Node) int {
	last := first.Line
	for n := first.Line + 1; n <= len(e.starts); n++ {
		line := e.line(n)
		word := strings.TrimLeft(line, " ")
		switch outside := len(line)-len(word) < first.Column-1; {
		case strings.TrimSpace(word) == "", outside && word[0] == '#':
		case outside:
			return last
		default:
			last = n
		}
	}
	return last
}

// addLines inserts lines after line n.
func (e *editor) addLines(n int, lines []string) {
	newline := e.newline()
	text := strings.Join(lines, newline)
	if n < len(e.starts) {
		e.add(e.starts[n], e.starts[n], text+newline)
		return
	}
	end := len(e.source.text)
	e.add(end, end, newline+text+newline)
}

// remove takes a scalar and the blanks before it away.
func (e *editor) remove(n *yaml.Node) {
	start, end, ok := e.token(n)
	if !ok {
		e.failed = true
		return
	}
	e.add(len(strings.TrimRight(e.source.text[:start], " ")), end, "")
}

// replaceText writes a text in a scalar's place.
func (e *editor) replaceText(n *yaml.Node, text string) {
	start, end, ok := e.token(n)
	if !ok {
		e.failed = true
		return
	}
	e.add(start, end, text)
}
