package lock

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/datalayer/conda2docker/conda"
)

// Comments in which this program keeps what the format has no place for.
const (
	virtualComment = "conda2docker/virtual"
	requestComment = "conda2docker/request"

	pipVersionComment = "conda2docker/pip"
)

// comment is a "# key: value" line of an @EXPLICIT file; pipLine is how conda-lock notes pip's packages there.
var (
	comment = regexp.MustCompile(`^#\s*(?:(platform|input_hash|env_hash|channels)\s*:\s*(\S+)|(conda2docker/[a-z]+): (.*\S))\s*$`)
	pipLine = regexp.MustCompile(`^#\s*pip\s+(\S+?)(?:==(\S+))?\s+@\s+(\S+?)(?:\s+--hash=(sha256|md5):([0-9a-f]+)|#(sha256|md5)=([0-9a-f]+))?$`)
)

// readExplicit reads an @EXPLICIT file (CEP 23). Its packages stay in the order in which they are written.
func readExplicit(data, name string) (*Lock, error) {
	l, p := &Lock{explicit: true}, Platform{}
	lines := map[*conda.Record]int{}
	n := 0
	for line := range strings.Lines(data) {
		n++
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line == "@EXPLICIT":
		case line[0] == '#':
			if err := explicitComment(l, &p, line); err != nil {
				return nil, place{name, n}.errorf("%w", err)
			}
		default:
			r, err := explicitRecord(line)
			if err != nil {
				return nil, place{name, n}.errorf("%s: %w", conda.WithoutCredentials(line), err)
			}
			lines[r] = n
			p.Packages = append(p.Packages, Package{Record: r, Category: Main})
		}
	}
	settlePlatform(&p)
	seen := map[conda.PackageName]*conda.Record{}
	for _, k := range p.Packages {
		r := k.Record
		if err := inSubdir(r, p.Subdir); err != nil {
			return nil, place{name, lines[r]}.errorf("%s: %w", r.FileName, err)
		}
		if first := seen[r.Name]; first != nil {
			return nil, place{name, lines[r]}.errorf("%s: %s is also in line %d", r.FileName, r.Name, lines[first])
		}
		seen[r.Name] = r
	}
	p.Pip = byName(p.Pip)
	l.Platforms = []Platform{p}
	return l, nil
}

// explicitComment reads a comment, of which most say nothing.
func explicitComment(l *Lock, p *Platform, line string) (err error) {
	if m := pipLine.FindStringSubmatch(line); m != nil {
		k := PipPackage{Name: m[1], Version: m[2], URL: conda.WithoutCredentials(m[3]), Category: Main}
		switch m[4] + m[6] {
		case "sha256":
			k.SHA256 = m[5] + m[7]
		case "md5":
			k.MD5 = m[5] + m[7]
		}
		p.Pip = append(p.Pip, k)
		return nil
	}
	m := comment.FindStringSubmatch(line)
	if m == nil {
		return nil
	}
	switch key, value := m[1]+m[3], m[2]+m[4]; key {
	case "platform":
		p.Subdir, err = conda.ParseSubdir(value)
	case "input_hash", "env_hash":
		p.ContentHash = value
	case "channels":
		for c := range strings.SplitSeq(value, ",") {
			l.Channels = append(l.Channels, Channel{URL: conda.WithoutCredentials(c)})
		}
	case virtualComment:
		p.Virtual, err = parseVirtual(value)
	case pipVersionComment:
		p.PipVersion = value
	case requestComment:
		err = parseJSON(value, &p.Request)
	}
	return err
}

// settlePlatform takes the platform from the packages where no comment says it.
func settlePlatform(p *Platform) {
	for _, k := range p.Packages {
		if p.Subdir == "" && k.Record.Subdir != conda.NoArchSubdir {
			p.Subdir = k.Record.Subdir
		}
	}
	for _, k := range p.Packages {
		if k.Record.Subdir == "" {
			k.Record.Subdir = p.Subdir
		}
	}
}

// variable is what CEP 23 has replaced by the environment's value.
var variable = regexp.MustCompile(`\$(\w+|\{[^}]*\})`)

// explicitRecord reads "URL#checksum". Other than CEP 23 has it, it refuses variables and "~" rather than replace them: a lock would be
// another one on each machine, and one from elsewhere could ask a server for the secrets of this one's environment.
func explicitRecord(line string) (*conda.Record, error) {
	u, hash, _ := strings.Cut(line, "#")
	if plain := conda.WithoutCredentials(u); strings.HasPrefix(plain, "~") || variable.MatchString(plain) {
		return nil, errors.New("variables and ~ are not replaced in a lock: write what they stand for")
	}
	if strings.HasPrefix(u, "/") {
		u = "file://" + u
	}
	if !strings.Contains(u, "://") {
		return nil, errors.New("a URL, or a path that is absolute, is needed")
	}
	r, err := archiveRecord(conda.WithoutCredentials(u), "")
	if err != nil {
		return nil, err
	}
	plain, isSHA := strings.CutPrefix(hash, "sha256:")
	if isSHA || len(plain) == 64 {
		r.SHA256 = plain
	} else {
		r.MD5 = plain
	}
	return r, checksums(r.MD5, r.SHA256)
}

// WriteExplicit writes one platform's packages of the category Main, and of others by name, as an
// @EXPLICIT file (CEP 23).
func (l *Lock) WriteExplicit(w io.Writer, s conda.Subdir, categories ...string) error {
	p, err := l.Platform(s)
	if err != nil {
		return err
	}
	records, err := l.Records(s, categories...)
	if err != nil {
		return err
	}
	pip, err := l.PipPackages(s, categories...)
	if err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("# This file may be used to create an environment using:\n# $ conda create --name <env> --file <this file>\n")
	if p.Subdir != "" {
		fmt.Fprintf(&b, "# platform: %s\n", p.Subdir)
	}
	if p.ContentHash != "" {
		fmt.Fprintf(&b, "# input_hash: %s\n", p.ContentHash)
	}
	if len(l.Channels) > 0 {
		names := make([]string, len(l.Channels))
		for i, c := range l.Channels {
			names[i] = c.URL
		}
		fmt.Fprintf(&b, "# channels: %s\n", strings.Join(names, ","))
	}
	if len(p.Virtual) > 0 {
		fmt.Fprintf(&b, "# %s: %s\n", virtualComment, strings.Join(virtualTexts(p.Virtual), " "))
	}
	if p.PipVersion != "" {
		fmt.Fprintf(&b, "# %s: %s\n", pipVersionComment, p.PipVersion)
	}
	request, err := jsonText(p.Request)
	if err != nil {
		return fmt.Errorf("writing the lock: %w", err)
	}
	if request != "" {
		fmt.Fprintf(&b, "# %s: %s\n", requestComment, request)
	}
	b.WriteString("# created-by: conda2docker\n@EXPLICIT\n")
	for _, r := range records {
		b.WriteString(r.URL)
		switch {
		case r.SHA256 != "":
			b.WriteString("#sha256:" + r.SHA256)
		case r.MD5 != "":
			b.WriteString("#" + r.MD5)
		}
		b.WriteByte('\n')
	}
	for _, k := range pip {
		b.WriteString(k.explicit())
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("writing the lock: %w", err)
	}
	return nil
}

// explicit is a pip package as a comment, in the form that conda-lock gives it.
func (k PipPackage) explicit() string {
	s := "# pip " + k.Name
	if k.Version != "" {
		s += "==" + k.Version
	}
	s += " @ " + k.URL
	switch {
	case k.SHA256 != "":
		s += " --hash=sha256:" + k.SHA256
	case k.MD5 != "":
		s += " --hash=md5:" + k.MD5
	}
	return s + "\n"
}
