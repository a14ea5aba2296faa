package fetch

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

func newTransport(o Options) (*http.Transport, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: o.Insecure} //nolint:gosec // the user's ssl_verify: false
	if o.CAFile != "" {
		pool, err := readCertificates(o.CAFile)
		if err != nil {
			return nil, err
		}
		conf.RootCAs = pool
	}
	if o.ClientCert != "" {
		key := o.ClientKey
		if key == "" {
			key = o.ClientCert
		}
		pair, err := tls.LoadX509KeyPair(o.ClientCert, key)
		if err != nil {
			return nil, fmt.Errorf("reading client certificate: %w", err)
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	t := &http.Transport{
		Proxy:               o.Proxy,
		DialContext:         (&net.Dialer{Timeout: o.ConnectTimeout, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:     conf,
		TLSHandshakeTimeout: o.ConnectTimeout,
		MaxIdleConnsPerHost: 64, // shards are asked for by fifty at once
		IdleConnTimeout:     90 * time.Second,
		ForceAttemptHTTP2:   true,
		DisableCompression:  true, // sums and ranges are those of the bytes that are sent
	}
	t.RegisterProtocol("file", files{})
	return t, nil
}

// readCertificates reads a PEM bundle, or a folder of PEM files.
func readCertificates(path string) (*x509.CertPool, error) {
	names := []string{path}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		if names, err = filepath.Glob(filepath.Join(path, "*")); err != nil {
			return nil, fmt.Errorf("reading certificate authorities: %w", err)
		}
	}
	pool, found := x509.NewCertPool(), false
	for _, name := range names {
		if info, err := os.Stat(name); len(names) > 1 && (err != nil || !info.Mode().IsRegular()) {
			continue // a link to nowhere, or another folder, in a folder of certificates
		}
		pem, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("reading certificate authorities: %w", err)
		}
		found = pool.AppendCertsFromPEM(pem) || found
	}
	if !found {
		return nil, fmt.Errorf("reading certificate authorities: %s holds no PEM certificate", path)
	}
	return pool, nil
}

// errRedirect is the reason of refused redirects.
var errRedirect = errors.New("redirect refused")

// checkRedirect follows redirects within the web only, never to a less protected place, and with the credentials
// only where they were meant for.
func checkRedirect(r *http.Request, via []*http.Request) error {
	r.Header.Del("Referer") // it would carry the token of a /t/TOKEN/ path
	first, last := via[0], via[len(via)-1]
	switch {
	case len(via) >= 10:
		return fmt.Errorf("%w: there were ten before it", errRedirect)
	case r.URL.Scheme != "http" && r.URL.Scheme != "https":
		return fmt.Errorf("%w: to a %s: URL", errRedirect, r.URL.Scheme)
	case r.URL.Scheme == "http" && last.URL.Scheme == "https":
		return fmt.Errorf("%w: from https to http", errRedirect)
	case r.URL.Host != first.URL.Host || r.URL.Scheme != first.URL.Scheme:
		r.Header.Del("Authorization")
	}
	return nil
}

// files reads file: URLs as a server would serve them, with validators and ranges.
type files struct{}

func (files) RoundTrip(r *http.Request) (*http.Response, error) {
	f, err := os.Open(filepath.FromSlash(r.URL.Path))
	if errors.Is(err, fs.ErrNotExist) {
		return fileResponse(r, http.StatusNotFound, http.NoBody, 0), nil
	}
	if err != nil {
		return nil, &localError{err}
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a folder", f.Name())
	}
	if err != nil {
		f.Close()
		return nil, &localError{err}
	}
	resp := fileResponse(r, http.StatusOK, f, info.Size())
	tag := fmt.Sprintf(`"%x-%x"`, info.Size(), info.ModTime().UnixNano())
	resp.Header.Set("ETag", tag)
	resp.Header.Set("Cache-Control", "no-cache")
	if r.Header.Get("If-None-Match") == tag {
		f.Close()
		resp.StatusCode, resp.Body, resp.ContentLength = http.StatusNotModified, http.NoBody, 0
		return resp, nil
	}
	start, ranged := rangeStart(r.Header, tag)
	if !ranged || start >= info.Size() {
		return resp, nil
	}
	if _, err := f.Seek(start, io.SeekStart); err != nil {
		f.Close()
		return nil, &localError{err}
	}
	resp.StatusCode, resp.ContentLength = http.StatusPartialContent, info.Size()-start
	resp.Header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", start, info.Size()-1, info.Size()))
	return resp, nil
}

// rangeStart reads the only form of a range that is asked for here, "bytes=START-".
func rangeStart(h http.Header, tag string) (int64, bool) {
	if cond := h.Get("If-Range"); cond != "" && cond != tag {
		return 0, false
	}
	s, ok := strings.CutPrefix(h.Get("Range"), "bytes=")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSuffix(s, "-"), 10, 64)
	return n, err == nil
}

func fileResponse(r *http.Request, status int, body io.ReadCloser, size int64) *http.Response {
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: body, ContentLength: size, Request: r,
	}
}
