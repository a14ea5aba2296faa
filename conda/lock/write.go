package lock

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// WriteCondaLock writes the lock as a conda-lock file of version 1 (CEP 37): in conda-lock's order and
// layout, without timestamps and without credentials. What the format has no place for stands in
// custom_metadata.
func (l *Lock) WriteCondaLock(w io.Writer) error {
	custom, err := l.customMetadata()
	if err != nil {
		return err
	}
	b := bufio.NewWriter(w)
	b.WriteString(`# This lock file was made by conda2docker. It holds the exact packages of an environment, with checksums,
# in the format of conda-lock (CEP 37): conda-lock and micromamba install it too.
version: 1
metadata:
`)
	if len(l.Platforms) == 0 {
		b.WriteString("  content_hash: {}\n")
	} else {
		b.WriteString("  content_hash:\n")
	}
	for _, p := range l.Platforms {
		fmt.Fprintf(b, "    %s: %s\n", p.Subdir, scalar(p.ContentHash))
	}
	l.writeChannels(b)
	platforms := make([]string, len(l.Platforms))
	for i, p := range l.Platforms {
		platforms[i] = string(p.Subdir)
	}
	writeList(b, "  platforms", "  ", platforms)
	writeList(b, "  sources", "  ", l.Sources)
	writeMap(b, "  custom_metadata", "    ", custom)
	entries := l.entries()
	if len(entries) == 0 {
		b.WriteString("package: []\n")
	} else {
		b.WriteString("package:\n")
	}
	for _, e := range entries {
		e.write(b)
	}
	return b.Flush()
}

// customMetadata is the file's own, and what the format has no place for.
func (l *Lock) customMetadata() (map[string]string, error) {
	custom := maps.Clone(l.Custom)
	if custom == nil {
		custom = map[string]string{}
	}
	for _, p := range l.Platforms {
		if len(p.Virtual) > 0 {
			custom[virtualKey+string(p.Subdir)] = strings.Join(virtualTexts(p.Virtual), " ")
		}
		for _, k := range p.Packages {
			e := entryOf(&p, k)
			plain, err := e.record()
			if err != nil {
				return nil, fmt.Errorf("writing the lock: %s: %w", k.Record, err)
			}
			x, err := extraOf(k.Record, plain).text()
			if err != nil {
				return nil, fmt.Errorf("writing the lock: %s: %w", k.Record, err)
			}
			if x != "" {
				custom[recordKey+k.Record.URL] = x
			}
		}
	}
	return custom, nil
}

func (l *Lock) writeChannels(b *bufio.Writer) {
	if len(l.Channels) == 0 {
		b.WriteString("  channels: []\n")
		return
	}
	b.WriteString("  channels:\n")
	for _, c := range l.Channels {
		fmt.Fprintf(b, "  - url: %s\n", scalar(c.URL))
		writeList(b, "    used_env_vars", "    ", c.EnvVars)
	}
}

// entries are all packages in the order of conda-lock: by manager, name and platform.
func (l *Lock) entries() []entry {
	var out []entry
	for i := range l.Platforms {
		p := &l.Platforms[i]
		for _, k := range p.Packages {
			out = append(out, entryOf(p, k))
		}
		for _, k := range p.Pip {
			out = append(out, entry{
				name: k.Name, version: k.Version, manager: "pip", category: k.Category, url: k.URL, platform: p,
				md5: k.MD5, sha256: k.SHA256, source: k.Source, depends: dependMap(k.Depends),
			})
		}
	}
	slices.SortStableFunc(out, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.manager, b.manager), cmp.Compare(a.name, b.name),
			cmp.Compare(a.platform.Subdir, b.platform.Subdir), cmp.Compare(a.category, b.category))
	})
	return out
}

func entryOf(p *Platform, k Package) entry {
	r := k.Record
	return entry{
		name: string(r.Name), version: r.Version.String(), manager: "conda", category: k.Category, url: r.URL,
		md5: r.MD5, sha256: r.SHA256, depends: dependMap(r.Depends), platform: p,
	}
}

func (e entry) write(b *bufio.Writer) {
	fmt.Fprintf(b, "- name: %s\n", scalar(e.name))
	fmt.Fprintf(b, "  version: %s\n  manager: %s\n  platform: %s\n", scalar(e.version), e.manager, e.platform.Subdir)
	if len(e.depends) == 0 {
		b.WriteString("  dependencies: {}\n")
	} else {
		b.WriteString("  dependencies:\n")
	}
	for _, d := range e.depends {
		fmt.Fprintf(b, "    %s: %s\n", scalar(d.name), scalar(d.constraint))
	}
	fmt.Fprintf(b, "  url: %s\n", scalar(e.url))
	hashes := map[string]string{"md5": e.md5, "sha256": e.sha256}
	maps.DeleteFunc(hashes, func(_, v string) bool { return v == "" })
	if len(hashes) == 0 {
		b.WriteString("  hash: {}\n")
	}
	writeMap(b, "  hash", "    ", hashes)
	if e.source != "" {
		fmt.Fprintf(b, "  source:\n    type: url\n    url: %s\n", scalar(e.source))
	}
	fmt.Fprintf(b, "  category: %s\n  optional: %t\n", scalar(e.category), e.category != Main)
}

func writeList(b *bufio.Writer, key, indent string, values []string) {
	if len(values) == 0 {
		b.WriteString(key + ": []\n")
		return
	}
	b.WriteString(key + ":\n")
	for _, v := range values {
		b.WriteString(indent + "- " + scalar(v) + "\n")
	}
}

// writeMap writes a mapping in the order of its keys, or nothing where it is empty.
func writeMap(b *bufio.Writer, key, indent string, values map[string]string) {
	if len(values) == 0 {
		return
	}
	b.WriteString(key + ":\n")
	for _, k := range slices.Sorted(maps.Keys(values)) {
		b.WriteString(indent + scalar(k) + ": " + scalar(values[k]) + "\n")
	}
}
