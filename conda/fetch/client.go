// Package fetch gets files of channels as this machine's user wants it: through his mirrors, proxies and certificate
// authorities, with his credentials, verified, and from a cache that works offline.
package fetch

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"
)

// Options say how the network is reached. The zero value is the plain network.
type Options struct {
	// Mirrors maps a URL prefix (a channel or a parent of channels) to the URL prefixes that are asked in its place,
	// in order, until one has the file. The longest matching prefix counts. What is mirrored is asked only
	// if it is itself in its list.
	Mirrors map[string][]string
	// Credentials are asked for each host that is reached; nil means none.
	Credentials Credentials
	// CAFile is a PEM bundle that is trusted in place of the system's.
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
	// ConnectTimeout and ReadTimeout bound connecting, and silence of the server. Defaults 10 s and 60 s.
	ConnectTimeout, ReadTimeout time.Duration
	// UserAgent is sent with each request; default "conda2docker".
	UserAgent string
	// Log gets one debug line per request; nil means none.
	Log *slog.Logger
}

// Client fetches files. It is safe for concurrent use.
type Client struct{ o Options }

// New checks the options, and reads the certificates that they name.
func New(o Options) (*Client, error) { return &Client{o: o}, nil }

// Offline reports whether the network is refused.
func (c *Client) Offline() bool { return c.o.Offline }

// Request asks for one file.
type Request struct {
	URL string // canonical, without credentials; http, https or file
	// ETag and LastModified make it conditional: the answer may be NotModified.
	ETag, LastModified string
	// Header holds further header fields.
	Header http.Header
	// Limit is how many bytes the body may have at most; 0 means 4 GiB.
	Limit int64
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

// Get asks for a file. Its errors are *StatusError where a server answered, ErrOffline where none was to be asked.
func (c *Client) Get(ctx context.Context, r Request) (*Response, error) {
	return nil, errors.New("fetch: not there yet")
}

// File is a file whose content is known in advance.
type File struct {
	Name   string // how messages name it; default the URL
	URL    string
	SHA256 string // lower-case hex; at least one of the sums is wanted
	MD5    string
	Size   int64 // 0 when not known
}

// Download fetches a file to path, which appears only when complete and verified. What an interrupted download left
// beside it is resumed. progress gets the number of bytes that have arrived; it may be nil.
func (c *Client) Download(ctx context.Context, f File, path string, progress func(int64)) error {
	return errors.New("fetch: not there yet")
}
