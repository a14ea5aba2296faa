// Package oci reads channels that are kept in an OCI registry as if they were folders of a web server.
package oci

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// SHA256Header tells a Transport the sum of the file that is wanted, where it is known: the file is then asked for by it, and no tag is
// looked up. It is not sent.
const SHA256Header = "X-Conda2docker-Sha256"

// maxManifest is how many bytes a manifest may have.
const maxManifest = 4 << 20

// Transport answers requests of oci://HOST/CHANNEL/SUBDIR/FILE with the layer that holds the file, with validators and ranges. Loopback
// registries are reached by plain HTTP, all others by HTTPS. It is safe for concurrent use, and must not be copied.
type Transport struct {
	// Base makes the requests.
	Base http.RoundTripper
	// Auth is what authenticates at the registry of an oci: URL, which may have userinfo.
	Auth func(*url.URL) (authn.Authenticator, error)
	// CheckRedirect is http.Client's, for blobs that are kept elsewhere; nil is net/http's own.
	CheckRedirect func(*http.Request, []*http.Request) error
	// UserAgent is sent with each request.
	UserAgent string

	mu       sync.Mutex
	sessions map[string]*session // by repository
}

// session is a repository, and what speaks to it with the right token.
type session struct {
	mu     sync.Mutex
	client *http.Client
}

// RoundTrip answers a GET request. What a registry answers instead of a file is the answer, too.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	a, err := locate(r.URL)
	if err != nil {
		return nil, err
	}
	if a.media == "" {
		return answer(r, http.StatusNotFound), nil
	}
	ctx := r.Context()
	client, err := t.client(ctx, r.URL, a.repo)
	if err != nil {
		return refusal(r, err)
	}
	digest, header := v1.Hash{Algorithm: "sha256", Hex: r.Header.Get(SHA256Header)}, http.Header{}
	if digest.Hex == "" {
		if a.tag == "" {
			return nil, &NameError{shown(r.URL), errors.New("its version and build make no tag, and its sha256 is not known")}
		}
		var resp *http.Response
		if digest, header, resp, err = t.layer(ctx, client, r, a); err != nil || resp != nil {
			return resp, err
		}
	}
	tag := `"` + digest.String() + `"`
	if r.Header.Get("If-None-Match") == tag {
		resp := answer(r, http.StatusNotModified)
		resp.Header.Set("ETag", tag)
		return resp, nil
	}
	resp, err := get(ctx, client, a.repo, "blobs/"+digest.String(), blobHeader(r.Header, tag))
	if err != nil {
		return nil, err
	}
	resp.Request = r
	if resp.StatusCode == http.StatusOK {
		resp.Body = &verified{ReadCloser: resp.Body, sum: sha256.New(), want: digest.Hex}
	}
	resp.Header.Set("ETag", tag)
	resp.Header.Del("Last-Modified")
	resp.Header.Del("Cache-Control") // that of the blob, which never changes: what leads to it does
	if cc := header.Get("Cache-Control"); cc != "" {
		resp.Header.Set("Cache-Control", cc)
	}
	return resp, nil
}

// blobHeader asks for the range that is wanted, unless it is one of other content.
func blobHeader(of http.Header, tag string) http.Header {
	h := http.Header{}
	if cond := of.Get("If-Range"); cond == "" || cond == tag {
		if ranged := of.Get("Range"); ranged != "" {
			h.Set("Range", ranged)
		}
	}
	return h
}

// layer looks the file's digest up. The response is not nil where there is none, or the registry answers something else.
func (t *Transport) layer(ctx context.Context, client *http.Client, r *http.Request, a artifact) (v1.Hash, http.Header, *http.Response, error) {
	accept := http.Header{"Accept": {string(types.OCIManifestSchema1) + ", " + string(types.DockerManifestSchema2)}}
	resp, err := get(ctx, client, a.repo, "manifests/"+a.tag, accept)
	if err != nil {
		return v1.Hash{}, nil, nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		other := answer(r, resp.StatusCode)
		other.Header.Set("Retry-After", resp.Header.Get("Retry-After"))
		return v1.Hash{}, nil, other, nil
	}
	m, err := v1.ParseManifest(io.LimitReader(resp.Body, maxManifest))
	if err != nil {
		return v1.Hash{}, nil, nil, fmt.Errorf("reading the manifest of %s:%s: %w", a.repo, a.tag, err)
	}
	for _, l := range m.Layers {
		if string(l.MediaType) == a.media && l.Digest.Algorithm == "sha256" {
			return l.Digest, resp.Header, nil, nil
		}
	}
	return v1.Hash{}, nil, answer(r, http.StatusNotFound), nil
}

// get asks a repository. The scheme is set right on the way.
func get(ctx context.Context, client *http.Client, repo name.Repository, what string, header http.Header) (*http.Response, error) {
	u := &url.URL{Scheme: repo.Scheme(), Host: repo.RegistryStr(), Path: "/v2/" + repo.RepositoryStr() + "/" + what}
	return client.Do((&http.Request{Method: http.MethodGet, URL: u, Header: header}).WithContext(ctx))
}

// client is the one for a repository; the first request makes it, and asks for its token.
func (t *Transport) client(ctx context.Context, u *url.URL, repo name.Repository) (*http.Client, error) {
	t.mu.Lock()
	if t.sessions == nil {
		t.sessions = map[string]*session{}
	}
	s, ok := t.sessions[repo.Name()]
	if !ok {
		s = &session{}
		t.sessions[repo.Name()] = s
	}
	t.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != nil {
		return s.client, nil
	}
	auth, err := t.Auth(u)
	if err != nil {
		return nil, err
	}
	base := transport.NewUserAgent(t.Base, t.UserAgent)
	authenticated, err := transport.NewWithContext(ctx, repo.Registry, auth, base, []string{repo.Scope(transport.PullScope)})
	if err != nil {
		return nil, err
	}
	s.client = &http.Client{Transport: authenticated, CheckRedirect: t.CheckRedirect}
	return s.client, nil
}

// refusal is what a registry answered where a token was asked for.
func refusal(r *http.Request, err error) (*http.Response, error) {
	var te *transport.Error
	if errors.As(err, &te) {
		return answer(r, te.StatusCode), nil
	}
	return nil, err
}

func answer(r *http.Request, status int) *http.Response {
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Body: http.NoBody, Request: r,
	}
}

// verified is a blob that must be what its digest says.
type verified struct {
	io.ReadCloser
	sum  hash.Hash
	want string
}

func (v *verified) Read(b []byte) (int, error) {
	n, err := v.ReadCloser.Read(b)
	v.sum.Write(b[:n])
	if errors.Is(err, io.EOF) {
		if got := hex.EncodeToString(v.sum.Sum(nil)); !strings.EqualFold(got, v.want) {
			return n, fmt.Errorf("the registry sent another blob than the one that was asked for: its sha256 is %s, want %s", got, v.want)
		}
	}
	return n, err
}
