// Package condatest serves channels of genuine packages to tests, in the manner of httptest.
package condatest

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
)

// root is the path of a Channel on its server.
const root = "/channel/"

// Channel is a channel on a loopback port that ends with its test. Beside the packages it serves repodata.json,
// .zst and .bz2, with validators and ranges.
type Channel struct {
	URL string // without a trailing slash

	mu           sync.Mutex
	archives     []Archive
	shards       *Shards           // nil for none
	files        map[string][]byte // by path below the channel
	overrides    map[string][]byte
	failures     []*failure
	intercept    func(http.ResponseWriter, *http.Request) bool
	user, secret string
	token        string
	requests     []*Request
}

type failure struct {
	path      string
	n, status int
}

// Request is a request that a Channel has seen.
type Request struct {
	Method, Path string // the path below the channel, such as "linux-64/repodata.json"
	Header       http.Header
	Status       int
}

// NewChannel serves the packages as a channel until the test ends.
func NewChannel(t testing.TB, packages ...Package) *Channel {
	t.Helper()
	c := &Channel{overrides: map[string][]byte{}}
	c.Add(t, packages...)
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	c.URL = server.URL + strings.TrimSuffix(root, "/")
	return c
}

// Channel is how other packages name this channel.
func (c *Channel) Channel() conda.Channel { return conda.Channel{Name: c.URL, URL: c.URL} }

// Add adds packages; repodata changes with them.
func (c *Channel) Add(t testing.TB, packages ...Package) {
	t.Helper()
	var added []Archive
	for _, p := range packages {
		added = append(added, p.Archive(t))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.archives = append(c.archives, added...)
	files, err := channelFiles(c.archives, c.shards)
	require.NoError(t, err)
	c.files = files
}

// Records are the records of all packages, with this channel and its URLs, in the order in which they were added.
func (c *Channel) Records() []*conda.Record {
	c.mu.Lock()
	defer c.mu.Unlock()
	records := make([]*conda.Record, 0, len(c.archives))
	for _, a := range c.archives {
		r := *a.Record
		r.Channel = c.Channel()
		r.URL = r.Channel.SubdirURL(r.Subdir) + "/" + a.FileName
		records = append(records, &r)
	}
	return records
}

// Record is the record of the package of that name that was added last.
func (c *Channel) Record(t testing.TB, name string) *conda.Record {
	t.Helper()
	for _, r := range slices.Backward(c.Records()) {
		if string(r.Name) == name {
			return r
		}
	}
	t.Fatalf("channel %s has no package %s", c.URL, name)
	return nil
}

// Set serves body at a path below the channel, in place of what would be there; with nil the path is not found.
func (c *Channel) Set(path string, body []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.overrides[path] = body
}

// Intercept lets f answer requests first; where it returns true it has answered. The request's path is the one
// below the channel.
func (c *Channel) Intercept(f func(http.ResponseWriter, *http.Request) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.intercept = f
}

// Fail makes the next n requests of a path below the channel ("" is any) end with the status; with status 0 the
// connection breaks after half of the body.
func (c *Channel) Fail(path string, n, status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failures = append(c.failures, &failure{path: path, n: n, status: status})
}

// RequireBasicAuth refuses requests without this user and password from now on.
func (c *Channel) RequireBasicAuth(user, password string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.user, c.secret = user, password
}

// RequireToken serves only below /t/TOKEN/ from now on, as anaconda.org does with private channels.
func (c *Channel) RequireToken(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.token = token
}

// Requests are the requests so far.
func (c *Channel) Requests() []Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	requests := make([]Request, len(c.requests))
	for i, r := range c.requests {
		requests[i] = *r
	}
	return requests
}

// Forget empties the list of requests.
func (c *Channel) Forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests = nil
}

// Write writes the channel as a folder, for file: channels.
func (c *Channel) Write(t testing.TB, dir string) {
	t.Helper()
	c.mu.Lock()
	files := maps.Clone(c.files)
	maps.Copy(files, c.overrides)
	c.mu.Unlock()
	for name, body := range files {
		if body == nil {
			continue
		}
		file := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, body, 0o644))
	}
}

// ServeHTTP serves the channel below /channel/, and below /t/TOKEN/channel/.
func (c *Channel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rest, token := r.URL.Path, ""
	if after, ok := strings.CutPrefix(rest, "/t/"); ok {
		token, rest, _ = strings.Cut(after, "/")
		rest = "/" + rest
	}
	name, ok := strings.CutPrefix(rest, root)
	if !ok {
		name = rest
	}
	log := &statusLog{ResponseWriter: w, channel: c, request: &Request{Method: r.Method, Path: name, Header: r.Header.Clone(), Status: http.StatusOK}}
	c.mu.Lock()
	c.requests = append(c.requests, log.request) // before the answer: who has that may ask for the requests at once
	c.mu.Unlock()
	status, intercept := c.before(r, name, token)
	if intercept != nil {
		below := r.Clone(r.Context())
		below.URL.Path = name
		if intercept(log, below) {
			return
		}
	}
	body, found := c.body(name)
	switch {
	case status > 0:
		http.Error(log, http.StatusText(status), status)
	case !found:
		http.NotFound(log, r)
	case status == 0:
		serveHalf(log, r, name, body)
		panic(http.ErrAbortHandler)
	default:
		serveFile(log, r, name, body)
	}
}

// before is what stands between a request and its file: a status, 0 for a connection to break, or -1 for nothing.
func (c *Channel) before(r *http.Request, name, token string) (int, func(http.ResponseWriter, *http.Request) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.failures {
		if f.n > 0 && (f.path == "" || f.path == name) {
			f.n--
			return f.status, nil
		}
	}
	if user, secret, _ := r.BasicAuth(); c.user != "" && (user != c.user || secret != c.secret) {
		return http.StatusUnauthorized, nil
	}
	if c.token != "" && token != c.token {
		return http.StatusNotFound, nil // anaconda.org does not tell what it hides
	}
	return -1, c.intercept
}

func (c *Channel) body(name string) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if body, ok := c.overrides[name]; ok {
		return body, body != nil
	}
	body, ok := c.files[name]
	return body, ok
}

func serveFile(w http.ResponseWriter, r *http.Request, name string, body []byte) {
	sum := sha256.Sum256(body)
	w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:8])+`"`)
	w.Header().Set("Content-Type", cmp.Or(map[string]string{".json": "application/json"}[path.Ext(name)], "application/octet-stream"))
	http.ServeContent(w, r, name, modTime, bytes.NewReader(body))
}

// serveHalf announces the whole answer and sends the first half of its body.
func serveHalf(w http.ResponseWriter, r *http.Request, name string, body []byte) {
	whole := httptest.NewRecorder()
	serveFile(whole, r, name, body)
	maps.Copy(w.Header(), whole.Header())
	w.WriteHeader(whole.Code)
	w.Write(whole.Body.Bytes()[:whole.Body.Len()/2]) //nolint:errcheck // the connection breaks anyhow
	http.NewResponseController(w).Flush()
}

// statusLog notes the status of an answer before it is sent.
type statusLog struct {
	http.ResponseWriter
	channel *Channel
	request *Request
}

func (l *statusLog) WriteHeader(status int) {
	l.channel.mu.Lock()
	l.request.Status = status
	l.channel.mu.Unlock()
	l.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController find what it controls.
func (l *statusLog) Unwrap() http.ResponseWriter { return l.ResponseWriter }
