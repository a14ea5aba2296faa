package envspec

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Requirement is one Python package that the pip section asks for (PEP 508).
type Requirement struct {
	Name     string   // normalised (PEP 503); "" of a local source whose name is not written
	Text     string   // as written, without comment and hashes, variables not replaced; a path is relative
	Direct   bool     // "name @ URL", or a local one, rather than a package of an index
	Local    string   // the path of a wheel, a source distribution or a project's folder on this machine; else ""
	Hashes   []string // of --hash, e.g. "sha256:…"
	Position Position

	line          string
	before, after string // what stands around the path of a local one
}

// Line is the requirement as pip reads it, hashes included and variables replaced: it may hold credentials.
func (r Requirement) Line() string { return r.line }

// At is Line for a local one that is at another path.
func (r Requirement) At(path string) string {
	line := r.before + path + r.after
	for _, h := range r.Hashes {
		line += " --hash=" + h
	}
	return line
}

// Specifiers are the versions that are asked for, such as ">=1.2,<2"; "" is any.
func (r Requirement) Specifiers() string {
	text, _, _ := strings.Cut(r.Text, ";")
	if m := requirement.FindStringSubmatch(text); m != nil && !r.Direct {
		return strings.Trim(strings.TrimSpace(m[3]), "()")
	}
	return ""
}

// Marker is the condition under which it is asked for, such as "python_version < '3.9'"; "" where there is none.
func (r Requirement) Marker() string {
	_, marker, _ := strings.Cut(r.Text, ";")
	return strings.TrimSpace(marker)
}

// String is the requirement as it may be shown.
func (r Requirement) String() string { return redact(r.Text) }

// PipOption is an option of the pip section for pip as a whole, such as --index-url.
type PipOption struct {
	Flag     string // in its long form, e.g. "--index-url"
	Text     string // its value as written, variables not replaced; "" where it takes none
	Position Position

	value string
}

// Value is the option's value with its variables replaced, "" where it takes none: it may hold credentials.
func (o PipOption) Value() string { return o.value }

// String is the option as it may be shown.
func (o PipOption) String() string { return strings.TrimSpace(o.Flag + " " + redact(o.Text)) }

// pipLine is one line for pip and its place.
type pipLine struct {
	text string
	fail func(err error, format string, args ...any) error // makes an error at the line
	at   Position
}

// pipReader reads lines for pip into an environment.
type pipReader struct {
	*merger
	including   []string // the files that are being read, outermost first
	constraints bool     // the lines are constraints: they ask for nothing
}

// pip reads the pip section: a list of the lines of a requirements file.
func (r *reader) pip(key, n *yaml.Node) error {
	if isEmpty(n) {
		r.warn(key, "the pip section is empty")
		return nil
	}
	items, err := r.list(n, "pip")
	if err != nil {
		return err
	}
	p := pipReader{merger: r.merger, including: []string{r.path}}
	for _, item := range items {
		text, err := r.str(item, "pip")
		if err != nil {
			return err
		}
		if strings.ContainsAny(strings.TrimSpace(text), "\r\n") {
			return r.errorf(item, "pip: want one requirement in an element of the list")
		}
		fail := func(err error, format string, args ...any) error { return r.unresolved(item, err, format, args...) }
		if err := p.read(pipLine{text: text, fail: fail, at: r.at(item)}); err != nil {
			return err
		}
	}
	return nil
}

var pipComment = regexp.MustCompile(`(^|\s)#.*$`)

// read reads one line: a requirement, an option, or the inclusion of a file.
func (p *pipReader) read(l pipLine) error {
	l.text = strings.TrimSpace(pipComment.ReplaceAllString(l.text, ""))
	switch {
	case l.text == "" && len(p.including) > 1:
		return nil
	case l.text == "":
		return l.fail(nil, "pip: an empty requirement")
	case strings.HasPrefix(l.text, "-"):
		return p.option(l)
	}
	return p.requirement(l)
}

// pipFlags are the options of requirements files that are passed on, under their long names, and whether they
// take a value. Those that are not here would change the build in ways that an image cannot follow.
var pipFlags = map[string]bool{
	"--index-url": true, "--extra-index-url": true, "--find-links": true, "--trusted-host": true,
	"--only-binary": true, "--no-binary": true, "--no-index": false, "--pre": false, "--prefer-binary": false,
	"--require-hashes": false,
}

var pipShortFlags = map[string]string{
	"-i": "--index-url", "--pypi-url": "--index-url", "-f": "--find-links", "-r": "--requirement", "-c": "--constraint", "-e": "--editable",
}

// option reads a line that begins with a dash.
func (p *pipReader) option(l pipLine) error {
	flag, value := splitFlag(l.text)
	if long, ok := pipShortFlags[flag]; ok {
		flag = long
	}
	switch flag {
	case "--requirement", "--constraint":
		return p.include(l, flag, value)
	case "--editable":
		if vcsURL.MatchString(value) {
			return l.fail(errVersionControl, "pip: %s", l.text)
		}
		return l.fail(nil, "pip: %s: an editable install points at a source tree that the image does not have: name the folder without -e, and it is built and installed", l.text)
	}
	takesValue, known := pipFlags[flag]
	switch {
	case !known:
		return l.fail(nil, "pip: the option %s is not supported here", flag)
	case takesValue == (value == ""):
		return l.fail(nil, "pip: the option %s takes %s", flag, map[bool]string{true: "a value", false: "no value"}[takesValue])
	case flag == "--find-links" && !isURL(value):
		return l.fail(nil, "pip: --find-links %s: want a URL (http or https): the image has no local directories", value)
	}
	resolved, err := expand(value, variable, p.opts.Getenv)
	if err != nil {
		return l.fail(err, "pip: %s", flag)
	}
	p.env.PipOptions = append(p.env.PipOptions, PipOption{Flag: flag, Text: value, Position: l.at, value: resolved})
	return nil
}

// splitFlag splits "--flag=value", "--flag value", "-f value" and "-fvalue".
func splitFlag(s string) (flag, value string) {
	if i := strings.IndexAny(s, "= \t"); i >= 0 {
		flag, value = s[:i], strings.Trim(s[i+1:], " \t")
	} else {
		flag = s
	}
	if !strings.HasPrefix(flag, "--") && len(flag) > 2 {
		flag, value = s[:2], strings.TrimSpace(s[2:])
	}
	return flag, value
}

// isURL reports whether a text is an http or https URL, or begins with a variable that may be one.
func isURL(s string) bool {
	return strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "${")
}

// include reads a file of requirements, or of constraints, in place of the line that names it.
func (p *pipReader) include(l pipLine, flag, path string) error {
	short := flag[1:3] // "-r" or "-c"
	switch {
	case path == "":
		return l.fail(nil, "pip: %s names no file", short)
	case strings.Contains(path, "://"):
		return l.fail(nil, "pip: %s %s: want a local file", short, path)
	case !filepath.IsAbs(path):
		path = filepath.Join(p.dir(), path)
	}
	if slices.Contains(p.including, path) {
		return l.fail(nil, "pip: %s %s: the file includes itself", short, path)
	}
	read := p.opts.ReadFile
	if read == nil {
		read = os.ReadFile
	}
	data, err := read(path)
	if err != nil {
		return l.fail(err, "pip: including a requirements file")
	}
	if !slices.Contains(p.env.Files, path) {
		p.env.Files = append(p.env.Files, path)
	}
	s := newSource(File{Path: path, Data: data})
	if err := s.checkCharacters(); err != nil {
		return err
	}
	inner := pipReader{merger: p.merger, including: append(slices.Clip(p.including), path), constraints: flag == "--constraint"}
	for n := 1; n <= len(s.starts); {
		line := pipLine{text: s.line(n), at: s.position(s.firstWord(n))}
		node := &yaml.Node{Line: line.at.Line, Column: line.at.Column}
		for n++; strings.HasSuffix(line.text, `\`) && n <= len(s.starts); n++ {
			line.text = strings.TrimSuffix(line.text, `\`) + s.line(n)
		}
		line.fail = func(err error, format string, args ...any) error { return s.unresolved(node, err, format, args...) }
		if err := inner.read(line); err != nil {
			return err
		}
	}
	return nil
}

var (
	requirement = regexp.MustCompile(`^([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(\[[\w\s.,-]*\])?\s*(.*)$`)
	specifiers  = regexp.MustCompile(`^\(?\s*` + specifier + `(?:\s*,\s*` + specifier + `)*\s*,?\s*\)?$`)
	nameRuns    = regexp.MustCompile(`[-_.]+`)
	vcsURL      = regexp.MustCompile(`^(?:git|hg|svn|bzr)\+`)
	pipOptionAt = regexp.MustCompile(`\s--?[A-Za-z]`)
	hashOption  = regexp.MustCompile(`^--hash(?:=|\s+)([a-z0-9]+:[0-9a-fA-F]+)(?:\s+|$)`)
)

const specifier = `(?:~=|===?|!=|<=|>=|<|>)\s*[A-Za-z0-9.*+!_-]+`

// requirement reads a line that names a package.
func (p *pipReader) requirement(l pipLine) error {
	r := Requirement{Text: l.text, Position: l.at}
	if m := pipOptionAt.FindStringIndex(l.text); m != nil {
		r.Text = strings.TrimSpace(l.text[:m[0]])
		rest := l.text[m[0]+1:]
		for rest != "" {
			h := hashOption.FindStringSubmatch(rest)
			if h == nil {
				return l.fail(nil, "pip: %s: of the options of one requirement only --hash=ALGORITHM:HEX is supported", rest)
			}
			r.Hashes = append(r.Hashes, h[1])
			rest = rest[len(h[0]):]
		}
	}
	if err := p.resolve(&r); err != nil {
		return l.fail(err, "pip: requirement %q", r.Text)
	}
	for _, h := range r.Hashes {
		r.line += " --hash=" + h
	}
	if p.constraints {
		p.env.PipConstraints = append(p.env.PipConstraints, r)
		return nil
	}
	p.env.Pip = append(p.env.Pip, r)
	return nil
}

// resolve says what a requirement's text is about, with its variables replaced.
func (p *pipReader) resolve(r *Requirement) (err error) {
	if r.line, err = expand(r.Text, variable, p.opts.Getenv); err != nil {
		return err
	}
	if isLocal(r.line) {
		if p.constraints {
			return errors.New("a constraint is NAME and versions, not a file")
		}
		return p.local(r)
	}
	if r.Name, r.Direct, err = parseRequirement(r.Text); err == nil && r.Direct {
		if name := queryCredential(r.line); name != "" {
			return fmt.Errorf("its URL holds a credential (%s), which would be in the lock and in the image: fetch the file and name it, or use an index", name)
		}
	}
	return err
}

// dir is the folder of the file that is being read.
func (p *pipReader) dir() string { return filepath.Dir(p.including[len(p.including)-1]) }

var (
	namedFile = regexp.MustCompile(`^([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(\[[\w\s.,-]*\])?\s*@\s*file:`)
	localFile = regexp.MustCompile(`^(.*?)\s*(\[[\w\s.,-]*\])?\s*(\s;.*)?$`)
	localPath = regexp.MustCompile(`^[./]|^file:|^[^@;\s]*/|^\S+\.(?:whl|zip|tar\.gz|tar\.bz2)(?:\[|\s|$)`)
)

// isLocal reports whether a requirement is a path on this machine, as pip tells it from a name.
func isLocal(text string) bool {
	if vcsURL.MatchString(text) || strings.HasPrefix(text, "http://") || strings.HasPrefix(text, "https://") {
		return false
	}
	if m := requirement.FindStringSubmatch(text); m != nil && strings.HasPrefix(m[3], "@") {
		return namedFile.MatchString(text)
	}
	return localPath.MatchString(text)
}

// local reads a requirement that is a path: "PATH", "file:PATH" or "NAME @ file:PATH", with extras and a marker. A path is
// relative to the file that names it, and an absolute one is shown as if it were written so.
func (p *pipReader) local(r *Requirement) error {
	text := r.line
	if m := namedFile.FindStringSubmatch(text); m != nil {
		r.Name, r.before = normalName(m[1]), m[1]+m[2]+" @ file://"
		text = "file:" + text[len(m[0]):]
	}
	m := localFile.FindStringSubmatch(text)
	path, isURL := strings.CutPrefix(m[1], "file:")
	r.after = m[2] + m[3]
	if isURL {
		path = strings.TrimPrefix(strings.TrimPrefix(path, "//"), "localhost")
		path, _, _ = strings.Cut(path, "#")
		var err error
		if path, err = url.PathUnescape(path); err != nil {
			return err
		}
	}
	if path == "" {
		return errors.New("it names no file")
	}
	r.Direct, r.Local = true, path
	if !filepath.IsAbs(path) {
		r.Local = filepath.Join(p.dir(), path)
	} else if from, err := filepath.Abs(p.dir()); err == nil {
		if rel, err := filepath.Rel(from, path); err == nil {
			r.Text = strings.TrimSuffix(r.before, "//") + filepath.ToSlash(rel) + r.after
		}
	}
	if base := filepath.Base(path); r.Name == "" && strings.HasSuffix(base, ".whl") {
		name, _, _ := strings.Cut(base, "-")
		r.Name = normalName(name)
	}
	return nil
}

// parseRequirement checks a requirement (PEP 508) and gives the package's normalised name.
func parseRequirement(text string) (name string, direct bool, err error) {
	switch {
	case vcsURL.MatchString(text):
		return "", false, errVersionControl
	case strings.HasPrefix(text, "http://") || strings.HasPrefix(text, "https://"):
		return "", false, fmt.Errorf("a URL needs the package's name: NAME @ URL")
	}
	m := requirement.FindStringSubmatch(text)
	if m == nil {
		return "", false, fmt.Errorf("want NAME, such as %q", "requests>=2.28")
	}
	if strings.HasPrefix(m[3], "@") {
		switch url := strings.TrimSpace(m[3][1:]); {
		case vcsURL.MatchString(url):
			return "", false, errVersionControl
		case !isURL(url):
			return "", false, fmt.Errorf("want a URL after @: http, https or file")
		}
		return normalName(m[1]), true, nil
	}
	rest, _, _ := strings.Cut(m[3], ";")
	if rest = strings.TrimSpace(rest); rest != "" && !specifiers.MatchString(rest) {
		return "", false, fmt.Errorf("%q is not a version specifier (==, >=, ~=, …)", rest)
	}
	return normalName(m[1]), false, nil
}

// errVersionControl says what to do instead.
var errVersionControl = errors.New("version control is not supported: what it gives cannot be checked by a hash; name a released version, " +
	"a folder that it is checked out to (./NAME), or a file such as NAME @ https://github.com/OWNER/NAME/archive/COMMIT.tar.gz")

// normalName is a Python package's name as indexes compare it (PEP 503).
func normalName(s string) string { return strings.ToLower(nameRuns.ReplaceAllString(s, "-")) }
