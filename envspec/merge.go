package envspec

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/matchspec"
)

// merger makes one environment of several files.
type merger struct {
	opts            Options
	env             Environment
	warnings        []Warning
	hasDependencies bool
	seen            map[string]bool // dependencies, in their canonical form
	first           *reader
}

// reader reads one file into a merger.
type reader struct {
	*source
	*merger
	doc      *yaml.Node
	sections []pair // its keys
	category string
	pipAt    *yaml.Node // the file's pip section
}

// add reads a file and appends what it asks for.
func (m *merger) add(f File) error {
	r := reader{source: newSource(f), merger: m}
	m.env.Files = append(m.env.Files, f.Path)
	text, comments, err := r.selectLines(m.opts.Subdir)
	if err != nil {
		return err
	}
	docs, err := r.documents(text)
	if err != nil {
		return err
	}
	switch {
	case len(docs) == 0:
		return r.errorAt(Position{File: f.Path, Line: 1, Column: 1}, nil, "the file is empty: want at least \"dependencies:\" and a list")
	case len(docs) > 1:
		return r.errorf(docs[1], "a second YAML document: want one environment in a file")
	}
	r.doc = docs[0]
	if r.sections, err = r.mapping(r.doc, "environment"); err != nil {
		return err
	}
	if err := r.other(); err != nil {
		return err
	}
	if m.first == nil {
		m.first = &r
	}
	dicts, err := r.read()
	if err != nil {
		return err
	}
	if comments && dicts != nil {
		r.warn(dicts, "both kinds of selectors, \"# [linux]\" and \"sel(linux):\", in one file: other tools read only one of them")
	}
	return nil
}

func (r *reader) warn(n *yaml.Node, format string, args ...any) {
	r.warnings = append(r.warnings, Warning{Position: r.at(n), Msg: redact(fmt.Sprintf(format, args...))})
}

// read reads the top-level keys, and gives the first dictionary selector, if there is one.
func (r *reader) read() (dicts *yaml.Node, err error) {
	for _, s := range r.sections { // first, because it labels the dependencies
		if s.key.Value == "category" {
			if r.category, err = r.str(s.value, "category"); err != nil {
				return nil, err
			}
		}
	}
	for _, s := range r.sections {
		switch s.key.Value {
		case "name":
			err = r.name(s.value)
		case "channels":
			err = r.channels(s.value)
		case "dependencies":
			dicts, err = r.dependencies(s.key, s.value)
		case "variables":
			err = r.variables(s.value)
		case "platforms":
			err = r.platforms(s.value)
		case "category":
		case "prefix":
			r.warn(s.key, "prefix is ignored: the image has its own")
		default:
			r.warn(s.key, "the key %q is not known and ignored%s", s.key.Value, nearest(s.key.Value, topLevelKeys))
		}
		if err != nil {
			return nil, err
		}
	}
	return dicts, nil
}

var topLevelKeys = []string{"name", "channels", "dependencies", "variables", "platforms", "category", "prefix"}

// name reads the environment's name.
func (r *reader) name(n *yaml.Node) error {
	if isEmpty(n) {
		return nil
	}
	name, err := r.str(n, "name")
	if err != nil {
		return err
	}
	if i := strings.IndexAny(name, "/ :#"); i >= 0 {
		return r.errorf(n, "name: %q must not contain %q (CEP 24)", name, name[i:i+1])
	}
	if name == "base" || name == "root" {
		r.warn(n, "name: %q is the name that conda gives to its own environment: choose another", name)
	}
	if r.env.Name == "" {
		r.env.Name = name
	}
	return nil
}

// channels reads the list of channels.
func (r *reader) channels(n *yaml.Node) error {
	if isEmpty(n) {
		r.warn(n, "channels is empty")
		return nil
	}
	items, err := r.list(n, "channels")
	if err != nil {
		return err
	}
	for _, item := range items {
		text, err := r.str(item, "channels")
		if err != nil {
			return err
		}
		text = strings.TrimSpace(text)
		if text == "" || strings.ContainsAny(text, " \t\r\n\x00") {
			return r.errorf(item, "channels: %q is not a channel's name, URL or path", text)
		}
		if schemeless.MatchString(text) {
			return r.errorf(item, "channels: %q has credentials, but is no URL: https: is missing before it", text)
		}
		if text == "nodefaults" {
			r.env.NoDefaults = true
			continue
		}
		ref, err := expand(text, shellVariable, r.opts.Getenv)
		if err != nil {
			return r.unresolved(item, err, "channel %q", text)
		}
		if slices.ContainsFunc(r.env.Channels, func(c Channel) bool { return c.ref == ref }) {
			continue
		}
		r.env.Channels = append(r.env.Channels, Channel{Text: text, Position: r.at(item), ref: ref, place: *r.errorf(item, "channels")})
	}
	return nil
}

// unresolved is an error at the variable that has no value.
func (s *source) unresolved(n *yaml.Node, err error, format string, args ...any) error {
	p := s.at(n)
	var u *unresolvedError
	if o, ok := s.offset(p.Line, p.Column); ok && errors.As(err, &u) {
		if i := strings.Index(s.text[o:], u.Text); i >= 0 {
			p = s.position(o + i)
		}
	}
	return s.errorAt(p, err, format, args...)
}

// dependencies reads the list of packages and subsections, and gives the first dictionary selector.
func (r *reader) dependencies(key, n *yaml.Node) (dicts *yaml.Node, err error) {
	r.hasDependencies = true
	if isEmpty(n) {
		r.warn(key, "dependencies is empty")
		return nil, nil
	}
	items, err := r.list(n, "dependencies")
	if err != nil {
		return nil, err
	}
	for _, item := range items {
		if item.Kind != yaml.MappingNode {
			if err := r.dependency(item); err != nil {
				return nil, err
			}
			continue
		}
		entries, err := r.mapping(item, "dependencies")
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			selector, err := r.subsection(e)
			if err != nil {
				return nil, err
			}
			if selector && dicts == nil {
				dicts = e.key
			}
		}
	}
	return dicts, nil
}

// subsection reads a mapping among the dependencies: a pip section or a selector.
func (r *reader) subsection(e pair) (selector bool, err error) {
	if m := dictSelector.FindStringSubmatch(e.key.Value); m != nil {
		keep, known := dictSelectorValue(strings.TrimSpace(m[1]), r.opts.Subdir)
		if !known {
			return true, r.errorf(e.key, "selector %s: want sel(linux), sel(osx), sel(win) or sel(unix) (CEP 24)", e.key.Value)
		}
		if keep {
			return true, r.dependency(e.value)
		}
		_, err = r.str(e.value, e.key.Value)
		return true, err
	}
	if e.key.Value != "pip" {
		return false, r.errorf(e.key, "dependencies: the subsection %q is not known: only pip is, and selectors such as sel(linux)", e.key.Value)
	}
	if r.pipAt != nil {
		return false, r.errorf(e.key, "dependencies: a second pip section, the first is on line %d: merge them", r.pipAt.Line)
	}
	r.pipAt = e.key
	return false, r.pip(e.key, e.value)
}

var (
	schemeless   = regexp.MustCompile(`^//[^/]*@`)
	archiveQuery = regexp.MustCompile(`://[^\s\[?#]*\.(?:conda|tar\.bz2)\?`)
)

// dependency reads one MatchSpec.
func (r *reader) dependency(n *yaml.Node) error {
	text, err := r.str(n, "dependencies")
	if err != nil {
		return err
	}
	text = strings.TrimSpace(text)
	if text == "" {
		return r.errorf(n, "dependencies: an empty name")
	}
	switch {
	case archiveQuery.MatchString(text):
		return r.errorf(n, "dependencies: the URL of a package may have no query (what follows the ?)")
	case schemeless.MatchString(text):
		return r.errorf(n, "dependencies: %q has credentials, but is no URL: https: is missing before it", text)
	}
	spec, err := matchspec.Parse(text)
	if err != nil {
		return r.errorAt(r.part(n, text, err), err, "dependencies")
	}
	if !spec.IsExact() && spec.URL == "" {
		return r.errorf(n, "dependencies: %q does not name one package", text)
	}
	key := r.category + "\n" + spec.String()
	if r.seen[key] {
		return nil // files that are merged often ask for the same
	}
	r.seen[key] = true
	r.env.Dependencies = append(r.env.Dependencies, Dependency{Spec: spec, Text: text, Category: r.category, Position: r.at(n), place: *r.errorf(n, "dependencies")})
	return nil
}

// part is the place of what the error is about in the spec at a node, or the node's where it does not say.
func (r *reader) part(n *yaml.Node, text string, err error) Position {
	p := r.at(n)
	var part *matchspec.PartError
	if o, ok := r.offset(p.Line, p.Column); ok && errors.As(err, &part) {
		_, end := r.bounds(p.Line)
		if i := strings.Index(r.text[o:end], text); i >= 0 {
			return r.position(o + i + part.Offset)
		}
	}
	return p
}

// variables reads the environment variables.
func (r *reader) variables(n *yaml.Node) error {
	if isEmpty(n) {
		return nil
	}
	entries, err := r.mapping(n, "variables")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !variableName.MatchString(e.key.Value) {
			return r.errorf(e.key, "variables: %q is not the name of an environment variable (letters, digits and _)", e.key.Value)
		}
		switch {
		case e.value.Kind != yaml.ScalarNode || e.value.ShortTag() == "!!null":
			return r.errorf(e.value, "variables: %s: want a string, found %s", e.key.Value, describe(e.value))
		case strings.ContainsRune(e.value.Value, 0):
			return r.errorf(e.value, "variables: %s: a value cannot hold a NUL", e.key.Value)
		case e.value.ShortTag() != "!!str":
			r.warn(e.value, "variables: %s is %s and is kept as it is written: quote it", e.key.Value, describe(e.value))
		}
		v := Variable{Name: e.key.Value, Value: e.value.Value, Position: r.at(e.key)}
		if i := slices.IndexFunc(r.env.Variables, func(o Variable) bool { return o.Name == v.Name }); i >= 0 {
			r.env.Variables[i] = v
			continue
		}
		r.env.Variables = append(r.env.Variables, v)
	}
	return nil
}

// platforms reads the list of platforms, which must include the one that is built for.
func (r *reader) platforms(n *yaml.Node) error {
	if isEmpty(n) {
		return nil
	}
	items, err := r.list(n, "platforms")
	if err != nil {
		return err
	}
	var subdirs []conda.Subdir
	for _, item := range items {
		text, err := r.str(item, "platforms")
		if err != nil {
			return err
		}
		subdir, err := conda.ParseSubdir(text)
		if err != nil {
			return r.wrap(item, err, "platforms")
		}
		if subdir == conda.NoArchSubdir {
			return r.errorf(item, "platforms: noarch is not a platform")
		}
		subdirs = append(subdirs, subdir)
	}
	if len(subdirs) > 0 && !slices.Contains(subdirs, r.opts.Subdir) {
		return r.errorf(n, "platforms: the environment is not for %s: add it, or choose one of these with --platform", r.opts.Subdir)
	}
	for _, s := range subdirs {
		if !slices.Contains(r.env.Platforms, s) {
			r.env.Platforms = append(r.env.Platforms, s)
		}
	}
	return nil
}

// other is the error for files that are something else than an environment.
func (r *reader) other() error {
	switch {
	case r.has("apiVersion") && r.has("kind"):
		return r.errorf(r.doc, "this is a Kubernetes resource, not an environment: a RuntimeEnvironment is given to --overlay")
	case r.has("dependencies"):
		return nil
	case r.has("version") && r.has("package"), r.has("packages") && r.has("environments"):
		return r.errorf(r.doc, "this is a lock file, not an environment: give it to --lock")
	case r.has("package") && (r.has("build") || r.has("requirements")), r.has("recipe") && r.has("outputs"):
		return r.errorf(r.doc, "this is the recipe of a package, not an environment: want a file with \"dependencies:\" and a list")
	}
	return nil
}

// has reports whether the file has a key.
func (r *reader) has(key string) bool {
	return slices.ContainsFunc(r.sections, func(s pair) bool { return s.key.Value == key })
}

// missingDependencies is the error for files that ask for nothing.
func (m *merger) missingDependencies() error {
	if m.first == nil {
		return errors.New("no environment file is given")
	}
	for _, s := range m.first.sections {
		if near := nearest(s.key.Value, []string{"dependencies"}); near != "" {
			return m.first.errorf(s.key, "the key %q is not known%s", s.key.Value, near)
		}
	}
	return m.first.errorf(m.first.doc, "there is no \"dependencies\" section: want at least it and a list")
}

// implyPip adds pip where the pip section needs it, as conda does.
func (m *merger) implyPip() {
	if len(m.env.Pip) == 0 || slices.ContainsFunc(m.env.Dependencies, func(d Dependency) bool { return d.Spec.Name == "pip" }) {
		return
	}
	at := m.env.Pip[0].Position
	m.warnings = append(m.warnings, Warning{Position: at, Msg: "there is a pip section, but pip is not among the dependencies: it is added"})
	m.env.Dependencies = append(m.env.Dependencies, Dependency{Spec: matchspec.Spec{Name: "pip"}, Text: "pip", Implied: true, Position: at})
}

// nearest is the word that was probably meant, as an addition to a message.
func nearest(word string, words []string) string {
	for _, w := range words {
		if editDistance(word, w) <= 2 && len(word) > 2 {
			return fmt.Sprintf(" (did you mean %q?)", w)
		}
	}
	return ""
}

// editDistance is the number of letters to change, add or remove to make a into b.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost++
			}
			diagonal = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
