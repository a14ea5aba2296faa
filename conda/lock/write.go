package lock

import (
	"cmp"
	"errors"
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
	var b strings.Builder
	b.WriteString(`# This lock file was made by conda2docker. It holds the exact packages of an environment, with checksums,
# in the format of conda-lock (CEP 37): conda-lock and micromamba install it too.
version: 1
metadata:
`)
	platforms := make([]string, len(l.Platforms))
	var hashes []pair
	for i, p := range l.Platforms {
		platforms[i] = string(p.Subdir)
		if p.ContentHash != "" {
			hashes = append(hashes, pair{string(p.Subdir), p.ContentHash})
		}
	}
	writePairs(&b, "  content_hash", hashes)
	l.writeChannels(&b)
	writeList(&b, "  platforms", "  ", platforms)
	writeList(&b, "  sources", "  ", l.Sources)
	for _, key := range notes() {
		if l.Notes[key] != "" {
			b.WriteString("  " + key + ": " + l.Notes[key] + "\n") // JSON is YAML too
		}
	}
	if len(custom) > 0 {
		writePairs(&b, "  custom_metadata", custom)
	}
	entries := l.entries()
	if len(entries) == 0 {
		b.WriteString("package: []\n")
	} else {
		b.WriteString("package:\n")
	}
	for _, e := range entries {
		e.write(&b)
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("writing the lock: %w", err)
	}
	return nil
}

// customMetadata is the file's own, and what the format has no place for, sorted.
func (l *Lock) customMetadata() ([]pair, error) {
	custom := maps.Clone(l.Custom)
	if custom == nil {
		custom = map[string]string{}
	}
	for _, p := range l.Platforms {
		if err := p.customMetadata(custom); err != nil {
			return nil, fmt.Errorf("writing the lock: %w", err)
		}
	}
	pairs := make([]pair, 0, len(custom))
	for _, key := range slices.Sorted(maps.Keys(custom)) {
		pairs = append(pairs, pair{key, custom[key]})
	}
	return pairs, nil
}

func (p *Platform) customMetadata(custom map[string]string) error {
	if p.Subdir == "" {
		return errors.New("it does not say for which platform it is")
	}
	if p.refusal != nil {
		return p.refusal
	}
	if len(p.Virtual) > 0 {
		custom[virtualKey+string(p.Subdir)] = strings.Join(virtualTexts(p.Virtual), " ")
	}
	if p.PipVersion != "" {
		custom[pipVersionKey+string(p.Subdir)] = p.PipVersion
	}
	texts := map[string]any{requestKey + string(p.Subdir): p.Request}
	for _, k := range p.Packages {
		if k.Record.MD5 == "" && k.Record.SHA256 == "" {
			return fmt.Errorf("%s has no checksum", k.Record)
		}
		plain, err := entryOf(p, k).record()
		if err != nil {
			return fmt.Errorf("%s: %w", k.Record, err)
		}
		texts[recordKey+k.Record.URL] = extraOf(k, plain)
	}
	for _, k := range p.Pip {
		texts[pipKey+k.URL] = pipExtraOf(k)
	}
	for key, v := range texts {
		text, err := jsonText(v)
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		if text != "" {
			custom[key] = text
		}
	}
	return nil
}

func (l *Lock) writeChannels(b *strings.Builder) {
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

func (e entry) write(b *strings.Builder) {
	fmt.Fprintf(b, "- name: %s\n", scalar(e.name))
	fmt.Fprintf(b, "  version: %s\n  manager: %s\n  platform: %s\n", scalar(e.version), e.manager, e.platform.Subdir)
	writePairs(b, "  dependencies", e.depends)
	fmt.Fprintf(b, "  url: %s\n", scalar(e.url))
	hashes := []pair{{"md5", e.md5}, {"sha256", e.sha256}}
	writePairs(b, "  hash", slices.DeleteFunc(hashes, func(h pair) bool { return h.value == "" }))
	if e.source != "" {
		fmt.Fprintf(b, "  source:\n    type: url\n    url: %s\n", scalar(e.source))
	}
	fmt.Fprintf(b, "  category: %s\n  optional: %t\n", scalar(e.category), e.category != Main)
}

func writeList(b *strings.Builder, key, indent string, values []string) {
	if len(values) == 0 {
		b.WriteString(key + ": []\n")
		return
	}
	b.WriteString(key + ":\n")
	for _, v := range values {
		b.WriteString(indent + "- " + scalar(v) + "\n")
	}
}

// pair is one entry of a mapping.
type pair struct{ key, value string }

func writePairs(b *strings.Builder, key string, pairs []pair) {
	if len(pairs) == 0 {
		b.WriteString(key + ": {}\n")
		return
	}
	b.WriteString(key + ":\n")
	for _, p := range pairs {
		b.WriteString("    " + scalar(p.key) + ": " + scalar(p.value) + "\n")
	}
}
