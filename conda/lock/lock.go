// Package lock says exactly which packages an environment consists of on each platform, and keeps that in files.
package lock

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/datalayer/conda2docker/conda"
)

// Main is the category of what is always installed.
const Main = "main"

// Lock is an environment's packages on one or several platforms. Its values are shared and are not changed.
type Lock struct {
	Channels  []Channel
	Platforms []Platform
	Sources   []string          // the files that were locked, relative to the lock
	Custom    map[string]string // whatever else a file's author noted
	Notes     map[string]string // a conda-lock file's git_metadata, inputs_metadata and time_metadata, as JSON

	explicit bool // read from an @EXPLICIT file, whose URLs are all that it says of where packages come from
}

// Channel is one of the channels that were resolved against, as the file writes it.
type Channel struct {
	URL     string   // its name or URL, without credentials
	EnvVars []string // environment variables that its URL needs
}

// Platform is the environment on one platform.
type Platform struct {
	Subdir      conda.Subdir // "" where an @EXPLICIT file does not tell
	ContentHash string       // as the file has it: each tool hashes what was asked for in its own way; "" when not known
	Request     []string     // what was asked for, such as "spec numpy"; none where another program made the lock
	Virtual     []conda.VirtualPackage
	Packages    []Package // in the order in which they are linked
	Pip         []PipPackage
	PipVersion  string // of the pip that this program had choose those; "" where it did not

	refusal error // why this platform's packages cannot be had, although the file is right
}

// Package is a conda package.
type Package struct {
	Record   *conda.Record
	Category string // Main, or a group of its own, such as "dev"
	Other    string // what a pixi.lock says besides, as JSON
}

// PipPackage is a package that pip installs.
type PipPackage struct {
	Name, Version string
	URL           string // or a path, relative to the lock, of a file or a project's folder
	SHA256, MD5   string
	Depends       []string // "name" or "name constraint"
	Source        string   // the URL that was asked for, where it was one
	Category      string

	Implied bool           // asked for by other packages only
	Build   []BuildPackage // the wheels that a source distribution is built with; nil where they are not known

	Index          string // where it was found; "" when not known
	RequiresPython string
	Other          string // what a pixi.lock says besides, as JSON
}

// BuildPackage is a wheel that is there while a source distribution is built.
type BuildPackage struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	URL     string `json:"url"`
	SHA256  string `json:"sha256"`
}

// Packages are records in the category Main.
func Packages(records []*conda.Record) []Package {
	out := make([]Package, len(records))
	for i, r := range records {
		out[i] = Package{Record: r, Category: Main}
	}
	return out
}

// New makes a lock of solved platforms. It sorts packages into link order and takes credentials out of URLs.
func New(channels []conda.Channel, sources []string, platforms ...Platform) (*Lock, error) {
	l := &Lock{Sources: slices.Clone(sources)}
	for _, c := range channels {
		l.Channels = append(l.Channels, Channel{URL: channelText(c)})
	}
	for _, p := range platforms {
		if err := l.add(p); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// add takes a platform over.
func (l *Lock) add(p Platform) error {
	if p.Subdir == "" || p.Subdir == conda.NoArchSubdir {
		return errors.New("locking: a platform such as linux-64 is needed")
	}
	if _, ok := l.platform(p.Subdir); ok {
		return fmt.Errorf("locking: %s is there twice", p.Subdir)
	}
	if p.ContentHash == "" && len(p.Request) > 0 {
		p.ContentHash = requestHash(p.Request)
	}
	p.Virtual = slices.SortedFunc(slices.Values(p.Virtual), byVirtual)
	p.Packages = slices.Clone(p.Packages)
	for i, k := range p.Packages {
		if k.Record.MD5 == "" && k.Record.SHA256 == "" {
			return fmt.Errorf("locking %s: its channel's index has no checksum of it", k.Record)
		}
		if err := checksums(k.Record.MD5, k.Record.SHA256); err != nil {
			return fmt.Errorf("locking %s: in its channel's index, %w", k.Record, err)
		}
		if u := conda.WithoutCredentials(k.Record.URL); u != k.Record.URL {
			r := *k.Record
			r.URL, r.Channel.URL = u, conda.WithoutCredentials(r.Channel.URL)
			p.Packages[i].Record = &r
		}
	}
	p.Packages, p.Pip = linkOrder(p.Packages), withoutCredentials(p.Pip)
	l.Platforms = append(l.Platforms, p)
	return nil
}

// WithPip is the lock with what a pip of that version has chosen for a platform.
func (l *Lock) WithPip(s conda.Subdir, version string, packages []PipPackage) *Lock {
	out := *l
	out.Platforms = slices.Clone(l.Platforms)
	for i := range out.Platforms {
		if p := &out.Platforms[i]; p.Subdir == s {
			p.Pip, p.PipVersion = withoutCredentials(packages), version
		}
	}
	return &out
}

// withoutCredentials are pip's packages in order, and no secret in them.
func withoutCredentials(packages []PipPackage) []PipPackage {
	packages = byName(packages)
	for i := range packages {
		k := &packages[i]
		k.URL, k.Source, k.Index = conda.WithoutCredentials(k.URL), conda.WithoutCredentials(k.Source), conda.WithoutCredentials(k.Index)
		k.Build = slices.Clone(k.Build)
		for j := range k.Build {
			k.Build[j].URL = conda.WithoutCredentials(k.Build[j].URL)
		}
	}
	return packages
}

// linkOrder sorts packages that may be of several categories.
func linkOrder(packages []Package) []Package {
	byRecord := map[conda.PackageName][]Package{}
	var records []*conda.Record
	for _, p := range packages {
		if byRecord[p.Record.Name] == nil {
			records = append(records, p.Record)
		}
		byRecord[p.Record.Name] = append(byRecord[p.Record.Name], p)
	}
	out := make([]Package, 0, len(packages))
	for _, r := range conda.LinkOrder(records) {
		same := byRecord[r.Name]
		slices.SortFunc(same, func(a, b Package) int { return cmp.Compare(a.Category, b.Category) })
		out = append(out, same...)
	}
	return out
}

// byName sorts pip's packages. They are installed all at once, so that any order will do.
func byName(packages []PipPackage) []PipPackage {
	return slices.SortedStableFunc(slices.Values(packages), func(a, b PipPackage) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Category, b.Category))
	})
}

// platform finds a platform; where there is one alone that does not say what it is, that.
func (l *Lock) platform(s conda.Subdir) (*Platform, bool) {
	for i := range l.Platforms {
		if l.Platforms[i].Subdir == s || l.Platforms[i].Subdir == "" {
			return &l.Platforms[i], true
		}
	}
	return nil, false
}

// Has reports whether the lock is for a platform, although its packages may not be had.
func (l *Lock) Has(s conda.Subdir) bool {
	_, ok := l.platform(s)
	return ok
}

// Platform is the environment on one platform. Its error names those that there are, or says what of it cannot be had.
func (l *Lock) Platform(s conda.Subdir) (*Platform, error) {
	if p, ok := l.platform(s); ok {
		return p, p.refusal
	}
	names := make([]string, len(l.Platforms))
	for i, p := range l.Platforms {
		names[i] = string(p.Subdir)
	}
	if len(names) == 0 {
		names = []string{"none"}
	}
	return nil, fmt.Errorf("the lock has no packages for %s: it has %s; lock the environment for it too, or choose another platform", s, strings.Join(names, ", "))
}

// Records are a platform's conda packages in link order: those of the category Main, and of others by name.
func (l *Lock) Records(s conda.Subdir, categories ...string) ([]*conda.Record, error) {
	packages, err := l.chosen(s, categories)
	if err != nil {
		return nil, err
	}
	var out []*conda.Record
	for _, k := range packages {
		out = append(out, k.Record)
	}
	return out, nil
}

// chosen are a platform's conda packages as Records chooses them.
func (l *Lock) chosen(s conda.Subdir, categories []string) ([]Package, error) {
	p, err := l.Platform(s)
	if err != nil {
		return nil, err
	}
	var out []Package
	seen := map[conda.PackageName]*conda.Record{}
	for _, k := range p.Packages {
		if !wanted(k.Category, categories) {
			continue
		}
		if other := seen[k.Record.Name]; other == nil {
			out = append(out, k)
		} else if other.URL != k.Record.URL {
			return nil, fmt.Errorf("the lock has %s and %s for %s", other, k.Record, s)
		}
		seen[k.Record.Name] = k.Record
	}
	return out, nil
}

// PipPackages are what pip installs on a platform, chosen as Records chooses.
func (l *Lock) PipPackages(s conda.Subdir, categories ...string) ([]PipPackage, error) {
	p, err := l.Platform(s)
	if err != nil {
		return nil, err
	}
	var out []PipPackage
	for _, k := range p.Pip {
		if wanted(k.Category, categories) && !slices.ContainsFunc(out, func(o PipPackage) bool { return o.Name == k.Name }) {
			out = append(out, k)
		}
	}
	return out, nil
}

func wanted(category string, categories []string) bool {
	return category == Main || slices.Contains(categories, category)
}

// channelText is a channel as lock files write it.
func channelText(c conda.Channel) string {
	if conda.Alias+c.Name == c.URL {
		return c.Name
	}
	return conda.WithoutCredentials(c.URL)
}
