package envspec

// Requirement is one Python package that the pip section asks for (PEP 508).
type Requirement struct {
	Name     string   // normalised (PEP 503)
	Text     string   // the line for pip, without comment and hashes
	URL      string   // where "name @ URL" says so
	Hashes   []string // of --hash, e.g. "sha256:…"
	Position Position
}

// PipOption is an option for pip of the pip section, such as --index-url.
type PipOption struct {
	Flag     string // in its long form, e.g. "--index-url"
	Text     string // its value as written, variables not replaced: this is what may be shown
	Position Position

	value string
}

// Value is the option's value with its variables replaced, "" where it takes none: it may hold credentials.
func (o PipOption) Value() string { return o.value }
