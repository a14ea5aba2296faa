package fetch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"
)

// Rattler is the credentials that rattler's tools (pixi auth login) keep in a file, by host. A key such as *.prefix.dev stands for the
// host prefix.dev and all below it; the longest matching key counts.
type Rattler struct{ hosts map[string]Credential }

var _ Credentials = Rattler{}

// String tells nothing.
func (Rattler) String() string { return hidden }

// GoString tells nothing either.
func (Rattler) GoString() string { return hidden }

// ReadRattler reads the file that $RATTLER_AUTH_FILE names, or else ~/.rattler/credentials.json, which may be missing.
func ReadRattler(getenv func(string) string, readFile func(string) ([]byte, error)) (Rattler, error) {
	name, b, err := readOwn(getenv, readFile, "RATTLER_AUTH_FILE", filepath.Join(".rattler", "credentials.json"))
	switch {
	case err != nil:
		return Rattler{}, fmt.Errorf("reading rattler's credentials: %w", err)
	case name == "":
		return Rattler{}, nil
	}
	return parseRattler(name, b)
}

// parseRattler reads the file's text. Its errors show nothing of it, which is all secret, but for the place. What a host has of a kind
// that is not known here is an error only when the host is asked.
func parseRattler(name string, b []byte) (Rattler, error) {
	var file map[string]json.RawMessage
	if err := json.Unmarshal(b, &file); err != nil {
		at := int64(len(b))
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			at = min(at, syntax.Offset)
		}
		line := 1 + bytes.Count(b[:at], []byte("\n"))
		return Rattler{}, fmt.Errorf("reading rattler's credentials: %s:%d: want JSON such as {\"*.prefix.dev\": {\"BearerToken\": \"…\"}}", name, line)
	}
	r := Rattler{hosts: map[string]Credential{}}
	for host, raw := range file {
		r.hosts[strings.ToLower(host)] = rattlerCredential(name, host, raw)
	}
	return r, nil
}

func rattlerCredential(name, host string, raw json.RawMessage) Credential {
	var of map[string]json.RawMessage
	kind := "another form"
	if json.Unmarshal(raw, &of) == nil && len(of) == 1 {
		for k, v := range of {
			var c Credential
			var basic struct{ Username, Password string }
			var err error
			switch k {
			case "BearerToken":
				err = json.Unmarshal(v, &c.Bearer)
			case "CondaToken":
				err = json.Unmarshal(v, &c.Token)
			case "BasicHTTP":
				err = json.Unmarshal(v, &basic)
				c.Username, c.Password = basic.Username, basic.Password
			default:
				err = errors.New("unknown")
			}
			if err == nil && c != (Credential{}) {
				return c
			}
			kind = "the kind " + k
		}
	}
	return Credential{fault: fmt.Sprintf("the credentials for %s in %s are of %s: only BearerToken, BasicHTTP and CondaToken are read here", host, name, kind)}
}

// Credential is that of the URL's host.
func (r Rattler) Credential(u *url.URL) (Credential, bool) {
	host := strings.ToLower(u.Hostname())
	for _, key := range []string{strings.ToLower(u.Host), host} {
		if c, ok := r.hosts[key]; ok {
			return c, true
		}
	}
	if net.ParseIP(host) != nil {
		return Credential{}, false
	}
	for domain, more := host, true; more; _, domain, more = strings.Cut(domain, ".") {
		if c, ok := r.hosts["*."+domain]; ok {
			return c, true
		}
	}
	return Credential{}, false
}
