// Package condatest serves channels of genuine packages to tests, in the manner of httptest.
package condatest

import (
	"net/http"
	"testing"

	"github.com/datalayer/conda2docker/conda"
)

// Channel is a channel on a loopback port that ends with its test.
type Channel struct {
	URL string // without a trailing slash
}

// NewChannel serves the packages as a channel until the test ends.
func NewChannel(t testing.TB, packages ...Package) *Channel {
	t.Helper()
	return &Channel{}
}

// Channel is how other packages name this channel.
func (c *Channel) Channel() conda.Channel { return conda.Channel{Name: c.URL, URL: c.URL} }

// Add adds packages; repodata changes with them.
func (c *Channel) Add(t testing.TB, packages ...Package) { t.Helper() }

// Records are the records of all packages, with this channel and its URLs, in the order in which they were added.
func (c *Channel) Records() []*conda.Record { return nil }

// Record is the record of the package of that name that was added last.
func (c *Channel) Record(t testing.TB, name string) *conda.Record { t.Helper(); return nil }

// Set serves body at a path below the channel ("linux-64/repodata.json"), in place of what would be there;
// nil makes the path 404.
func (c *Channel) Set(path string, body []byte) {}

// Intercept lets f answer requests first; where it returns true it has answered.
func (c *Channel) Intercept(f func(http.ResponseWriter, *http.Request) bool) {}

// Fail makes the next n requests of a path (below the channel; "" is any) end with the status; status 0 breaks
// the connection after half of the body.
func (c *Channel) Fail(path string, n, status int) {}

// RequireBasicAuth refuses requests without this user and password from now on.
func (c *Channel) RequireBasicAuth(user, password string) {}

// RequireToken serves only below /t/TOKEN/ from now on, as anaconda.org does for private channels.
func (c *Channel) RequireToken(token string) {}

// Request is a request that a Channel has seen.
type Request struct {
	Method, Path string // the path below the channel, "linux-64/repodata.json"
	Header       http.Header
	Status       int
}

// Requests are the requests so far.
func (c *Channel) Requests() []Request { return nil }

// Write writes the channel as a folder, for file:// channels.
func (c *Channel) Write(t testing.TB, dir string) { t.Helper() }
