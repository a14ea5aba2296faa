package condarc

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// environment is the "path" of the document that the environment variables make.
const environment = "environment"

// searchPath is conda's, the weakest first.
var searchPath = []string{
	"/etc/conda", "/var/lib/conda", "$CONDA_ROOT", "$XDG_CONFIG_HOME/conda", "~/.config/conda", "~/.conda", "~",
	"$CONDA_PREFIX",
}

// document is one file, or the environment.
type document struct {
	path string
	keys map[string]*yaml.Node
}

// sources are all documents, the weakest first.
type sources struct {
	documents []document
	getenv    func(string) string
}

func (o Options) sources() (*sources, error) {
	s := &sources{getenv: o.Getenv}
	files, err := o.files(s)
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		b, err := o.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		d, err := parse(file, b)
		if err != nil {
			return nil, err
		}
		s.documents = append(s.documents, d)
	}
	s.documents = append(s.documents, o.environment())
	return s, nil
}

// files are those that may hold configuration.
func (o Options) files(s *sources) ([]string, error) {
	var files []string
	for _, pattern := range searchPath {
		dir := s.searchDir(pattern)
		if dir == "" {
			continue
		}
		files = append(files, filepath.Join(dir, ".condarc"))
		if pattern == "~" {
			continue
		}
		files = append(files, filepath.Join(dir, "condarc"))
		entries, err := o.ReadDir(filepath.Join(dir, "condarc.d"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries { // sorted by os.ReadDir
			if ext := filepath.Ext(e.Name()); ext == ".yml" || ext == ".yaml" {
				files = append(files, filepath.Join(dir, "condarc.d", e.Name()))
			}
		}
	}
	if named := o.Getenv("CONDARC"); named != "" {
		named = s.home(named)
		if _, err := o.ReadFile(named); err != nil {
			return nil, fmt.Errorf("CONDARC: %w", err)
		}
		files = append(files, named)
	}
	return compact(files), nil
}

// searchDir is a folder of the search path; "" where what it is relative to is not known.
func (s *sources) searchDir(pattern string) string {
	name, rest, _ := strings.Cut(pattern, "/")
	switch {
	case name == "~":
		return s.home(pattern)
	case !strings.HasPrefix(name, "$"):
		return pattern
	}
	dir := s.getenv(name[1:])
	if dir == "" && name == "$CONDA_ROOT" {
		// Conda itself knows where it is installed; its shell function says it to others.
		if exe := s.getenv("CONDA_EXE"); exe != "" {
			dir = filepath.Dir(filepath.Dir(exe))
		}
	}
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, rest)
}

// home expands a leading ~; the result is "" where there is no home.
func (s *sources) home(path string) string {
	rest, ok := strings.CutPrefix(path, "~")
	if !ok || (rest != "" && rest[0] != '/') {
		return path
	}
	home := s.getenv("HOME")
	if home == "" {
		return ""
	}
	return filepath.Join(home, rest)
}

// compact drops all but the last of equal paths: a file that is found twice has its strongest place.
func compact(files []string) []string {
	var kept []string
	for i, f := range files {
		if !slices.Contains(files[i+1:], f) {
			kept = append(kept, f)
		}
	}
	return kept
}

var yamlLine = regexp.MustCompile(`^yaml: line (\d+): `)

func parse(path string, b []byte) (document, error) {
	d := document{path: path, keys: map[string]*yaml.Node{}}
	var root yaml.Node
	if err := yaml.Unmarshal(b, &root); err != nil {
		message := err.Error()
		if m := yamlLine.FindStringSubmatch(message); m != nil {
			return d, fmt.Errorf("%s:%s: %s", path, m[1], message[len(m[0]):])
		}
		return d, fmt.Errorf("%s: %s", path, strings.TrimPrefix(message, "yaml: "))
	}
	if len(root.Content) == 0 || root.Content[0].Tag == "!!null" {
		return d, nil
	}
	top := root.Content[0]
	if top.Kind != yaml.MappingNode {
		return d, fmt.Errorf("%s:%d: want KEY: VALUE lines", path, top.Line)
	}
	for i := 0; i+1 < len(top.Content); i += 2 {
		value := top.Content[i+1]
		if value.LineComment == "" {
			value.LineComment = top.Content[i].LineComment
		}
		d.keys[top.Content[i].Value] = value
	}
	return d, nil
}

// fromEnvironment are the keys that conda's environment variables can set, CONDA_ and the key in upper case, and what separates the
// items of those that are lists. Mappings cannot be set so.
var fromEnvironment = map[string]string{
	"channels": ",", "channel": ",", "default_channels": ",", "migrated_channel_aliases": ",", "allowlist_channels": ",",
	"whitelist_channels": ",", "denylist_channels": ",", "channel_alias": "", "channel_priority": "", "safety_checks": "", "restore_free_channel": "",
	"ssl_verify": "", "verify_ssl": "", "client_ssl_cert": "", "client_cert": "", "client_ssl_cert_key": "", "client_cert_key": "",
	"offline": "", "remote_connect_timeout_secs": "", "remote_read_timeout_secs": "", "remote_max_retries": "",
	"remote_backoff_factor": "", "add_anaconda_token": "", "add_binstar_token": "",
	"create_default_packages": ",", "default_python": "", "disallowed_packages": "&", "disallow": "&", "pinned_packages": "&",
	"signing_metadata_url_base": "", "subdir": "", "subdirs": ",", "track_features": ",", "use_local": "", "use_only_tar_bz2": "",
}

func (o Options) environment() document {
	d := document{path: environment, keys: map[string]*yaml.Node{}}
	for key, separator := range fromEnvironment {
		value := o.Getenv("CONDA_" + strings.ToUpper(key))
		if value == "" {
			continue
		}
		node := &yaml.Node{Kind: yaml.ScalarNode, Value: value}
		if separator != "" {
			node = &yaml.Node{Kind: yaml.SequenceNode}
			for item := range strings.SplitSeq(value, separator) {
				node.Content = append(node.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: strings.TrimSpace(item)})
			}
		}
		d.keys[key] = node
	}
	return d
}

// value is a text with its place.
type value struct {
	text string
	path string
	line int
	key  string
}

func (v value) errorf(format string, args ...any) error {
	return fmt.Errorf("%s: %w", v.place(), fmt.Errorf(format, args...))
}

// place is where the value stands: "/etc/conda/.condarc:3: channels".
func (v value) place() string {
	switch {
	case v.path == environment:
		return "environment variable CONDA_" + strings.ToUpper(v.key)
	case v.line > 0:
		return fmt.Sprintf("%s:%d: %s", v.path, v.line, v.key)
	}
	return v.path + ": " + v.key
}

// found is what one document says under a key.
type found struct {
	value
	node *yaml.Node
}

// find is what the documents say under a key, or one of its older names, the weakest first. What is marked as
// final is the last word.
func (s *sources) find(keys ...string) []found {
	var all []found
	for _, d := range s.documents {
		for _, key := range keys {
			node := resolveAlias(d.keys[key])
			if node == nil || node.Tag == "!!null" {
				continue
			}
			all = append(all, found{value{path: d.path, line: node.Line, key: key}, node})
			if strings.Contains(d.keys[key].LineComment, "!final") {
				return all
			}
			break
		}
	}
	return all
}

func resolveAlias(n *yaml.Node) *yaml.Node {
	if n != nil && n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// text reads a scalar, in which environment variables are expanded.
func (s *sources) text(f found, n *yaml.Node) (value, error) {
	n = resolveAlias(n)
	v := f.value
	if n.Line > 0 {
		v.line = n.Line
	}
	if n.Kind != yaml.ScalarNode {
		return v, v.errorf("want a single value")
	}
	v.text = expand(n.Value, s.getenv)
	return v, nil
}

var variable = regexp.MustCompile(`\$(\w+|\{\w+\})`)

// expand replaces $NAME and ${NAME}; those that are not set stay as they are.
func expand(text string, getenv func(string) string) string {
	return variable.ReplaceAllStringFunc(text, func(m string) string {
		if v := getenv(strings.Trim(m, "${}")); v != "" {
			return v
		}
		return m
	})
}

// scalar is the strongest value; its text is "" where there is none.
func (s *sources) scalar(keys ...string) (value, error) {
	all := s.find(keys...)
	if len(all) == 0 {
		return value{key: keys[0]}, nil
	}
	last := all[len(all)-1]
	return s.text(last, last.node)
}

// list is the items of all documents, the strongest first, each once.
func (s *sources) list(keys ...string) ([]value, error) {
	var items []value
	for _, f := range slices.Backward(s.find(keys...)) {
		of, err := s.items(f, f.node)
		if err != nil {
			return nil, err
		}
		for _, v := range of {
			if !slices.ContainsFunc(items, func(old value) bool { return old.text == v.text }) {
				items = append(items, v)
			}
		}
	}
	return items, nil
}

// items reads a list; conda takes a single value for a list of one.
func (s *sources) items(f found, n *yaml.Node) ([]value, error) {
	n = resolveAlias(n)
	nodes := n.Content
	switch n.Kind {
	case yaml.ScalarNode:
		nodes = []*yaml.Node{n}
	case yaml.SequenceNode:
	default:
		return nil, f.errorf("want a list")
	}
	items := make([]value, 0, len(nodes))
	for _, item := range nodes {
		v, err := s.text(f, item)
		if err != nil {
			return nil, err
		}
		if v.text != "" {
			items = append(items, v)
		}
	}
	return items, nil
}

// entries calls f for each entry of a mapping, the weakest document first.
func (s *sources) entries(key string, f func(of found, name string, n *yaml.Node) error) error {
	for _, of := range s.find(key) {
		if of.node.Kind != yaml.MappingNode {
			return of.errorf("want NAME: VALUE entries")
		}
		for i := 0; i+1 < len(of.node.Content); i += 2 {
			if err := f(of, of.node.Content[i].Value, of.node.Content[i+1]); err != nil {
				return err
			}
		}
	}
	return nil
}

// strings is a mapping to single values.
func (s *sources) strings(key string) (map[string]string, error) {
	all := map[string]string{}
	err := s.entries(key, func(of found, name string, n *yaml.Node) error {
		v, err := s.text(of, n)
		all[name] = v.text
		return err
	})
	return all, err
}

// lists is a mapping to lists.
func (s *sources) lists(key string) (map[string][]value, error) {
	all := map[string][]value{}
	err := s.entries(key, func(of found, name string, n *yaml.Node) (err error) {
		all[name], err = s.items(of, n)
		return err
	})
	return all, err
}

func (s *sources) boolean(key string) (bool, error) {
	v, err := s.scalar(key)
	if err != nil || v.text == "" {
		return false, err
	}
	b, ok := parseBool(v.text)
	if !ok {
		return false, v.errorf("want true or false, not %q", v.text)
	}
	return b, nil
}

func (s *sources) seconds(key string) (time.Duration, error) {
	v, err := s.scalar(key)
	if err != nil || v.text == "" {
		return 0, err
	}
	n, err := strconv.ParseFloat(v.text, 64)
	if err != nil || n < 0 || n > 1e6 {
		return 0, v.errorf("want a number of seconds, not %q", v.text)
	}
	return time.Duration(n * float64(time.Second)), nil
}

func parseBool(s string) (b, ok bool) {
	switch strings.ToLower(s) {
	case "true", "yes", "on", "y", "1":
		return true, true
	case "false", "no", "off", "n", "0":
		return false, true
	}
	return false, false
}
