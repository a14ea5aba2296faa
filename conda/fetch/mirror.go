package fetch

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// mirror is a URL prefix and what is asked in its place.
type mirror struct {
	prefix string // without a trailing slash
	places []string
}

// newMirrors sorts the mirrors so that the first match is the longest.
func newMirrors(m map[string][]string) ([]mirror, error) {
	mirrors := make([]mirror, 0, len(m))
	for prefix, places := range m {
		if _, err := parseURL(prefix); err != nil {
			return nil, fmt.Errorf("mirrors: %w", err)
		}
		of := mirror{prefix: strings.TrimRight(prefix, "/")}
		for _, p := range places {
			if _, err := parseURL(p); err != nil {
				return nil, fmt.Errorf("mirrors of %s: %w", Redact(prefix), err)
			}
			of.places = append(of.places, strings.TrimRight(p, "/"))
		}
		if len(of.places) > 0 {
			mirrors = append(mirrors, of)
		}
	}
	slices.SortFunc(mirrors, func(a, b mirror) int {
		if d := len(b.prefix) - len(a.prefix); d != 0 {
			return d
		}
		return strings.Compare(a.prefix, b.prefix)
	})
	return mirrors, nil
}

// place is where a file is asked for.
type place struct {
	url       *url.URL
	canonical string // what messages call the file, redacted
	mirror    string // redacted; "" where the canonical URL itself is asked
}

func (p place) String() string {
	if p.mirror != "" {
		return p.mirror
	}
	return p.canonical
}

// error is a failure at this place.
func (p place) error(err error) error {
	return &RequestError{URL: p.canonical, Mirror: p.mirror, Err: withoutURL(err)}
}

// places are where a file is asked for, in order.
func (c *Client) places(rawURL string) ([]place, error) {
	canonical := shown(rawURL)
	for _, m := range c.mirrors {
		rest, ok := below(rawURL, m.prefix)
		if !ok {
			continue
		}
		places := make([]place, 0, len(m.places))
		for _, base := range m.places {
			u, err := parseURL(base + rest)
			if err != nil {
				return nil, err
			}
			p := place{url: u, canonical: canonical}
			if base != m.prefix {
				p.mirror = shown(u.String())
			}
			places = append(places, p)
		}
		return places, nil
	}
	u, err := parseURL(rawURL)
	if err != nil {
		return nil, err
	}
	return []place{{url: u, canonical: canonical}}, nil
}

// shown is a URL as messages and Places have it. The path of a file on this machine holds no token, and is told from others.
func shown(u string) string {
	if strings.HasPrefix(u, "file:") {
		return u
	}
	return Redact(u)
}

// below is what follows prefix in s, where s is prefix itself or a path below it.
func below(s, prefix string) (string, bool) {
	rest, ok := strings.CutPrefix(s, prefix)
	return rest, ok && (rest == "" || rest[0] == '/')
}

func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, fmt.Errorf("URL %s: %w", Redact(s), withoutURL(err))
	}
	switch {
	case u.Scheme == "file" && (u.Host == "" || u.Host == "localhost"):
	case (u.Scheme == "http" || u.Scheme == "https" || u.Scheme == "oci") && u.Host != "":
	default:
		return nil, fmt.Errorf("URL %s: want http://, https://, oci:// or file:///", Redact(s))
	}
	return u, nil
}

// Places are where a URL is asked for, in order, redacted: its mirrors, or the URL itself.
func (c *Client) Places(rawURL string) []string {
	places, err := c.places(rawURL)
	if err != nil {
		return nil
	}
	all := make([]string, 0, len(places))
	for _, p := range places {
		all = append(all, p.String())
	}
	return all
}
