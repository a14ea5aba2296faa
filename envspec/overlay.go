package envspec

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// The resource that an overlay is.
const (
	APIVersion = "datalayer.io/v1"
	Kind       = "RuntimeEnvironment"

	olderKind = "JupyterEnvironment"
)

// Overlay is a RuntimeEnvironment resource (datalayer.io/v1) as its author wrote it, checked, and with its
// ${VARIABLES} replaced. It is not changed after it was made.
type Overlay struct {
	source   *source
	doc      *yaml.Node // as written
	changes  []change   // what replacing the variables changes in doc
	image    *yaml.Node // the value of spec.dockerImage in doc
	resource resource
	warnings []Warning
}

// change is a new value for a scalar of the document.
type change struct {
	node      *yaml.Node
	value     string
	variables map[string]string // those that were replaced
}

// resource is what is read of a RuntimeEnvironment.
type resource struct {
	name, namespace, title, language, image string
	labels                                  map[string]string
	env                                     []EnvVar
	envAt                                   []Position // of their names
	gpus                                    bool
}

// EnvVar is an environment variable of the containers.
type EnvVar struct{ Name, Value string }

// ParseOverlay reads a file with one RuntimeEnvironment.
//
// ${NAME} is replaced by what getenv gives for it in every string of spec except the code of snippets, and in the
// name, namespace and labels; a variable that has no value, or an empty one, is an error. Every error of the
// file's content is an *Error.
func ParseOverlay(file File, getenv func(name string) string) (*Overlay, error) {
	s := newSource(file)
	docs, err := s.documents(s.text)
	if err != nil {
		return nil, err
	}
	doc, err := s.runtimeEnvironment(docs)
	if err != nil {
		return nil, err
	}
	o := &Overlay{source: s, doc: doc}
	if o.changes, err = s.replaceVariables(doc, getenv); err != nil {
		return nil, err
	}
	expanded, copies := clone(doc)
	for _, c := range o.changes {
		copies[c.node].Value = c.value
	}
	check := checker{source: s}
	if err := check.check(expanded); err != nil {
		return nil, err
	}
	for original, twin := range copies {
		if twin == check.image {
			o.image = original
		}
	}
	o.resource, o.warnings = check.resource, check.warnings
	slices.SortStableFunc(o.warnings, func(a, b Warning) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return o, nil
}

// runtimeEnvironment is the one document that is wanted.
func (s *source) runtimeEnvironment(docs []*yaml.Node) (*yaml.Node, error) {
	if len(docs) == 0 {
		return nil, s.errorAt(Position{File: s.path, Line: 1, Column: 1}, nil, "the file is empty: want a %s (%s)", Kind, APIVersion)
	}
	for i, doc := range docs {
		kind, err := s.kind(doc)
		switch {
		case err != nil:
			return nil, err
		case kind.Value == olderKind:
			return nil, s.errorf(kind, "kind %s is the older name of %s: rename it", olderKind, Kind)
		case kind.Value != Kind:
			return nil, s.errorf(kind, "this is a %s, want a %s (%s)", kind.Value, Kind, APIVersion)
		case i > 0:
			return nil, s.errorf(kind, "a second %s: an image belongs to one, put each in its own file", Kind)
		}
	}
	return docs[0], nil
}

// kind checks a document's apiVersion, and gives its kind's node.
func (s *source) kind(doc *yaml.Node) (*yaml.Node, error) {
	entries, err := s.mapping(doc, Kind)
	if err != nil {
		return nil, err
	}
	version, kind := find(entries, "apiVersion"), find(entries, "kind")
	switch {
	case kind == nil:
		return nil, s.errorf(doc, "there is no kind: want %s (%s)", Kind, APIVersion)
	case version == nil:
		return nil, s.errorf(doc, "there is no apiVersion: want %s", APIVersion)
	}
	if _, err := s.str(kind, "kind"); err != nil {
		return nil, err
	}
	v, err := s.str(version, "apiVersion")
	if err != nil {
		return nil, err
	}
	if kind.Value == Kind && v != APIVersion {
		return nil, s.errorf(version, "%s of apiVersion %s, want %s", Kind, v, APIVersion)
	}
	return kind, nil
}

// find is the value of a key, or nil.
func find(entries []pair, key string) *yaml.Node {
	for _, e := range entries {
		if e.key.Value == key {
			return e.value
		}
	}
	return nil
}

// replaceVariables says what replacing the variables of a document changes.
func (s *source) replaceVariables(doc *yaml.Node, getenv func(string) string) ([]change, error) {
	var changes []change
	err := walk(doc, nil, func(n *yaml.Node, path []string) error {
		if n.Kind != yaml.ScalarNode || !hasVariables(path) || !variable.MatchString(n.Value) {
			return nil
		}
		values := map[string]string{}
		value, err := expand(n.Value, variable, func(name string) string {
			if getenv != nil {
				values[name] = getenv(name)
			}
			return values[name]
		})
		if err != nil {
			return s.unresolved(n, err, "%s", strings.Join(path, "."))
		}
		changes = append(changes, change{node: n, value: value, variables: values})
		return nil
	})
	return changes, err
}

// hasVariables reports whether variables are replaced in the scalar at a path.
func hasVariables(path []string) bool {
	switch {
	case len(path) < 2:
		return false
	case path[0] == "metadata":
		return slices.Contains([]string{"name", "namespace", "labels"}, path[1])
	case path[0] == "spec":
		return path[1] != "snippets" || path[len(path)-1] != "code" // a program's text may have a ${…} of its own
	}
	return false
}

// walk visits every node below n once, values of mappings with their keys as path; aliases are not followed.
func walk(n *yaml.Node, path []string, visit func(n *yaml.Node, path []string) error) error {
	if err := visit(n, path); err != nil {
		return err
	}
	for i, c := range n.Content {
		p := path
		if n.Kind == yaml.MappingNode {
			if i%2 == 0 {
				continue
			}
			p = append(slices.Clip(path), n.Content[i-1].Value)
		}
		if err := walk(c, p, visit); err != nil {
			return err
		}
	}
	return nil
}

// clone copies a tree, and says which node became which.
func clone(n *yaml.Node) (*yaml.Node, map[*yaml.Node]*yaml.Node) {
	copies := map[*yaml.Node]*yaml.Node{}
	var copyNode func(n *yaml.Node) *yaml.Node
	copyNode = func(n *yaml.Node) *yaml.Node {
		twin := *n
		copies[n] = &twin
		twin.Content = nil
		for _, c := range n.Content {
			twin.Content = append(twin.Content, copyNode(c))
		}
		return &twin
	}
	root := copyNode(n)
	for _, twin := range copies {
		if a, ok := copies[twin.Alias]; ok {
			twin.Alias = a
		}
	}
	return root, copies
}

// Name is metadata.name.
func (o *Overlay) Name() string { return o.resource.name }

// Namespace is metadata.namespace, "" where there is none.
func (o *Overlay) Namespace() string { return o.resource.namespace }

// Title is spec.title.
func (o *Overlay) Title() string { return o.resource.title }

// Language is spec.language.
func (o *Overlay) Language() string { return o.resource.language }

// DockerImage is spec.dockerImage, its variables replaced.
func (o *Overlay) DockerImage() string { return o.resource.image }

// DockerImagePosition is where spec.dockerImage is written.
func (o *Overlay) DockerImagePosition() Position { return o.source.at(o.image) }

// GPUs reports whether containers get a GPU: nvidia.com/gpu is not zero in the limits or the requests.
func (o *Overlay) GPUs() bool { return o.resource.gpus }

// Env is spec.env.
func (o *Overlay) Env() []EnvVar { return slices.Clone(o.resource.env) }

// Labels is metadata.labels.
func (o *Overlay) Labels() map[string]string { return maps.Clone(o.resource.labels) }

// Warnings says what a cluster would drop.
func (o *Overlay) Warnings() []Warning { return slices.Clone(o.warnings) }
