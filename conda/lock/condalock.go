package lock

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/version"
)

// readCondaLock reads a conda-lock file of version 1 (CEP 37).
func readCondaLock(data []byte, name string) (*Lock, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("reading the lock %s: %w", name, err)
	}
	if doc.Kind != yaml.DocumentNode || doc.Content[0].Kind != yaml.MappingNode {
		return nil, fmt.Errorf("reading the lock %s: %w", name, errNoLock)
	}
	c := condaLock{file: file{name}, lock: &Lock{}, extras: map[string]extra{}}
	top, err := c.mapping(doc.Content[0], "the lock")
	if err != nil {
		return nil, err
	}
	if err := c.version(top); err != nil {
		return nil, err
	}
	if top["metadata"] == nil || top["package"] == nil {
		return nil, c.errorf(doc.Content[0], "%w", errNoLock)
	}
	if err := c.metadata(top["metadata"]); err != nil {
		return nil, err
	}
	if err := c.packages(top["package"]); err != nil {
		return nil, err
	}
	for i, p := range c.lock.Platforms {
		c.lock.Platforms[i].Packages, c.lock.Platforms[i].Pip = linkOrder(p.Packages), byName(p.Pip)
	}
	return c.lock, nil
}

// condaLock is a conda-lock file that is being read.
type condaLock struct {
	file
	lock   *Lock
	extras map[string]extra // by URL
}

func (c *condaLock) version(top fields) error {
	n := top["version"]
	switch {
	case n == nil || n.Value == "1":
		return nil // 1 where it is missing, says CEP 37
	case top["environments"] != nil || top["package"] != nil && len(n.Value) == 1:
		return c.errorf(n, "a pixi.lock of version %s cannot be read yet: want a conda-lock file (version 1) or an @EXPLICIT list", n.Value)
	default:
		return c.errorf(n, "version %q of the format is not known: want 1", n.Value)
	}
}

func (c *condaLock) metadata(n *yaml.Node) error {
	m, err := c.mapping(n, "metadata")
	if err != nil {
		return err
	}
	hashes, err := c.texts(m["content_hash"], "content_hash")
	if err != nil {
		return err
	}
	custom, err := c.texts(m["custom_metadata"], "custom_metadata")
	if err != nil {
		return err
	}
	platforms, err := c.list(m["platforms"], "platforms")
	if err != nil {
		return err
	}
	for _, p := range platforms {
		s, err := conda.ParseSubdir(p.Value)
		if err != nil || s == conda.NoArchSubdir {
			return c.errorf(p, "platforms: %q is none", p.Value)
		}
		c.lock.Platforms = append(c.lock.Platforms, Platform{Subdir: s, ContentHash: hashes[string(s)]})
	}
	sources, err := c.list(m["sources"], "sources")
	if err != nil {
		return err
	}
	for _, s := range sources {
		c.lock.Sources = append(c.lock.Sources, s.Value)
	}
	if err := c.channels(m["channels"]); err != nil {
		return err
	}
	return c.custom(m["custom_metadata"], custom)
}

// channels are written as mappings, and by some as names.
func (c *condaLock) channels(n *yaml.Node) error {
	list, err := c.list(n, "channels")
	if err != nil {
		return err
	}
	for _, n := range list {
		if n.Kind == yaml.ScalarNode {
			c.lock.Channels = append(c.lock.Channels, Channel{URL: conda.WithoutCredentials(n.Value)})
			continue
		}
		m, err := c.mapping(n, "channels")
		if err != nil {
			return err
		}
		u, err := c.text(n, m, "url")
		if err != nil {
			return err
		}
		channel := Channel{URL: conda.WithoutCredentials(u)}
		vars, err := c.list(m["used_env_vars"], "used_env_vars")
		if err != nil {
			return err
		}
		for _, v := range vars {
			channel.EnvVars = append(channel.EnvVars, v.Value)
		}
		c.lock.Channels = append(c.lock.Channels, channel)
	}
	return nil
}

// custom reads what this program has added, and keeps the rest.
func (c *condaLock) custom(n *yaml.Node, custom map[string]string) error {
	for key, value := range custom {
		if u, ok := strings.CutPrefix(key, recordKey); ok {
			e, err := parseExtra(value)
			if err != nil {
				return c.errorf(n, "custom_metadata %s: %w", key, err)
			}
			c.extras[u] = e
			continue
		}
		if s, ok := strings.CutPrefix(key, virtualKey); ok {
			v, err := parseVirtual(value)
			if err != nil {
				return c.errorf(n, "custom_metadata %s: %w", key, err)
			}
			if p, ok := c.lock.platform(conda.Subdir(s)); ok {
				p.Virtual = v
			}
			continue
		}
		if c.lock.Custom == nil {
			c.lock.Custom = map[string]string{}
		}
		c.lock.Custom[key] = value
	}
	return nil
}

func (c *condaLock) packages(n *yaml.Node) error {
	list, err := c.list(n, "package")
	if err != nil {
		return err
	}
	seen := map[[4]string]int{}
	for _, n := range list {
		m, err := c.mapping(n, "package")
		if err != nil {
			return err
		}
		if strings.HasPrefix(m.optional("name"), "__") {
			continue // a virtual package, which conda-lock drops too
		}
		e, err := c.entry(n, m)
		if err != nil {
			return err
		}
		key := [4]string{e.name, e.manager, string(e.platform.Subdir), e.category}
		if line := seen[key]; line > 0 {
			return c.errorf(n, "%s for %s is also in line %d", e.name, e.platform.Subdir, line)
		}
		seen[key] = n.Line
		if e.manager == "pip" {
			e.platform.Pip = append(e.platform.Pip, e.pip())
			continue
		}
		r, err := e.record()
		if err != nil {
			return c.errorf(n, "%s: %w", e.name, err)
		}
		if x, ok := c.extras[e.url]; ok {
			x.apply(r)
		}
		e.platform.Packages = append(e.platform.Packages, Package{Record: r, Category: e.category})
	}
	return nil
}

// entry is one item of the list of packages.
type entry struct {
	name, version, manager, category, url string
	md5, sha256, source, build            string
	depends, constrains                   []pair
	platform                              *Platform
}

func (c *condaLock) entry(n *yaml.Node, m fields) (entry, error) {
	var e entry
	for key, to := range map[string]*string{"name": &e.name, "version": &e.version, "manager": &e.manager, "url": &e.url} {
		text, err := c.text(n, m, key)
		if err != nil {
			return entry{}, err
		}
		*to = text
	}
	if e.manager != "conda" && e.manager != "pip" {
		return entry{}, c.errorf(m["manager"], "%s: manager %q is neither conda nor pip", e.name, e.manager)
	}
	e.url = conda.WithoutCredentials(e.url)
	e.category, e.build = m.optional("category"), m.optional("build")
	if e.category == "" {
		e.category = Main
	}
	subdir, err := c.text(n, m, "platform")
	if err != nil {
		return entry{}, err
	}
	if e.platform, _ = c.lock.platform(conda.Subdir(subdir)); e.platform == nil {
		return entry{}, c.errorf(m["platform"], "%s: platform %q is not among metadata.platforms", e.name, subdir)
	}
	return e, c.entryMaps(n, m, &e)
}

// entryMaps reads an entry's mappings.
func (c *condaLock) entryMaps(n *yaml.Node, m fields, e *entry) error {
	if m["hash"] == nil {
		return c.errorf(n, "%s: hash is missing", e.name)
	}
	hashes, err := c.texts(m["hash"], "hash")
	if err != nil {
		return err
	}
	e.md5, e.sha256 = hashes["md5"], hashes["sha256"]
	if e.manager == "conda" { // of pip's, conda-lock notes a commit as sha256
		if err := checksums(e.md5, e.sha256); err != nil {
			return c.errorf(m["hash"], "%s: %w", e.name, err)
		}
		if e.md5 == "" && e.sha256 == "" {
			return c.errorf(m["hash"], "%s: a checksum is needed", e.name)
		}
	}
	source, err := c.texts(m["source"], "source")
	if err != nil {
		return err
	}
	e.source = conda.WithoutCredentials(source["url"])
	if e.depends, err = c.depends(m["dependencies"], "dependencies"); err != nil {
		return err
	}
	e.constrains, err = c.depends(m["constrains"], "constrains")
	return err
}

// depends reads a mapping from names to constraints, in its order.
func (c *condaLock) depends(n *yaml.Node, what string) ([]pair, error) {
	if empty(n) {
		return nil, nil
	}
	values, err := c.texts(n, what)
	if err != nil {
		return nil, err
	}
	var out []pair
	for i := 0; i < len(n.Content); i += 2 {
		name := n.Content[i].Value
		out = append(out, pair{name, strings.TrimSpace(values[name])})
	}
	return out, nil
}

// record is a conda entry as a record.
func (e entry) record() (*conda.Record, error) {
	r, err := archiveRecord(e.url, e.platform.Subdir)
	if err != nil {
		return nil, err
	}
	if r.Name, err = conda.ParsePackageName(e.name); err != nil {
		return nil, err
	}
	if r.Version, err = version.Parse(e.version); err != nil {
		return nil, err
	}
	if e.build != "" {
		r.Build = e.build
	}
	r.MD5, r.SHA256 = e.md5, e.sha256
	r.Depends, r.Constrains = dependTexts(e.depends), dependTexts(e.constrains)
	return r, nil
}

func (e entry) pip() PipPackage {
	return PipPackage{
		Name: e.name, Version: e.version, URL: e.url, SHA256: e.sha256, MD5: e.md5,
		Depends: dependTexts(e.depends), Source: e.source, Category: e.category,
	}
}

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
