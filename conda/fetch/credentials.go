package fetch

import "net/url"

// Credential authenticates at one place.
type Credential struct {
	Username, Password string // basic authentication
	Token              string // an anaconda.org token, sent as /t/TOKEN/ in the path
	Bearer             string // sent as "Authorization: Bearer"
}

// Credentials know what authenticates at a URL.
type Credentials interface {
	Credential(u *url.URL) (Credential, bool)
}

// Redact is the URL without userinfo and with the token of a /t/TOKEN/ path replaced, for messages.
func Redact(u string) string { return u }

// Keyring holds credentials by URL prefix. The zero value is empty; it is safe for concurrent use.
type Keyring struct{}

// Add keeps a credential for everything below a URL; an earlier one for the same URL is replaced.
func (k *Keyring) Add(prefix string, c Credential) {}

// Credential is that of the longest matching prefix.
func (k *Keyring) Credential(u *url.URL) (Credential, bool) { return Credential{}, false }
