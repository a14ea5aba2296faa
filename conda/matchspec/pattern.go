package matchspec

// Pattern is what a spec asks of a text: to be it, to fit a glob such as "py311*", or to match a ^regex$.
// The zero value is met by every text.
type Pattern struct{ text string }

// IsAny reports whether every text meets the pattern.
func (p Pattern) IsAny() bool { return p.text == "" || p.text == "*" }

// IsExact reports whether only one text meets the pattern.
func (p Pattern) IsExact() bool { return p.text != "" }

// Match reports whether s meets the pattern.
func (p Pattern) Match(s string) bool { return p.IsAny() || p.text == s }

// String is the pattern as it was written.
func (p Pattern) String() string { return p.text }

// Number is what a spec asks of a build number: a number, or one with an operator such as ">=2". The zero
// value is met by every number.
type Number struct{ text string }

// IsAny reports whether every number meets the condition.
func (n Number) IsAny() bool { return n.text == "" }

// Match reports whether the build number meets the condition.
func (n Number) Match(int64) bool { return n.IsAny() }

// String is the condition as it was written.
func (n Number) String() string { return n.text }
