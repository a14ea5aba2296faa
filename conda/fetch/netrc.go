package fetch

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"strings"
)

// Netrc is the credentials of a netrc file, by host.
type Netrc struct {
	machines map[string]Credential
	fallback *Credential
}

var _ Credentials = Netrc{}

// String tells nothing.
func (Netrc) String() string { return hidden }

// GoString tells nothing either.
func (Netrc) GoString() string { return hidden }

// ReadNetrc reads the file that $NETRC names, or else ~/.netrc, which may be missing.
func ReadNetrc(getenv func(string) string, readFile func(string) ([]byte, error)) (Netrc, error) {
	name, b, err := readOwn(getenv, readFile, "NETRC", ".netrc")
	switch {
	case err != nil:
		return Netrc{}, fmt.Errorf("reading netrc: %w", err)
	case name == "":
		return Netrc{}, nil
	}
	return ParseNetrc(string(b)), nil
}

// readOwn reads the file that a variable names, or else the one below the home folder, which may be missing: its name is "" then.
func readOwn(getenv func(string) string, readFile func(string) ([]byte, error), variable, below string) (name string, b []byte, err error) {
	if name = getenv(variable); name != "" {
		b, err = readFile(name)
		return name, b, err
	}
	home := getenv("HOME")
	if home == "" {
		return "", nil, nil
	}
	name = filepath.Join(home, below)
	if b, err = readFile(name); errors.Is(err, fs.ErrNotExist) {
		return "", nil, nil
	}
	return name, b, err
}

// ParseNetrc reads a netrc file's text; like the tools that made the format, it passes over what it does not know.
func ParseNetrc(text string) Netrc {
	n := Netrc{machines: map[string]Credential{}}
	var host string
	var current *Credential
	done := func() {
		switch {
		case current == nil:
		case host == "":
			n.fallback = current
		default:
			if _, ok := n.machines[host]; !ok {
				n.machines[host] = *current
			}
		}
	}
	for words := netrcWords(text); len(words) > 0; words = words[1:] {
		word, next := words[0], ""
		if len(words) > 1 {
			next = words[1]
		}
		switch word {
		case "default":
			done()
			host, current = "", &Credential{}
			continue
		case "machine":
			done()
			host, current = next, &Credential{}
		case "login":
			if current != nil {
				current.Username = next
			}
		case "password":
			if current != nil {
				current.Password = next
			}
		case "account":
		default:
			continue
		}
		if len(words) > 1 {
			words = words[1:]
		}
	}
	done()
	return n
}

// netrcWords are the words outside of comments and macros; a macro ends at an empty line.
func netrcWords(text string) []string {
	var words []string
	macro := false
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0:
			macro = false
			continue
		case macro || strings.HasPrefix(fields[0], "#"):
			continue
		case fields[0] == "macdef":
			macro = true
			continue
		}
		for _, f := range fields {
			words = append(words, strings.Trim(f, `"`))
		}
	}
	return words
}

// Credential is that of the URL's host.
func (n Netrc) Credential(u *url.URL) (Credential, bool) {
	for _, host := range []string{u.Host, u.Hostname()} {
		if c, ok := n.machines[host]; ok {
			return c, true
		}
	}
	if n.fallback != nil {
		return *n.fallback, true
	}
	return Credential{}, false
}
