package lock

import (
	"gopkg.in/yaml.v3"
)

// file makes sense of a YAML file's nodes, and says where it could not.
type file struct{ name string }

// fields are a mapping's values.
type fields map[string]*yaml.Node

func (f fields) optional(key string) string {
	if n := f[key]; n != nil && n.Tag != "!!null" {
		return n.Value
	}
	return ""
}

func (f file) errorf(n *yaml.Node, format string, args ...any) error {
	return place{f.name, n.Line}.errorf(format, args...)
}

func empty(n *yaml.Node) bool { return n == nil || n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

func (f file) mapping(n *yaml.Node, what string) (fields, error) {
	if n.Kind != yaml.MappingNode {
		return nil, f.errorf(n, "%s: want a mapping", what)
	}
	m := fields{}
	for i := 0; i < len(n.Content); i += 2 {
		key := n.Content[i].Value
		if m[key] != nil {
			return nil, f.errorf(n.Content[i], "%s: %s is there twice", what, key)
		}
		m[key] = n.Content[i+1]
		if a := m[key].Alias; a != nil {
			m[key] = a
		}
	}
	return m, nil
}

func (f file) list(n *yaml.Node, what string) ([]*yaml.Node, error) {
	if empty(n) {
		return nil, nil
	}
	if n.Kind != yaml.SequenceNode {
		return nil, f.errorf(n, "%s: want a list", what)
	}
	return n.Content, nil
}

// texts reads a mapping whose values are texts.
func (f file) texts(n *yaml.Node, what string) (map[string]string, error) {
	if empty(n) {
		return nil, nil
	}
	m, err := f.mapping(n, what)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for key, v := range m {
		if v.Kind != yaml.ScalarNode {
			return nil, f.errorf(v, "%s: %s: want a text", what, key)
		}
		if v.Tag != "!!null" {
			out[key] = v.Value
		}
	}
	return out, nil
}

// text is a field that must be there.
func (f file) text(n *yaml.Node, m fields, key string) (string, error) {
	v := m[key]
	if empty(v) {
		return "", f.errorf(n, "%s is missing", key)
	}
	if v.Kind != yaml.ScalarNode {
		return "", f.errorf(v, "%s: want a text", key)
	}
	return v.Value, nil
}

// json is a node of any kind as JSON; "" where there is none.
func (f file) json(n *yaml.Node, what string) (string, error) {
	if empty(n) {
		return "", nil
	}
	var v any
	if err := n.Decode(&v); err != nil {
		return "", f.errorf(n, "%s: %w", what, err)
	}
	text, err := jsonText(v)
	if err != nil {
		return "", f.errorf(n, "%s: %w", what, err)
	}
	return text, nil
}

// strings reads a list of texts.
func (f file) strings(n *yaml.Node, what string) ([]string, error) {
	list, err := f.list(n, what)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, item := range list {
		if item.Kind != yaml.ScalarNode {
			return nil, f.errorf(item, "%s: want a list of texts", what)
		}
		out = append(out, item.Value)
	}
	return out, nil
}

// int reads a number; 0 where there is none.
func (f file) int(n *yaml.Node, what string) (int64, error) {
	if empty(n) {
		return 0, nil
	}
	var v int64
	if n.Kind != yaml.ScalarNode || n.Decode(&v) != nil {
		return 0, f.errorf(n, "%s: want a number", what)
	}
	return v, nil
}
