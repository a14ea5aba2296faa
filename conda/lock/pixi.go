package lock

import (
	"errors"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/datalayer/conda2docker/conda"
)

// defaultEnvironment is the one that a pixi.lock has unless its author says otherwise.
const defaultEnvironment = "default"

// pixiKey is where the lock's Custom keeps what a pixi.lock says of the environment besides, such as the options of its solver.
const pixiKey = "pixi/"

// readPixi reads one environment of a pixi.lock. What of it cannot be had, such as packages that are built from source, is an
// error only for the platforms that want it.
func readPixi(f file, top fields, environment string) (*Lock, error) {
	p := pixi{file: f, lock: &Lock{}, entries: map[pixiRef][]pixiEntry{}, names: map[string]pixiPlatform{}}
	p.environment, p.platformName, _ = strings.Cut(environment, "@")
	if p.environment == "" {
		p.environment = defaultEnvironment
	}
	if err := p.index(top["packages"]); err != nil {
		return nil, err
	}
	if err := p.platformNames(top["platforms"]); err != nil {
		return nil, err
	}
	env, err := p.find(top["environments"])
	if err != nil {
		return nil, err
	}
	if err := p.channels(env["channels"]); err != nil {
		return nil, err
	}
	if err := p.custom(env); err != nil {
		return nil, err
	}
	return p.lock, p.platforms(env["packages"])
}

// pixi is a pixi.lock that is being read.
type pixi struct {
	file
	lock                      *Lock
	environment, platformName string
	entries                   map[pixiRef][]pixiEntry
	names                     map[string]pixiPlatform // of platforms; empty below version 7
}

// pixiRef is how an environment names a package: what kind it is, and where it comes from.
type pixiRef struct{ kind, location string }

// pixiKinds are those of packages. Before version 6, an entry's kind is a value of its own.
func pixiKinds() []string { return []string{"conda", "pypi", "conda_source"} }

// pixiPlatform is a platform with a name of its own.
type pixiPlatform struct {
	subdir  conda.Subdir
	virtual []conda.VirtualPackage
}

// ref is what an entry, or a reference to one, is about.
func (p *pixi) ref(n *yaml.Node, m fields) (pixiRef, error) {
	if kind := m.optional("kind"); kind != "" {
		for _, key := range []string{"url", "path"} {
			if at := m.optional(key); at != "" {
				return pixiRef{kind, at}, nil
			}
		}
		return pixiRef{}, p.errorf(n, "url is missing")
	}
	for _, kind := range pixiKinds() {
		if m[kind] != nil {
			at, err := p.text(n, m, kind)
			return pixiRef{kind, at}, err
		}
	}
	return pixiRef{}, p.errorf(n, "it is neither a conda nor a pypi package")
}

// index notes the packages of the file.
func (p *pixi) index(n *yaml.Node) error {
	list, err := p.list(n, "packages")
	if err != nil {
		return err
	}
	for _, n := range list {
		m, err := p.mapping(n, "packages")
		if err != nil {
			return err
		}
		ref, err := p.ref(n, m)
		if err != nil {
			return err
		}
		p.entries[ref] = append(p.entries[ref], pixiEntry{ref, n, m})
	}
	return nil
}

// platformNames reads the platforms of version 7.
func (p *pixi) platformNames(n *yaml.Node) error {
	list, err := p.list(n, "platforms")
	if err != nil {
		return err
	}
	for _, n := range list {
		m, err := p.mapping(n, "platforms")
		if err != nil {
			return err
		}
		name, err := p.text(n, m, "name")
		if err != nil {
			return err
		}
		subdir := m.optional("subdir")
		if subdir == "" {
			subdir = name
		}
		var platform pixiPlatform
		if platform.subdir, err = conda.ParseSubdir(subdir); err != nil {
			return p.errorf(n, "%w", err)
		}
		virtual, err := p.strings(m["virtual-packages"], "virtual-packages")
		if err != nil {
			return err
		}
		for _, text := range virtual {
			// Anything else than a version, such as "__glibc >= 2", says nothing that a package could be held against.
			if v, err := conda.ParseVirtualPackage(text); err == nil {
				platform.virtual = append(platform.virtual, v)
			}
		}
		slices.SortFunc(platform.virtual, byVirtual)
		p.names[name] = platform
	}
	return nil
}

// find is the environment that is meant.
func (p *pixi) find(n *yaml.Node) (fields, error) {
	all, err := p.mapping(n, "environments")
	if err != nil {
		return nil, err
	}
	env := all[p.environment]
	if env == nil {
		var names []string
		for i := 0; i < len(n.Content); i += 2 {
			names = append(names, n.Content[i].Value)
		}
		return nil, p.errorf(n, "there is no environment %q, but %s", p.environment, strings.Join(names, ", "))
	}
	return p.mapping(env, "environment "+p.environment)
}

func (p *pixi) channels(n *yaml.Node) error {
	list, err := p.list(n, "channels")
	if err != nil {
		return err
	}
	for _, n := range list {
		u := n.Value
		if n.Kind != yaml.ScalarNode {
			m, err := p.mapping(n, "channels")
			if err != nil {
				return err
			}
			if u, err = p.text(n, m, "url"); err != nil {
				return err
			}
		}
		base := strings.TrimSuffix(conda.WithoutCredentials(u), "/")
		p.lock.Channels = append(p.lock.Channels, Channel{URL: channelText(conda.Channel{Name: channelName(base), URL: base})})
	}
	return nil
}

// custom keeps what else there is of the environment.
func (p *pixi) custom(env fields) error {
	setText(&p.lock.Custom, pixiKey+"environment", p.environment)
	for key, n := range env {
		if key == "channels" || key == "packages" {
			continue
		}
		text, err := p.json(n, key)
		if err != nil {
			return err
		}
		if text != "" && text != "{}" && text != "[]" {
			setText(&p.lock.Custom, pixiKey+key, conda.WithoutCredentials(text))
		}
	}
	return nil
}

// platforms reads the environment's packages.
func (p *pixi) platforms(n *yaml.Node) error {
	if empty(n) {
		return nil
	}
	all, err := p.mapping(n, "packages")
	if err != nil {
		return err
	}
	if p.platformName != "" && all[p.platformName] == nil {
		return p.errorf(n, "environment %s has no platform %q", p.environment, p.platformName)
	}
	for _, same := range p.bySubdir(n) {
		name, err := p.choose(n, same)
		platform := p.platformOf(same[0])
		if err != nil {
			p.lock.Platforms = append(p.lock.Platforms, Platform{Subdir: platform.subdir, refusal: err})
			continue
		}
		platform = p.platformOf(name)
		if platform.subdir == "" {
			return p.errorf(all[name], "%s is none of the file's platforms", name)
		}
		read, err := p.platform(all[name], platform)
		if err != nil {
			return err
		}
		p.lock.Platforms = append(p.lock.Platforms, read)
	}
	return nil
}

func (p *pixi) platformOf(name string) pixiPlatform {
	if platform, ok := p.names[name]; ok || len(p.names) > 0 {
		return platform
	}
	subdir, err := conda.ParseSubdir(name)
	if err != nil {
		return pixiPlatform{}
	}
	return pixiPlatform{subdir: subdir}
}

// bySubdir are the names of an environment's platforms, those of one system together; only the one that was named, where one was.
func (p *pixi) bySubdir(n *yaml.Node) [][]string {
	if p.platformName != "" {
		return [][]string{{p.platformName}}
	}
	var out [][]string
	at := map[conda.Subdir]int{}
	for i := 0; i < len(n.Content); i += 2 {
		name := n.Content[i].Value
		s := p.platformOf(name).subdir
		if _, ok := at[s]; !ok {
			at[s] = len(out)
			out = append(out, nil)
		}
		out[at[s]] = append(out[at[s]], name)
	}
	return out
}

// choose picks one of the platforms for one system: the one that is called as the system is, else the only one.
func (p *pixi) choose(n *yaml.Node, same []string) (string, error) {
	s := p.platformOf(same[0]).subdir
	switch {
	case slices.Contains(same, string(s)):
		return string(s), nil
	case len(same) == 1 || s == "":
		return same[0], nil
	}
	return "", p.errorf(n, "environment %s has several platforms for %s: choose one with %s@%s", p.environment, s, p.environment, strings.Join(same, " or "+p.environment+"@"))
}

// platform reads one platform's packages.
func (p *pixi) platform(n *yaml.Node, of pixiPlatform) (Platform, error) {
	out := Platform{Subdir: of.subdir, Virtual: of.virtual}
	list, err := p.list(n, "packages")
	if err != nil {
		return out, err
	}
	lines := map[pixiRef]int{}
	for _, n := range list {
		entry, err := p.resolve(n)
		if err != nil {
			return out, err
		}
		err = p.add(&out, entry)
		var r refusalError
		switch {
		case errors.As(err, &r):
			if out.refusal == nil {
				out.refusal = err
			}
			continue
		case err != nil:
			return out, err
		}
		name := pixiRef{entry.kind, lastName(out, entry.kind)}
		if line := lines[name]; line > 0 {
			return out, p.errorf(n, "%s for %s is also in line %d", name.location, of.subdir, line)
		}
		lines[name] = n.Line
	}
	out.Packages, out.Pip = linkOrder(out.Packages), byName(out.Pip)
	return out, nil
}

// lastName is the name of what was added last.
func lastName(p Platform, kind string) string {
	if kind == "pypi" {
		return p.Pip[len(p.Pip)-1].Name
	}
	return string(p.Packages[len(p.Packages)-1].Record.Name)
}

// pixiEntry is one of the packages of the file.
type pixiEntry struct {
	pixiRef
	node *yaml.Node
	fields
}

// resolve finds the package that an environment's reference is to. In version 6, several of one location may differ in what the
// reference says besides.
func (p *pixi) resolve(n *yaml.Node) (pixiEntry, error) {
	m, err := p.mapping(n, "packages")
	if err != nil {
		return pixiEntry{}, err
	}
	ref, err := p.ref(n, m)
	if err != nil {
		return pixiEntry{}, err
	}
	for _, e := range p.entries[ref] {
		same := true
		for _, key := range []string{"name", "version", "build", "subdir"} {
			same = same && (m[key] == nil || m.optional(key) == e.optional(key))
		}
		if same {
			return e, nil
		}
	}
	return pixiEntry{}, p.errorf(n, "%s is not among the packages of the file: it is cut off, or was edited", conda.WithoutCredentials(ref.location))
}

// refusalError is about a package that the file rightly names, and that cannot be had.
type refusalError struct{ error }

func (e refusalError) Unwrap() error { return e.error }

func (p *pixi) refuse(n *yaml.Node, format string, args ...any) error {
	return refusalError{p.errorf(n, format, args...)}
}
