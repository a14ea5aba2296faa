package lock

import (
	"maps"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/version"
)

// readCondaLock reads a conda-lock file of version 1 (CEP 37).
func readCondaLock(f file, top fields) (*Lock, error) {
	c := condaLock{file: f, lock: &Lock{}, extras: map[string]extra{}, pipExtras: map[string]pipExtra{}}
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
	lock      *Lock
	extras    map[string]extra    // by URL
	pipExtras map[string]pipExtra // by URL
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
	if err := c.platforms(m["platforms"], hashes); err != nil {
		return err
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
	for _, key := range notes() {
		text, err := c.json(m[key], key)
		if err != nil {
			return err
		}
		if text != "" {
			setText(&c.lock.Notes, key, text)
		}
	}
	custom, err := c.texts(m["custom_metadata"], "custom_metadata")
	if err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(custom)) {
		if err := c.custom(key, custom[key]); err != nil {
			return c.errorf(m["custom_metadata"], "custom_metadata %s: %w", key, err)
		}
	}
	return nil
}

// notes are the parts of a conda-lock file's metadata that say when, where and from what it was made (CEP 37).
func notes() []string { return []string{"git_metadata", "inputs_metadata", "time_metadata"} }

func (c *condaLock) platforms(n *yaml.Node, hashes map[string]string) error {
	list, err := c.list(n, "platforms")
	if err != nil {
		return err
	}
	for _, p := range list {
		s, err := conda.ParseSubdir(p.Value)
		if err != nil || s == conda.NoArchSubdir {
			return c.errorf(p, "platforms: %q is none", p.Value)
		}
		if _, twice := c.lock.platform(s); twice {
			return c.errorf(p, "platforms: %s is there twice", s)
		}
		c.lock.Platforms = append(c.lock.Platforms, Platform{Subdir: s, ContentHash: hashes[string(s)]})
	}
	return nil
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

// custom reads an entry that this program has added, and keeps those of others.
func (c *condaLock) custom(key, value string) error {
	if u, ok := strings.CutPrefix(key, recordKey); ok {
		var e extra
		err := parseJSON(value, &e)
		c.extras[u] = e
		return err
	}
	if u, ok := strings.CutPrefix(key, pipKey); ok {
		var e pipExtra
		err := parseJSON(value, &e)
		c.pipExtras[u] = e
		return err
	}
	for i := range c.lock.Platforms {
		p := &c.lock.Platforms[i]
		switch key {
		case virtualKey + string(p.Subdir):
			var err error
			p.Virtual, err = parseVirtual(value)
			return err
		case pipVersionKey + string(p.Subdir):
			p.PipVersion = value
			return nil
		case requestKey + string(p.Subdir):
			return parseJSON(value, &p.Request)
		}
	}
	setText(&c.lock.Custom, key, value)
	return nil
}

// setText adds to a map that may not be there yet.
func setText(m *map[string]string, key, value string) {
	if *m == nil {
		*m = map[string]string{}
	}
	(*m)[key] = value
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
			k := e.pip()
			if x, ok := c.pipExtras[e.url]; ok {
				x.apply(&k)
			}
			e.platform.Pip = append(e.platform.Pip, k)
			continue
		}
		r, err := e.record()
		if err != nil {
			return c.errorf(n, "%s: %w", e.name, err)
		}
		if err := fileOf(r); err != nil {
			return c.errorf(m["url"], "%s: %w", e.name, err)
		}
		k := Package{Record: r, Category: e.category}
		if x, ok := c.extras[e.url]; ok {
			x.apply(&k)
		}
		if err := inSubdir(r, e.platform.Subdir); err != nil {
			return c.errorf(m["url"], "%s: %w", e.name, err)
		}
		e.platform.Packages = append(e.platform.Packages, k)
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
	for _, of := range []struct {
		key string
		to  *string
	}{{"name", &e.name}, {"version", &e.version}, {"manager", &e.manager}, {"url", &e.url}} {
		text, err := c.text(n, m, of.key)
		if err != nil {
			return entry{}, err
		}
		*of.to = text
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
