package envspec

import (
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// checker reads a RuntimeEnvironment and holds it against what is declared of the resource.
type checker struct {
	*source
	resource resource
	image    *yaml.Node
	warnings []Warning
}

func (c *checker) warn(n *yaml.Node, msg string) {
	c.warnings = append(c.warnings, Warning{Position: c.at(n), Msg: msg})
}

// check reads the document.
func (c *checker) check(doc *yaml.Node) error {
	top, err := c.mapping(doc, Kind)
	if err != nil {
		return err
	}
	if err := walk(doc, nil, func(n *yaml.Node, _ []string) error { return c.unique(n) }); err != nil {
		return err
	}
	metadata, err := c.required(doc, top, "", "metadata")
	if err != nil {
		return err
	}
	if err := c.own(doc, "metadata"); err != nil {
		return err
	}
	if err := c.metadata(metadata); err != nil {
		return err
	}
	spec, err := c.required(doc, top, "", "spec")
	if err != nil {
		return err
	}
	return c.spec(spec)
}

// unique refuses a mapping with the same key twice.
func (c *checker) unique(n *yaml.Node) error {
	if n.Kind != yaml.MappingNode {
		return nil
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if line, ok := seen[k.Value]; ok && k.Kind == yaml.ScalarNode {
			return c.errorf(k, "the key %q is already there, on line %d", k.Value, line)
		}
		seen[k.Value] = k.Line
	}
	return nil
}

// required is the value of a key that must be there.
func (c *checker) required(parent *yaml.Node, entries []pair, path, key string) (*yaml.Node, error) {
	v := find(entries, key)
	if v == nil {
		return nil, c.errorf(parent, "%s is missing", join(path, key))
	}
	return v, nil
}

// text is the value of a key as a string, "" where it is missing and need not be there.
func (c *checker) text(parent *yaml.Node, entries []pair, path, key string, must bool) (string, error) {
	v := find(entries, key)
	if v == nil {
		if must {
			return "", c.errorf(parent, "%s is missing", join(path, key))
		}
		return "", nil
	}
	s, err := c.quotedString(v, join(path, key))
	if err == nil && must && strings.TrimSpace(s) == "" {
		return "", c.errorf(v, "%s is empty", join(path, key))
	}
	return s, err
}

// quotedString is a string, with an advice where a quoted one was meant.
func (c *checker) quotedString(n *yaml.Node, what string) (string, error) {
	n = deref(n)
	if n.Kind == yaml.ScalarNode && slices.Contains([]string{"!!int", "!!float", "!!bool", "!!timestamp"}, n.ShortTag()) {
		return "", c.errorf(n, "%s: %s must be a string: write %q", what, describe(n), n.Value)
	}
	return c.str(n, what)
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// metadata reads the resource's name and labels.
func (c *checker) metadata(n *yaml.Node) error {
	entries, err := c.mapping(n, "metadata")
	if err != nil {
		return err
	}
	if c.resource.name, err = c.text(n, entries, "metadata", "name", true); err != nil {
		return err
	}
	if c.resource.namespace, err = c.text(n, entries, "metadata", "namespace", false); err != nil {
		return err
	}
	if c.resource.labels, err = c.texts(entries, "metadata", "labels"); err != nil {
		return err
	}
	if _, err = c.texts(entries, "metadata", "annotations"); err != nil {
		return err
	}
	return c.own(n, "annotations")
}

// own refuses an alias as the value of a key: adding to it would change what it stands for, too.
func (c *checker) own(n *yaml.Node, key string) error {
	if i := index(n, key); i >= 0 && n.Content[i+1].Kind == yaml.AliasNode {
		return c.errorf(n.Content[i+1], "%s: an alias cannot be added to: write the mapping here", key)
	}
	return nil
}

// texts is the value of a key as a mapping of strings.
func (c *checker) texts(entries []pair, path, key string) (map[string]string, error) {
	n := find(entries, key)
	if n == nil || n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		return nil, nil
	}
	inner, err := c.mapping(n, join(path, key))
	if err != nil {
		return nil, err
	}
	texts := make(map[string]string, len(inner))
	for _, e := range inner {
		if texts[e.key.Value], err = c.quotedString(e.value, join(path, key)+"["+e.key.Value+"]"); err != nil {
			return nil, err
		}
	}
	return texts, nil
}

// spec reads the environment's specification.
func (c *checker) spec(n *yaml.Node) error {
	entries, err := c.mapping(n, "spec")
	if err != nil {
		return err
	}
	for _, field := range []struct {
		key string
		to  *string
	}{{"title", &c.resource.title}, {"dockerImage", &c.resource.image}, {"language", &c.resource.language}} {
		if *field.to, err = c.text(n, entries, "spec", field.key, true); err != nil {
			return err
		}
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == "dockerImage" {
			c.image = n.Content[i+1]
		}
	}
	if strings.Contains(c.resource.image, "${") {
		return c.errorf(c.image, "spec.dockerImage: only variables of the form ${NAME} are replaced")
	}
	for _, key := range []string{"description", "icon", "example", "owner", "visibility", "home"} {
		if _, err = c.text(n, entries, "spec", key, false); err != nil {
			return err
		}
	}
	ranges, err := c.required(n, entries, "spec", "resourcesRanges")
	if err != nil {
		return err
	}
	if err := c.ranges(ranges); err != nil {
		return err
	}
	if env := find(entries, "env"); env != nil {
		if err := c.env(env); err != nil {
			return err
		}
	}
	if snippets := find(entries, "snippets"); snippets != nil {
		if err := c.snippets(snippets); err != nil {
			return err
		}
	}
	if kernel := find(entries, "kernel"); kernel != nil {
		return c.only(kernel, "spec.kernel", "givenNameTemplate")
	}
	return nil
}

// only warns of the keys of a mapping that are not declared: a cluster prunes them.
func (c *checker) only(n *yaml.Node, path string, declared ...string) error {
	entries, err := c.mapping(n, path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !slices.Contains(declared, e.key.Value) {
			c.warn(e.key, join(path, e.key.Value)+" is not declared by the resource: a cluster drops it"+nearest(e.key.Value, declared))
		}
	}
	return nil
}

// ranges reads the resources of the containers.
func (c *checker) ranges(n *yaml.Node) error {
	const path = "spec.resourcesRanges"
	if err := c.only(n, path, "default"); err != nil {
		return err
	}
	entries, err := c.mapping(n, path)
	if err != nil {
		return err
	}
	def, err := c.required(n, entries, path, "default")
	if err != nil {
		return err
	}
	if err := c.only(def, path+".default", "limits", "requests"); err != nil {
		return err
	}
	if entries, err = c.mapping(def, path+".default"); err != nil {
		return err
	}
	if _, err := c.required(def, entries, path+".default", "limits"); err != nil {
		return err
	}
	for _, e := range entries {
		if e.key.Value == "limits" || e.key.Value == "requests" {
			if err := c.quantities(e.value, join(path+".default", e.key.Value)); err != nil {
				return err
			}
		}
	}
	return nil
}

// quantity is what Kubernetes reads as a quantity.
var quantity = regexp.MustCompile(`^[+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$`)

var wholeNumber = regexp.MustCompile(`^[0-9]{1,6}$`)

const gpuResource = "nvidia.com/gpu"

// quantities reads limits or requests.
func (c *checker) quantities(n *yaml.Node, path string) error {
	if err := c.only(n, path, "cpu", "memory", "ephemeral-storage", gpuResource); err != nil {
		return err
	}
	entries, err := c.mapping(n, path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		what := join(path, e.key.Value)
		q, err := c.quotedString(e.value, what)
		switch {
		case err != nil:
			return err
		case !quantity.MatchString(q):
			return c.errorf(e.value, "%s: %q is not a quantity: want a number and a unit such as m, Mi or Gi", what, q)
		case e.key.Value != gpuResource:
		case !wholeNumber.MatchString(q):
			return c.errorf(e.value, "%s: %q is not a number of GPUs", what, q)
		case strings.Trim(q, "0") != "":
			c.resource.gpus = true
		}
	}
	return nil
}

// env reads the environment variables.
func (c *checker) env(n *yaml.Node) error {
	items, err := c.list(n, "spec.env")
	if err != nil {
		return err
	}
	for _, item := range items {
		if err := c.only(item, "spec.env[]", "name", "value"); err != nil {
			return err
		}
		entries, err := c.mapping(item, "spec.env[]")
		if err != nil {
			return err
		}
		var v EnvVar
		if v.Name, err = c.text(item, entries, "spec.env[]", "name", true); err != nil {
			return err
		}
		if find(entries, "value") == nil {
			return c.errorf(item, "spec.env[].value is missing")
		}
		if v.Value, err = c.text(item, entries, "spec.env[]", "value", false); err != nil {
			return err
		}
		c.resource.env = append(c.resource.env, v)
		c.resource.envAt = append(c.resource.envAt, c.at(find(entries, "name")))
	}
	return nil
}

// snippets checks the snippets.
func (c *checker) snippets(n *yaml.Node) error {
	items, err := c.list(n, "spec.snippets")
	if err != nil {
		return err
	}
	for _, item := range items {
		if err := c.only(item, "spec.snippets[]", "title", "code", "description"); err != nil {
			return err
		}
		entries, err := c.mapping(item, "spec.snippets[]")
		if err != nil {
			return err
		}
		for _, key := range []string{"title", "code"} {
			if _, err := c.text(item, entries, "spec.snippets[]", key, true); err != nil {
				return err
			}
		}
	}
	return nil
}
