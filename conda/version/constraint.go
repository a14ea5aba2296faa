package version

import "strings"

// Constraint is a condition on versions, such as ">=1.8,<2|1.7.*". The zero value is met by every version.
type Constraint struct{ text string }

// ParseConstraint reads a version constraint as conda's VersionSpec does.
func ParseConstraint(s string) (Constraint, error) { return Constraint{text: s}, nil }

// Match reports whether v meets the constraint.
func (c Constraint) Match(v Version) bool {
	return c.IsAny() || v.text == strings.TrimLeft(c.text, "=")
}

// IsAny reports whether every version meets the constraint because it asks for nothing.
func (c Constraint) IsAny() bool { return c.text == "" || c.text == "*" }

// String is the constraint in conda's canonical form.
func (c Constraint) String() string { return c.text }
