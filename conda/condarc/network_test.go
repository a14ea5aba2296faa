package condarc_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda/condatest"
	"github.com/datalayer/conda2docker/conda/fetch"
)

func request(t *testing.T, target string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, target, nil)
	require.NoError(t, err)
	return r
}

// get asks for a channel's index by this configuration.
func get(t *testing.T, m machine, channel string) error {
	t.Helper()
	c := load(t, m)
	o := c.Fetch()
	o.Retries = -1
	client, err := fetch.New(o)
	if err != nil {
		return err
	}
	resolved, err := c.Resolve(channel)
	require.NoError(t, err)
	resp, err := client.Get(t.Context(), fetch.Request{URL: resolved[0].SubdirURL("noarch") + "/repodata.json"})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// secured serves a channel by TLS, and gives its authority's PEM file.
func secured(t *testing.T, mutual bool) (server *httptest.Server, ca string) {
	t.Helper()
	server = httptest.NewUnstartedServer(condatest.NewChannel(t))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	if mutual {
		server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	ca = filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	require.NoError(t, os.WriteFile(ca, block, 0o644))
	return server, ca
}

func TestAuthoritiesAreTrusted(t *testing.T) {
	server, ca := secured(t, false)
	channel := server.URL + "/channel"
	require.ErrorContains(t, get(t, machine{}, channel), "certificate signed by unknown authority")
	for _, env := range []string{"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "CONDA_SSL_VERIFY"} {
		require.NoError(t, get(t, machine{env: map[string]string{env: ca}}, channel), env)
		require.NoError(t, get(t, machine{env: map[string]string{env: filepath.Dir(ca)}}, channel), "a folder in %s", env)
		err := get(t, machine{env: map[string]string{env: filepath.Join(t.TempDir(), "none.pem")}}, channel)
		require.ErrorContains(t, err, "none.pem: no such file", env)
	}
	require.NoError(t, get(t, condarcOnly("ssl_verify: "+ca), channel))
	require.NoError(t, get(t, condarcOnly("ssl_verify: false"), channel))
	m := condarcOnly("ssl_verify: " + ca)
	m.env = map[string]string{"REQUESTS_CA_BUNDLE": "/none.pem"}
	require.NoError(t, get(t, m, channel), "what .condarc names is stronger")
}

func TestClientCertificate(t *testing.T) {
	server, ca := secured(t, true)
	channel := server.URL + "/channel"
	require.Error(t, get(t, condarcOnly("ssl_verify: "+ca), channel))
	cert, key := keyPair(t, server)
	require.NoError(t, get(t, condarcOnly("ssl_verify: "+ca+"\nclient_ssl_cert: "+cert+"\nclient_ssl_cert_key: "+key), channel))
	both := filepath.Join(t.TempDir(), "both.pem")
	a, err := os.ReadFile(cert)
	require.NoError(t, err)
	b, err := os.ReadFile(key)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(both, append(a, b...), 0o600))
	require.NoError(t, get(t, condarcOnly("ssl_verify: "+ca+"\nclient_ssl_cert: "+both), channel))
	require.ErrorContains(t, get(t, condarcOnly("client_ssl_cert: /none.pem"), channel), "reading client certificate")
}

// connectProxy tunnels to one server, whatever host is asked for, and wants a password.
type connectProxy struct {
	to string

	mu    sync.Mutex
	hosts []string
}

func (p *connectProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.hosts = append(p.hosts, r.Method+" "+r.Host)
	p.mu.Unlock()
	if r.Header.Get("Proxy-Authorization") != "Basic bWU6czNjcmV0" { // me:s3cret
		w.WriteHeader(http.StatusProxyAuthRequired)
		return
	}
	if r.Method != http.MethodConnect {
		r.URL.Scheme, r.URL.Host, r.RequestURI = "http", p.to, ""
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
		io.Copy(w, resp.Body)
		return
	}
	far, err := (&net.Dialer{}).DialContext(r.Context(), "tcp", p.to)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer far.Close()
	w.WriteHeader(http.StatusOK)
	near, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer near.Close()
	go io.Copy(far, near)
	io.Copy(near, far)
}

func TestChannelBehindAProxy(t *testing.T) {
	server, ca := secured(t, false)
	proxy := &connectProxy{to: strings.TrimPrefix(server.URL, "https://")}
	tunnel := httptest.NewServer(proxy)
	t.Cleanup(tunnel.Close)
	address := strings.Replace(tunnel.URL, "://", "://me:s3cret@", 1)
	const channel = "https://example.com/channel" // the host of httptest's certificate
	for _, m := range []machine{
		condarcOnly("ssl_verify: " + ca + "\nproxy_servers: {https: '" + address + "'}"),
		{env: map[string]string{"SSL_CERT_FILE": ca, "HTTPS_PROXY": address}},
	} {
		proxy.hosts = nil
		require.NoError(t, get(t, m, channel))
		require.Equal(t, []string{"CONNECT example.com:443"}, proxy.hosts)
	}
	wrong := strings.Replace(address, "s3cret", "wr0ng", 1)
	err := get(t, condarcOnly("ssl_verify: "+ca+"\nproxy_servers: {https: '"+wrong+"'}"), channel)
	require.ErrorContains(t, err, "Proxy Authentication Required")
	require.NotContains(t, err.Error(), "wr0ng")

	plain := httptest.NewServer(condatest.NewChannel(t))
	t.Cleanup(plain.Close)
	proxy.to = strings.TrimPrefix(plain.URL, "http://")
	require.NoError(t, get(t, machine{env: map[string]string{"HTTP_PROXY": address}}, "http://conda.invalid/channel"))
	err = get(t, machine{env: map[string]string{"HTTP_PROXY": wrong}}, "http://conda.invalid/channel")
	require.ErrorContains(t, err, "407 Proxy Authentication Required: credentials for the proxy go into proxy_servers")
	require.NotContains(t, err.Error(), "wr0ng")
	dead := "http://me:s3cret@127.0.0.1:1"
	err = get(t, machine{env: map[string]string{"HTTP_PROXY": dead}}, "http://conda.invalid/channel")
	require.Error(t, err)
	require.NotContains(t, err.Error(), "s3cret")
	require.Error(t, get(t, machine{env: map[string]string{"HTTP_PROXY": address, "NO_PROXY": "conda.invalid"}}, "http://conda.invalid/channel"),
		"it is asked for itself, and is nowhere")
}

// keyPair writes the server's own certificate and key, which will do for a client that any certificate is wanted of.
func keyPair(t *testing.T, server *httptest.Server) (cert, key string) {
	t.Helper()
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	pair := server.TLS.Certificates[0]
	private, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	return cert, key
}
