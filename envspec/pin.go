package envspec

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"gopkg.in/yaml.v3"
)

// Pin is the resource with its image pinned to a digest, and with annotations added to, or replaced among, its
// own. Its variables are written out. Everything else stays as it is written, to the byte: comments, order,
// quotes, blank lines and indentation. Only where that cannot be done (the image is written as a block scalar,
// say) is the document written anew, comments and order kept.
//
// The type of ref is why no tag can reach a manifest.
func (o *Overlay) Pin(ref name.Digest, annotations map[string]string) ([]byte, error) {
	if ref.DigestStr() == "" {
		return nil, fmt.Errorf("pinning %s: no digest is given", o.source.path)
	}
	changes := []change{{node: o.image, value: ref.Name()}}
	for _, c := range o.changes {
		if c.node != o.image {
			changes = append(changes, c)
		}
	}
	want := o.changed(changes, annotations)
	// What is edited is never trusted: it has to parse to the very document that is wanted.
	for _, place := range []annotationPlace{atEnd, atStart} {
		if text, ok := o.edited(changes, annotations, place); ok && parsesTo(text, want) {
			return []byte(text), nil
		}
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(want); err != nil {
		return nil, fmt.Errorf("pinning %s: %w", o.source.path, err)
	}
	if !parsesTo(b.String(), want) {
		return nil, fmt.Errorf("pinning %s: the document cannot be written again: write spec.dockerImage as one plain word", o.source.path)
	}
	return b.Bytes(), nil
}

// changed is the document with the changes made.
func (o *Overlay) changed(changes []change, annotations map[string]string) *yaml.Node {
	doc, copies := clone(o.doc)
	for _, c := range changes {
		n := copies[c.node]
		if n.Kind == yaml.AliasNode {
			*n = yaml.Node{Kind: yaml.ScalarNode, HeadComment: n.HeadComment, LineComment: n.LineComment, FootComment: n.FootComment}
		}
		n.Value = c.value
		n.Tag = "!!str"
	}
	if len(annotations) == 0 {
		return doc
	}
	metadata := child(doc, "metadata")
	own := child(metadata, "annotations")
	switch {
	case own == nil:
		own = &yaml.Node{Kind: yaml.MappingNode}
		metadata.Content = append(metadata.Content, scalar("annotations"), own)
	case own.Kind == yaml.ScalarNode:
		*own = yaml.Node{Kind: yaml.MappingNode, Anchor: own.Anchor, LineComment: own.LineComment}
	}
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		value := scalar(annotations[key])
		value.Style = yaml.DoubleQuotedStyle
		if i := index(own, key); i >= 0 {
			value.Style = own.Content[i+1].Style
			own.Content[i+1] = value
			continue
		}
		own.Content = append(own.Content, scalar(key), value)
	}
	return doc
}

func scalar(v string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: v} }

// index is where a mapping has a key, or -1.
func index(m *yaml.Node, key string) int {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			return i
		}
	}
	return -1
}

// child is the value of a mapping's key, aliases followed, or nil.
func child(m *yaml.Node, key string) *yaml.Node {
	if i := index(m, key); i >= 0 {
		return deref(m.Content[i+1])
	}
	return nil
}

// parsesTo reports whether a text is one YAML document, and the one that is wanted.
func parsesTo(text string, want *yaml.Node) bool {
	docs, err := parseYAML(text)
	return err == nil && len(docs) == 1 && sameTree(docs[0], want)
}

// sameTree reports whether two trees mean the same: the order of a mapping's keys, styles and comments do not
// matter.
func sameTree(a, b *yaml.Node) bool {
	if a.Kind != b.Kind || a.Anchor != b.Anchor || len(a.Content) != len(b.Content) {
		return false
	}
	if a.Kind == yaml.ScalarNode || a.Kind == yaml.AliasNode {
		return a.Value == b.Value && (a.Kind == yaml.AliasNode || a.ShortTag() == b.ShortTag())
	}
	if a.ShortTag() != b.ShortTag() {
		return false
	}
	if a.Kind != yaml.MappingNode {
		return slices.EqualFunc(a.Content, b.Content, sameTree)
	}
	at := make(map[string]int, len(b.Content)/2)
	for i := 0; i+1 < len(b.Content); i += 2 {
		at[b.Content[i].Value] = i
	}
	for i := 0; i+1 < len(a.Content); i += 2 {
		j, ok := at[a.Content[i].Value]
		if !ok || !sameTree(a.Content[i], b.Content[j]) || !sameTree(a.Content[i+1], b.Content[j+1]) {
			return false
		}
	}
	return true
}

// edited is the text with the changes made at their places, or false where a place cannot be told.
func (o *Overlay) edited(changes []change, annotations map[string]string, place annotationPlace) (string, bool) {
	e := editor{source: o.source}
	e.replace(changes[0].node, changes[0].value)
	for _, c := range changes[1:] {
		e.replaceVariables(c)
	}
	if len(annotations) > 0 {
		e.annotate(o.doc, annotations, place)
	}
	return e.text()
}

// plainWord reports whether a value can be written without quotes anywhere, and stays a string.
func plainWord(v string) bool {
	if v == "" || strings.Trim(v, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@+ ") != "" {
		return false
	}
	first := v[0]
	if first == '-' || first == ':' || first == '@' || first == ' ' || strings.HasSuffix(v, " ") || strings.HasSuffix(v, ":") ||
		strings.Contains(v, ": ") {
		return false
	}
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(v), &n); err != nil || len(n.Content) != 1 {
		return false
	}
	return n.Content[0].Kind == yaml.ScalarNode && n.Content[0].ShortTag() == "!!str" && n.Content[0].Value == v
}
