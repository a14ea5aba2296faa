package fetch

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

// Credential authenticates at one place. It is one of basic authentication, a token in the path, and a bearer token.
type Credential struct {
	Username, Password string

	// Token is an anaconda.org token, sent as /t/TOKEN between TokenRoot, which most servers do not have, and the
	// rest of the path.
	Token, TokenRoot string

	Bearer string

	fault string // why this, which is for the place, cannot be used
}

// hidden is what is shown of credentials.
const hidden = "<credential>"

// String tells nothing.
func (Credential) String() string { return hidden }

// GoString tells nothing either.
func (Credential) GoString() string { return hidden }

// Credentials know what authenticates at a URL.
type Credentials interface {
	Credential(u *url.URL) (Credential, bool)
}

// Chain asks several for a credential; the first one that has it wins.
type Chain []Credentials

var (
	_ Credentials = Chain(nil)
	_ Credentials = (*Keyring)(nil)
)

// Credential is that of the first in the chain that has one.
func (c Chain) Credential(u *url.URL) (Credential, bool) {
	for _, of := range c {
		if found, ok := of.Credential(u); ok {
			return found, true
		}
	}
	return Credential{}, false
}

// Keyring holds credentials by URL prefix. The zero value is empty; it is safe for concurrent use.
type Keyring struct {
	mu   sync.RWMutex
	keys map[string]Credential
}

// String tells nothing.
func (*Keyring) String() string { return hidden }

// GoString tells nothing either.
func (*Keyring) GoString() string { return hidden }

// Add keeps a credential for everything below a URL; an earlier one for the same URL is replaced.
func (k *Keyring) Add(prefix string, c Credential) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys == nil {
		k.keys = map[string]Credential{}
	}
	k.keys[strings.TrimRight(prefix, "/")] = c
}

// Credential is that of the longest matching prefix.
func (k *Keyring) Credential(u *url.URL) (Credential, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	plain := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	at := plain.String()
	best, found := Credential{}, false
	length := -1
	for prefix, c := range k.keys {
		if _, ok := below(at, prefix); ok && len(prefix) > length {
			best, found, length = c, true, len(prefix)
		}
	}
	return best, found
}

// SplitURL takes the credentials off a URL: userinfo, and /t/TOKEN in its path. ok tells whether there were any.
func SplitURL(raw string) (clean string, c Credential, ok bool) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return raw, Credential{}, false
	}
	if u.User != nil {
		c.Username = u.User.Username()
		c.Password, _ = u.User.Password()
		u.User, ok = nil, true
	}
	if root, rest, found := strings.Cut(u.Path, "/t/"); found && u.Scheme != "oci" {
		c.TokenRoot = root
		c.Token, rest, _ = strings.Cut(rest, "/")
		u.Path, u.RawPath, ok = strings.TrimRight(root+"/"+rest, "/"), "", true
	}
	return u.String(), c, ok
}

// credential is what authenticates at a URL: what stands in it (a mirror's may have some), else what the client's user has for it.
func (c *Client) credential(u *url.URL) (Credential, error) {
	if u.User != nil {
		password, _ := u.User.Password()
		return Credential{Username: u.User.Username(), Password: password}, nil
	}
	if c.o.Credentials == nil {
		return Credential{}, nil
	}
	of, _ := c.o.Credentials.Credential(u)
	if of.fault != "" {
		return Credential{}, &localError{errors.New(of.fault)}
	}
	return of, nil
}

// authenticate adds what the place wants. It may replace r.URL, but does not change it.
func (c *Client) authenticate(r *http.Request) error {
	if r.URL.Scheme == "file" || r.URL.Scheme == "oci" { // the latter's transport does it itself
		return nil
	}
	of, err := c.credential(r.URL)
	if err != nil {
		return err
	}
	u := *r.URL
	u.User = nil // as a header it stays within the rules for redirects
	switch {
	case of.Bearer != "":
		r.Header.Set("Authorization", "Bearer "+of.Bearer)
	case of.Username != "" || of.Password != "":
		r.SetBasicAuth(of.Username, of.Password)
	}
	if of.Token != "" && !strings.Contains(u.Path, "/t/") {
		if rest, ok := below(u.Path, of.TokenRoot); ok {
			u.Path, u.RawPath = of.TokenRoot+"/t/"+of.Token+rest, ""
		}
	}
	r.URL = &u
	return nil
}

// registryAuth is what authenticates at the registry of an oci: URL.
func (c *Client) registryAuth(u *url.URL) (authn.Authenticator, error) {
	of, err := c.credential(u)
	switch {
	case err != nil:
		return nil, err
	case of.Bearer != "":
		return &authn.Bearer{Token: of.Bearer}, nil
	case of.Username != "" || of.Password != "":
		return &authn.Basic{Username: of.Username, Password: of.Password}, nil
	case of.Token != "":
		return nil, &localError{fmt.Errorf("a conda token does not open an OCI registry: want a password or a bearer token for %s", u.Host)}
	case c.o.Registries == nil:
		return authn.Anonymous, nil
	}
	registry, err := name.NewRegistry(u.Host)
	if err != nil {
		return nil, &localError{err}
	}
	auth, err := c.o.Registries.Resolve(registry)
	if err != nil {
		return nil, &localError{fmt.Errorf("reading the credentials of registry %s: %w", u.Host, err)}
	}
	return auth, nil
}
