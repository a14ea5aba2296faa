// Package fetch gets files of channels as this machine's user wants it: through his mirrors, proxies and certificate
// authorities, with his credentials, verified, and from a cache that works offline.
package fetch

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/datalayer/conda2docker/conda/fetch/oci"
)

// Options say how the network is reached. The zero value is the plain network.
type Options struct {
	// Mirrors maps a URL prefix (a channel or a parent of channels) to the URL prefixes that are asked in its place,
	// in order, until one has the file. The longest matching prefix counts. What is mirrored is asked only
	// if it is itself in its list.
	Mirrors map[string][]string
	// Credentials are asked for each place that is reached; nil means none.
	Credentials Credentials
	// Registries are asked for the credentials of the registries of oci: URLs that Credentials has none for; nil means none.
	Registries authn.Keychain
	// CAFile is a PEM bundle, or a folder of PEM files, that is trusted in place of the system's.
	CAFile string
	// ClientCert and ClientKey are PEM files for servers that want a client certificate.
	ClientCert, ClientKey string
	// Insecure accepts any certificate.
	Insecure bool
	// Proxy chooses the proxy of a request; default http.ProxyFromEnvironment.
	Proxy func(*http.Request) (*url.URL, error)
	// Offline refuses the network; file: URLs are still read.
	Offline bool
	// Retries is how often a request is repeated after a passing failure; 0 means 3, negative never.
	Retries int
	// Backoff is the pause before the first repetition; it doubles. Default 500 ms.
	Backoff time.Duration
	// ConnectTimeout and ReadTimeout bound connecting, and a server's silence. Defaults 10 s and 60 s.
	ConnectTimeout, ReadTimeout time.Duration
	// UserAgent is sent with each request; default "conda2docker".
	UserAgent string
	// Waiting gets the name of a server that has not answered for two seconds, and Retrying an error, redacted, after which a request is
	// repeated, and the pause before. Both may be called at once by several requests; nil means no one.
	Waiting  func(host string)
	Retrying func(err error, pause time.Duration)
	// Log gets one debug line per request; nil means none.
	Log *slog.Logger
}

// Client fetches files. It is safe for concurrent use.
type Client struct {
	o       Options
	mirrors []mirror
	http    *http.Client
}

// New checks the options, and reads the certificates that they name.
func New(o Options) (*Client, error) {
	if o.Retries == 0 {
		o.Retries = 3
	}
	o.Backoff = cmp.Or(o.Backoff, 500*time.Millisecond)
	o.ConnectTimeout = cmp.Or(o.ConnectTimeout, 10*time.Second)
	o.ReadTimeout = cmp.Or(o.ReadTimeout, time.Minute)
	o.UserAgent = cmp.Or(o.UserAgent, "conda2docker")
	if o.Proxy == nil {
		o.Proxy = http.ProxyFromEnvironment
	}
	if o.Waiting == nil {
		o.Waiting = func(string) {}
	}
	if o.Retrying == nil {
		o.Retrying = func(error, time.Duration) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	mirrors, err := newMirrors(o.Mirrors)
	if err != nil {
		return nil, err
	}
	transport, err := newTransport(o)
	if err != nil {
		return nil, err
	}
	c := &Client{o: o, mirrors: mirrors, http: &http.Client{Transport: transport, CheckRedirect: checkRedirect}}
	transport.RegisterProtocol("oci", &oci.Transport{
		Base: transport, Auth: c.registryAuth, CheckRedirect: checkRedirect, UserAgent: o.UserAgent,
	})
	return c, nil
}

// Offline reports whether the network is refused.
func (c *Client) Offline() bool { return c.o.Offline }

// Request asks for one file.
type Request struct {
	URL string // canonical, without credentials; http, https, oci or file
	// ETag and LastModified make it conditional: the answer may be NotModified.
	ETag, LastModified string
	// Header holds further header fields.
	Header http.Header
	// Limit is how many bytes the body may have at most; 0 means 4 GiB.
	Limit int64
}

// waitShown is how long a server is waited for before that is told.
const waitShown = 2 * time.Second

const defaultLimit = 4 << 30

func (r Request) header() http.Header {
	h := r.Header.Clone()
	if h == nil {
		h = http.Header{}
	}
	if r.ETag != "" {
		h.Set("If-None-Match", r.ETag)
	}
	if r.LastModified != "" {
		h.Set("If-Modified-Since", r.LastModified)
	}
	return h
}

// Response is an answer. Body must be closed.
type Response struct {
	Body         io.ReadCloser
	Size         int64 // of the body, -1 when not known
	NotModified  bool  // Body is empty: what the caller has is current
	ETag         string
	LastModified string
	CacheControl string
}

// Get asks for a file. Its errors are *StatusError where a server answered, ErrOffline where none was to be asked,
// else *RequestError. Passing failures are retried until an answer begins.
func (c *Client) Get(ctx context.Context, r Request) (*Response, error) {
	var answer *Response
	err := c.attempt(ctx, r.URL, func(p place) error {
		var err error
		answer, err = c.get(ctx, p, r)
		return err
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

func (c *Client) get(ctx context.Context, p place, r Request) (*Response, error) {
	resp, err := c.do(ctx, p, r.header())
	if err != nil {
		return nil, err
	}
	limit := cmp.Or(r.Limit, defaultLimit)
	if resp.ContentLength > limit {
		resp.Body.Close()
		return nil, p.error(&tooLongError{limit})
	}
	return &Response{
		Body:         &limited{body: resp.Body, left: limit, limit: limit},
		Size:         resp.ContentLength,
		NotModified:  resp.StatusCode == http.StatusNotModified,
		ETag:         resp.Header.Get("ETag"),
		LastModified: resp.Header.Get("Last-Modified"),
		CacheControl: resp.Header.Get("Cache-Control"),
	}, nil
}

// Save gets a file into path, which changes only when all of it has arrived, and stays as it is where the answer is
// NotModified. Unlike with Get, a body that breaks off is asked for again. The Response has no Body.
func (c *Client) Save(ctx context.Context, r Request, path string) (Response, error) {
	var answer Response
	err := c.attempt(ctx, r.URL, func(p place) error {
		resp, err := c.get(ctx, p, r)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		answer = *resp
		answer.Body = nil
		if resp.NotModified {
			return nil
		}
		answer.Size, err = save(path, resp.Body)
		if err != nil {
			return p.error(err)
		}
		return nil
	})
	if err != nil {
		return Response{}, err
	}
	return answer, nil
}

// save writes a file that appears whole or not at all.
func save(path string, r io.Reader) (size int64, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return 0, &localError{err}
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if size, err = io.Copy(localWriter{f}, r); err != nil {
		return 0, err
	}
	if err = f.Chmod(0o644); err != nil {
		return 0, &localError{err}
	}
	if err = f.Close(); err != nil {
		return 0, &localError{err}
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return 0, &localError{err}
	}
	return size, nil
}

// do makes one request at one place. An answer is 200, 206, or 304 where a condition was sent; anything else is an error.
func (c *Client) do(ctx context.Context, p place, header http.Header) (*http.Response, error) {
	if c.o.Offline && p.url.Scheme != "file" {
		return nil, fmt.Errorf("%s: %w", p.canonical, ErrOffline)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	watch := time.AfterFunc(c.o.ReadTimeout, func() { cancel(errSilent) })
	stop := func() {
		watch.Stop()
		cancel(nil)
	}
	req := (&http.Request{Method: http.MethodGet, URL: p.url, Header: header}).WithContext(ctx)
	req.Header.Set("User-Agent", c.o.UserAgent)
	if err := c.authenticate(req); err != nil {
		stop()
		return nil, p.error(err)
	}
	patience := time.AfterFunc(min(waitShown, c.o.ReadTimeout/2), func() { c.o.Waiting(p.url.Host) })
	resp, err := c.http.Do(req)
	patience.Stop()
	if err != nil {
		err = p.error(causeOf(ctx, err))
		stop()
		c.o.Log.DebugContext(ctx, "request", "url", p.String(), "error", err.Error())
		return nil, err
	}
	c.o.Log.DebugContext(ctx, "request", "url", p.String(), "status", resp.StatusCode)
	unasked := resp.StatusCode == http.StatusNotModified && header.Get("If-None-Match") == "" && header.Get("If-Modified-Since") == ""
	switch resp.StatusCode {
	case http.StatusOK, http.StatusPartialContent, http.StatusNotModified:
		if unasked {
			break // there is nothing here that could be current
		}
		resp.Body = &watched{ReadCloser: resp.Body, ctx: ctx, timer: watch, timeout: c.o.ReadTimeout, stop: stop}
		return resp, nil
	}
	resp.Body.Close()
	stop()
	return nil, &StatusError{
		URL: p.canonical, Status: resp.StatusCode, Mirror: p.mirror,
		retryAfter: retryAfter(resp.Header.Get("Retry-After"), time.Now()),
	}
}
