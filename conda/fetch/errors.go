package fetch

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// ErrOffline is the error of requests that the offline mode refuses.
var ErrOffline = errors.New("offline, and not in the cache: run once without --offline")

// StatusError is an answer of a server that is not the file.
type StatusError struct {
	URL    string // canonical and redacted
	Status int
	Mirror string // the mirror that answered, redacted; "" where none is configured

	retryAfter time.Duration
}

func (e *StatusError) Error() string {
	s := fmt.Sprintf("%s: %d %s", e.URL, e.Status, http.StatusText(e.Status)) + fromMirror(e.Mirror)
	switch e.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		where := "the channel's URL in .condarc"
		if strings.HasPrefix(cmp.Or(e.Mirror, e.URL), "oci:") {
			where = "Docker's configuration (docker login)"
		}
		s += ": credentials for it go into ~/.netrc, or into " + where
	case http.StatusProxyAuthRequired:
		s += ": credentials for the proxy go into proxy_servers in .condarc, or into HTTPS_PROXY"
	}
	return s
}

// NotFound reports whether err says that a server, or each mirror, was asked and has no such file.
func NotFound(err error) bool {
	var status *StatusError
	return errors.As(err, &status) && (status.Status == http.StatusNotFound || status.Status == http.StatusGone)
}

// RequestError is a request without an answer, or with one that broke off.
type RequestError struct {
	URL    string // canonical and redacted
	Mirror string // the mirror that was asked, redacted; "" where none is configured
	Err    error
}

func (e *RequestError) Error() string {
	cause := e.Err.Error()
	if local := (*localError)(nil); !errors.As(e.Err, &local) { // whose paths may look like tokens and are none
		cause = Redact(cause)
	}
	return e.URL + fromMirror(e.Mirror) + ": " + cause
}

func (e *RequestError) Unwrap() error { return e.Err }

func fromMirror(m string) string {
	if m == "" {
		return ""
	}
	return " (asked " + m + ")"
}

// ChecksumError is a file that is not what its record says.
type ChecksumError struct {
	Name, URL string // the URL is redacted
	Algorithm string // "sha256", "md5" or "size"
	Want, Got string
}

func (e *ChecksumError) Error() string {
	return fmt.Sprintf("%s is %s, want %s: %s is not the file that the channel's index or the lock speaks of",
		e.Algorithm, e.Got, e.Want, e.URL)
}

var (
	userinfo = regexp.MustCompile(`(\w://)[^/@\s"]*@`)
	token    = regexp.MustCompile(`/t/[^/\s"]+`)
)

// Redact is the URL without userinfo, and with the token of a /t/TOKEN/ path replaced, for messages.
func Redact(u string) string {
	return token.ReplaceAllString(userinfo.ReplaceAllString(u, "$1"), "/t/<TOKEN>")
}

// withoutURL is the reason in an error of net/http or net/url, without the URLs, which may hold secrets: where a registry sends us on
// to, there are two.
func withoutURL(err error) error {
	var u *url.Error
	for errors.As(err, &u) {
		err = u.Err
	}
	return err
}
