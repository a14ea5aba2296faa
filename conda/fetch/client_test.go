package fetch_test

import (
	"context"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda/condatest"
	"github.com/datalayer/conda2docker/conda/fetch"
)

// client is one that repeats at once, and reaches loopback only.
func client(t *testing.T, o fetch.Options) *fetch.Client {
	t.Helper()
	o.Backoff = time.Nanosecond
	if o.Proxy == nil {
		o.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	}
	c, err := fetch.New(o)
	require.NoError(t, err)
	return c
}

func get(c *fetch.Client, url string) (string, error) {
	resp, err := c.Get(context.Background(), fetch.Request{URL: url})
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

// serve is a server for one handler.
func serve(t *testing.T, f http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return s.URL
}

func TestGetIsConditional(t *testing.T) {
	channel := condatest.NewChannel(t)
	dir := t.TempDir()
	channel.Write(t, dir)
	for name, url := range map[string]string{"http": channel.URL, "file": "file://" + dir} {
		t.Run(name, func(t *testing.T) {
			c := client(t, fetch.Options{})
			r := fetch.Request{URL: url + "/noarch/repodata.json"}
			first, err := c.Get(t.Context(), r)
			require.NoError(t, err)
			body, err := io.ReadAll(first.Body)
			require.NoError(t, err)
			require.NoError(t, first.Body.Close())
			require.Contains(t, string(body), "noarch")
			require.NotEmpty(t, first.ETag)

			r.ETag = first.ETag
			second, err := c.Get(t.Context(), r)
			require.NoError(t, err)
			require.NoError(t, second.Body.Close())
			require.True(t, second.NotModified)

			_, err = get(c, url+"/noarch/nothing")
			require.True(t, fetch.NotFound(err), "%v", err)
		})
	}
}

func TestPassingFailuresAreRepeated(t *testing.T) {
	for _, test := range []struct {
		status, requests int
	}{
		{http.StatusNotFound, 1},
		{http.StatusForbidden, 1},
		{http.StatusNotImplemented, 1},
		{http.StatusRequestTimeout, 4},
		{http.StatusTooManyRequests, 4},
		{http.StatusBadGateway, 4},
	} {
		channel := condatest.NewChannel(t)
		channel.Fail("", 10, test.status)
		_, err := get(client(t, fetch.Options{}), channel.URL+"/noarch/repodata.json")
		var status *fetch.StatusError
		require.ErrorAs(t, err, &status)
		require.Equal(t, test.status, status.Status)
		require.Len(t, channel.Requests(), test.requests, "status %d", test.status)
	}
	channel := condatest.NewChannel(t)
	channel.Fail("", 3, http.StatusServiceUnavailable)
	body, err := get(client(t, fetch.Options{}), channel.URL+"/noarch/repodata.json")
	require.NoError(t, err)
	require.Contains(t, body, "noarch")
}

func TestRetryAfterTooLongIsNotWaitedFor(t *testing.T) {
	var n atomic.Int32
	u := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		n.Add(1)
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	_, err := get(client(t, fetch.Options{}), u+"/x")
	require.ErrorContains(t, err, "429 Too Many Requests")
	require.EqualValues(t, 1, n.Load())
}

func TestSaveAsksAgainForBrokenBodies(t *testing.T) {
	channel := condatest.NewChannel(t)
	path := filepath.Join(t.TempDir(), "repodata.json")
	require.NoError(t, os.WriteFile(path, []byte("old"), 0o644))
	c := client(t, fetch.Options{})
	r := fetch.Request{URL: channel.URL + "/noarch/repodata.json"}

	channel.Fail("", 9, 0)
	_, err := c.Save(t.Context(), r, path)
	require.ErrorContains(t, err, "unexpected EOF")
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "old", string(b), "what was there stays until all of the new has arrived")
}

func TestNotModifiedNeedsACondition(t *testing.T) {
	channel := condatest.NewChannel(t)
	path := filepath.Join(t.TempDir(), "repodata.json")
	r := fetch.Request{URL: channel.URL + "/noarch/repodata.json"}
	channel.Fail("", 1, http.StatusNotModified)
	_, err := client(t, fetch.Options{}).Save(t.Context(), r, path)
	require.EqualError(t, err, r.URL+": 304 Not Modified")
	require.NoFileExists(t, path)
}

func TestSaveReplacesWhatHasChanged(t *testing.T) {
	channel := condatest.NewChannel(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "repodata.json")
	c := client(t, fetch.Options{})
	r := fetch.Request{URL: channel.URL + "/noarch/repodata.json"}
	channel.Fail("", 2, 0)
	resp, err := c.Save(t.Context(), r, path)
	require.NoError(t, err)
	first, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(first), "noarch")

	r.ETag = resp.ETag
	resp, err = c.Save(t.Context(), r, path)
	require.NoError(t, err)
	require.True(t, resp.NotModified)

	channel.Set("noarch/repodata.json", []byte("{}"))
	_, err = c.Save(t.Context(), r, path)
	require.NoError(t, err)
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "{}", string(b))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1, "no temporary file is left")
}

func TestMirrorsAreAskedInOrder(t *testing.T) {
	first, second := condatest.NewChannel(t), condatest.NewChannel(t)
	const canonical = "https://conda.invalid/some-forge"
	secret := strings.Replace(first.URL, "://", "://me:secret@", 1)
	c := client(t, fetch.Options{Retries: -1, Mirrors: map[string][]string{
		"https://conda.invalid": {"http://127.0.0.1:1"}, // the longer prefix counts
		canonical + "/":         {secret, second.URL},
	}})
	url := canonical + "/noarch/repodata.json"

	_, err := get(c, url)
	require.NoError(t, err)
	require.Empty(t, second.Requests())

	first.Set("noarch/repodata.json", nil)
	_, err = get(c, url)
	require.NoError(t, err, "what one mirror lacks, the next one may have")
	require.Len(t, second.Requests(), 1)

	second.Fail("", 1, http.StatusBadGateway)
	_, err = get(c, url)
	require.EqualError(t, err, url+": 502 Bad Gateway (asked "+second.URL+"/noarch/repodata.json)")

	second.Set("noarch/repodata.json", nil)
	_, err = get(c, url)
	require.True(t, fetch.NotFound(err))
	require.EqualError(t, err, url+": 404 Not Found (asked "+first.URL+"/noarch/repodata.json)")
	require.NotContains(t, err.Error(), "secret")

	_, err = get(c, canonical+"-other/noarch/repodata.json")
	require.ErrorContains(t, err, "connection refused", "a prefix ends where a path segment does")
}

func TestOfflineReadsFilesOnly(t *testing.T) {
	channel := condatest.NewChannel(t)
	dir := t.TempDir()
	channel.Write(t, dir)
	c := client(t, fetch.Options{Offline: true})
	_, err := get(c, channel.URL+"/noarch/repodata.json")
	require.ErrorIs(t, err, fetch.ErrOffline)
	require.ErrorContains(t, err, channel.URL+"/noarch/repodata.json: offline")
	require.Empty(t, channel.Requests())
	_, err = get(c, "file://"+dir+"/noarch/repodata.json")
	require.NoError(t, err)
}

func TestEndlessBodiesEnd(t *testing.T) {
	u := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	})
	c := client(t, fetch.Options{})
	resp, err := c.Get(t.Context(), fetch.Request{URL: u, Limit: 1 << 20})
	require.NoError(t, err)
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	require.ErrorContains(t, err, "longer than the 1048576 bytes")
	require.LessOrEqual(t, n, int64(1<<20+1))

	path := filepath.Join(t.TempDir(), "x")
	_, err = c.Save(t.Context(), fetch.Request{URL: u, Limit: 1 << 20}, path)
	require.ErrorContains(t, err, "longer than")
	require.NoFileExists(t, path)
}

func TestSilentServersAreLeft(t *testing.T) {
	done := make(chan struct{})
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			w.Write([]byte("beginning"))
			w.(http.Flusher).Flush()
		}
		<-done
	})
	defer close(done)
	c := client(t, fetch.Options{Retries: -1, ReadTimeout: 20 * time.Millisecond})
	for _, path := range []string{"/header", "/body"} {
		_, err := get(c, u+path)
		require.ErrorContains(t, err, "has stopped sending")
	}
}

func TestCancellationEndsRequests(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	u := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	_, err := client(t, fetch.Options{}).Get(ctx, fetch.Request{URL: u})
	require.ErrorIs(t, err, context.Canceled)
}

func TestRedirectsKeepSecrets(t *testing.T) {
	type seen struct{ authorization, referer string }
	var other, same seen
	elsewhere := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		other = seen{r.Header.Get("Authorization"), r.Header.Get("Referer")}
	})
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/away"):
			http.Redirect(w, r, elsewhere, http.StatusFound)
		case strings.HasSuffix(r.URL.Path, "/here"):
			http.Redirect(w, r, "/end", http.StatusFound)
		case strings.HasSuffix(r.URL.Path, "/file"):
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		default:
			same = seen{r.Header.Get("Authorization"), r.Header.Get("Referer")}
		}
	})
	keys := &fetch.Keyring{}
	keys.Add(u, fetch.Credential{Username: "me", Password: "secret"})
	c := client(t, fetch.Options{Credentials: keys})
	_, err := get(c, u+"/t/tk-1/here")
	require.NoError(t, err)
	require.Equal(t, seen{authorization: "Basic bWU6c2VjcmV0"}, same)
	_, err = get(c, u+"/t/tk-1/away")
	require.NoError(t, err)
	require.Zero(t, other)
	withUser := strings.Replace(u, "://", "://me:secret@", 1)
	_, err = get(c, withUser+"/away")
	require.NoError(t, err)
	require.Zero(t, other)
	_, err = get(c, withUser+"/t/tk-1/file")
	require.EqualError(t, err, u+"/t/<TOKEN>/file: redirect refused: to a file: URL")
}

func TestCertificates(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/down" {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		}
	}))
	defer server.Close()
	server.Config.ErrorLog = log.New(io.Discard, "", 0)

	_, err := get(client(t, fetch.Options{}), server.URL)
	require.ErrorContains(t, err, "certificate signed by unknown authority")

	dir := t.TempDir()
	bundle := filepath.Join(dir, "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}
	require.NoError(t, os.WriteFile(bundle, pem.EncodeToMemory(block), 0o644))
	for _, o := range []fetch.Options{{CAFile: bundle}, {CAFile: dir}, {Insecure: true}} {
		c := client(t, o)
		_, err = get(c, server.URL)
		require.NoError(t, err)
		_, err = get(c, server.URL+"/down")
		require.ErrorContains(t, err, "redirect refused: from https to http")
	}

	_, err = fetch.New(fetch.Options{CAFile: filepath.Join(dir, "none")})
	require.ErrorContains(t, err, "reading certificate authorities")
	require.NoError(t, os.WriteFile(bundle, []byte("nonsense"), 0o644))
	_, err = fetch.New(fetch.Options{CAFile: bundle})
	require.ErrorContains(t, err, "holds no PEM certificate")
}

func TestProxyIsUsed(t *testing.T) {
	var asked string
	proxy := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.String()
		w.Write([]byte("by proxy"))
	})
	c := client(t, fetch.Options{Proxy: func(*http.Request) (*url.URL, error) { return url.Parse(proxy) }})
	body, err := get(c, "http://conda.invalid/x")
	require.NoError(t, err)
	require.Equal(t, "by proxy", body)
	require.Equal(t, "http://conda.invalid/x", asked)
}

func TestURLsAreChecked(t *testing.T) {
	for _, u := range []string{"", "conda-forge", "s3://bucket/x", "https://", "file://host/x", "https://me:secret@[/x"} {
		_, err := get(client(t, fetch.Options{}), u)
		require.Error(t, err, u)
		require.NotContains(t, err.Error(), "secret")
	}
	_, err := fetch.New(fetch.Options{Mirrors: map[string][]string{"https://a.invalid": {"nonsense"}}})
	require.ErrorContains(t, err, "mirrors of https://a.invalid: URL nonsense")
}
