package lock

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/datalayer/conda2docker/conda"
)

// comment is a "# key: value" line of an @EXPLICIT file; pipLine is how conda-lock notes pip's packages there.
var (
	comment = regexp.MustCompile(`^#\s*(platform|input_hash|env_hash|channels)\s*:\s*(\S+)\s*$`)
	pipLine = regexp.MustCompile(`^#\s*pip\s+(\S+?)(?:==(\S+))?\s+@\s+(\S+?)(?:\s+--hash=(sha256|md5):([0-9a-f]+)|#(sha256|md5)=([0-9a-f]+))?$`)
)

// readExplicit reads an @EXPLICIT file (CEP 23). Its packages stay in the order in which they are written.
func readExplicit(data, name string) (*Lock, error) {
	l, p := &Lock{}, Platform{}
	n := 0
	for line := range strings.Lines(data) {
		n++
		at := place{name, n}
		line = strings.TrimSpace(line)
		if line == "" || line == "@EXPLICIT" {
			continue
		}
		if line[0] != '#' {
			r, err := explicitRecord(line)
			if err != nil {
				return nil, at.errorf("%s: %w", conda.WithoutCredentials(line), err)
			}
			p.Packages = append(p.Packages, Package{Record: r, Category: Main})
			continue
		}
		if m := pipLine.FindStringSubmatch(line); m != nil {
			k := PipPackage{Name: m[1], Version: m[2], URL: conda.WithoutCredentials(m[3]), Category: Main}
			switch m[4] + m[6] {
			case "sha256":
				k.SHA256 = m[5] + m[7]
			case "md5":
				k.MD5 = m[5] + m[7]
			}
			p.Pip = append(p.Pip, k)
		} else if m := comment.FindStringSubmatch(line); m != nil {
			if err := explicitComment(l, &p, m[1], m[2]); err != nil {
				return nil, at.errorf("%w", err)
			}
		}
	}
	settlePlatform(&p)
	p.Pip = byName(p.Pip)
	l.Platforms = []Platform{p}
	return l, nil
}

func explicitComment(l *Lock, p *Platform, key, value string) (err error) {
	switch key {
	case "platform":
		p.Subdir, err = conda.ParseSubdir(value)
	case "input_hash", "env_hash":
		p.ContentHash = value
	case "channels":
		for c := range strings.SplitSeq(value, ",") {
			l.Channels = append(l.Channels, Channel{URL: conda.WithoutCredentials(c)})
		}
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

// explicitRecord reads "URL#checksum".
func explicitRecord(line string) (*conda.Record, error) {
	u, hash, _ := strings.Cut(line, "#")
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
	b.WriteString("# Made by conda2docker: the packages of an environment, in the order in which they are linked.\n")
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
	b.WriteString("@EXPLICIT\n")
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
