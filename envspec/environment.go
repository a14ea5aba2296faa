package envspec

import (
	"slices"
	"strings"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/matchspec"
)

// Environment is what one or more environment.yml files ask for (CEP 24), for one platform. It is not changed
// after it was made.
type Environment struct {
	Name         string // "" where no file gives one
	Channels     []Channel
	NoDefaults   bool // the configured default channels are not appended to Channels
	Dependencies []Dependency
	Pip          []Requirement // the pip section, what it includes inlined
	PipOptions   []PipOption
	// PipConstraints bound the versions of what pip installs, and ask for nothing.
	PipConstraints []Requirement
	Variables      []Variable
	Platforms      []conda.Subdir // empty: any
	Files          []string       // the files read, in order, those that the pip section includes too
}

// Channel is a channel as a file names it.
type Channel struct {
	Text     string // as written, variables not replaced
	Position Position

	ref   string
	place Error
}

// Fault is an error of the file at the channel, for what is found out about it only when it is asked for.
func (c Channel) Fault(err error) *Error {
	fault := c.place
	fault.Err = err
	return &fault
}

// Ref is the channel's name, URL or path with its variables replaced: it may hold credentials.
func (c Channel) Ref() string { return c.ref }

// String is the channel as it may be shown.
func (c Channel) String() string { return redact(c.Text) }

// Dependency is one conda package asked for.
type Dependency struct {
	Spec     matchspec.Spec
	Text     string // as written
	Category string // the category of its file
	Implied  bool   // written by nobody: pip, because of the pip section
	Position Position

	place Error
}

// Fault is an error of the file at the dependency, for what is found out about it only when it is asked for.
func (d Dependency) Fault(err error) *Error {
	fault := d.place
	fault.Err = err
	return &fault
}

// ChannelRef is the channel that the dependency is pinned to by CHANNEL::, a name or a URL that may hold credentials; "" is any channel.
func (d Dependency) ChannelRef() string {
	if ref, _, ok := strings.Cut(d.Text, "::"); ok && d.Spec.Channel != "" && !strings.Contains(ref, "[") {
		return strings.TrimSpace(ref)
	}
	return d.Spec.Channel
}

// Variable is an environment variable of the environment.
type Variable struct {
	Name, Value string
	Position    Position
}

// Options are what environment files are read with.
type Options struct {
	Subdir   conda.Subdir                      // the platform that selectors and platforms are evaluated for; linux-64 when empty
	Getenv   func(name string) string          // resolves ${NAME} in channels and pip options; nil: nothing has a value
	ReadFile func(path string) ([]byte, error) // reads what the pip section includes; os.ReadFile when nil
}

// ParseEnvironment reads environment.yml files (CEP 24) and merges them in order: the first name wins, channels,
// dependencies and pip sections are appended (a channel once), a variable's last value wins. Every error of a
// file's content is an *Error.
//
// Beyond the specification: a dependencies section that is there and empty is read as none, variables in
// channels are replaced as conda does, pip is added to the dependencies where there is a pip section without it,
// and one of several files may leave out its dependencies.
func ParseEnvironment(files []File, opts Options) (Environment, []Warning, error) {
	if opts.Subdir == "" {
		opts.Subdir = conda.Linux64
	}
	m := merger{opts: opts, seen: map[string]bool{}}
	for _, f := range files {
		if err := m.add(f); err != nil {
			return Environment{}, nil, err
		}
	}
	if !m.hasDependencies {
		return Environment{}, nil, m.missingDependencies()
	}
	m.implyPip()
	return m.env, m.warnings, nil
}

// ChannelRefs is the list of channels to ask, in order: the environment's own, then the configured defaults
// unless the environment says nodefaults, each once. The references may hold credentials.
func (e Environment) ChannelRefs(defaults ...string) []string {
	var refs []string
	for _, c := range e.Channels {
		if !slices.Contains(refs, c.ref) {
			refs = append(refs, c.ref)
		}
	}
	if e.NoDefaults {
		return refs
	}
	for _, d := range defaults {
		if !slices.Contains(refs, d) {
			refs = append(refs, d)
		}
	}
	return refs
}

// Specs is the specs of the dependencies, in order.
func (e Environment) Specs() []matchspec.Spec {
	specs := make([]matchspec.Spec, len(e.Dependencies))
	for i, d := range e.Dependencies {
		specs[i] = d.Spec
	}
	return specs
}
