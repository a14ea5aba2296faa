package fetch

import (
	"errors"
	"fmt"
	"net/http"
)

// ErrOffline is the error of requests that the offline mode refuses.
var ErrOffline = errors.New("offline, and not in the cache")

// StatusError is an answer of a server that is not the file.
type StatusError struct {
	URL    string // canonical and redacted
	Status int
	Mirror string // the mirror that answered, redacted; "" when none is configured
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s: %d %s", e.URL, e.Status, http.StatusText(e.Status))
}

// ChecksumError is a file that is not what its record says.
type ChecksumError struct {
	Name, URL string
	Algorithm string // "sha256", "md5" or "size"
	Want, Got string
}

func (e *ChecksumError) Error() string {
	return fmt.Sprintf("%s: %s is %s, want %s (from %s)", e.Name, e.Algorithm, e.Got, e.Want, e.URL)
}
