package version

import (
	"regexp"
	"strings"
)

// Constraint is a condition on versions, such as ">=1.8,<2|1.7.*". The zero value is met by every version.
type Constraint struct{ root *node }

// kind says what a node asks.
type kind int

const (
	anything kind = iota // nothing
	within               // a key of at least low and less than high
	outside              // a key that is not so
	pattern              // a text that the regular expression matches
	all                  // every one of the nodes beneath
	either               // one of the nodes beneath
)

// node is one part of a constraint. Every comparison is a range of keys, and so is "begins with".
type node struct {
	kind      kind
	text      string
	low, high string // high "" is no end
	regex     *regexp.Regexp
	nodes     []node
}

// Match reports whether v meets the constraint.
func (c Constraint) Match(v Version) bool { return c.root == nil || c.root.match(&v) }

// IsAny reports whether every version meets the constraint because it asks for nothing.
func (c Constraint) IsAny() bool { return c.root == nil || c.root.kind == anything }

// Exact is the only version that meets the constraint, where it is of that kind: "1.8" or "==1.8".
func (c Constraint) Exact() (Version, bool) {
	if c.root == nil || c.root.kind != within || c.root.high != c.root.low+after {
		return Version{}, false
	}
	v, err := Parse(strings.TrimSuffix(strings.TrimLeft(c.root.text, "="), ".*"))
	return v, err == nil
}

// String is the constraint in conda's canonical form; the zero value is "*".
func (c Constraint) String() string {
	if c.root == nil {
		return "*"
	}
	return c.root.text
}

func (n *node) match(v *Version) bool {
	switch n.kind {
	case within:
		return v.key >= n.low && (n.high == "" || v.key < n.high)
	case outside:
		return v.key < n.low || n.high != "" && v.key >= n.high
	case pattern:
		return n.regex.MatchString(v.text)
	case all:
		for i := range n.nodes {
			if !n.nodes[i].match(v) {
				return false
			}
		}
		return true
	case either:
		for i := range n.nodes {
			if n.nodes[i].match(v) {
				return true
			}
		}
		return false
	default:
		return true
	}
}
