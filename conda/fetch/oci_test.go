package fetch_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/condatest"
	"github.com/datalayer/conda2docker/conda/fetch"
	"github.com/datalayer/conda2docker/conda/fetch/oci"
	"github.com/datalayer/conda2docker/conda/repodata"
)

// ociRegistry is a registry on loopback, what it was asked, and who may answer first.
type ociRegistry struct {
	host string

	mu        sync.Mutex
	requests  []string // "GET /v2/…", from the last forget
	authorize func(*http.Request) bool
	intercept func(http.ResponseWriter, *http.Request) bool
}

func newRegistry(t *testing.T) *ociRegistry {
	t.Helper()
	r := &ociRegistry{}
	store := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		r.requests = append(r.requests, req.Method+" "+req.URL.Path)
		authorize, intercept := r.authorize, r.intercept
		r.mu.Unlock()
		switch {
		case authorize != nil && !authorize(req):
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
		case intercept != nil && intercept(w, req):
		default:
			store.ServeHTTP(w, req)
		}
	}))
	t.Cleanup(server.Close)
	r.host = strings.TrimPrefix(server.URL, "http://")
	return r
}

// asked are the requests since the last call.
func (r *ociRegistry) asked() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer func() { r.requests = nil }()
	return strings.Join(r.requests, "\n")
}

func (r *ociRegistry) protect(authorize func(*http.Request) bool, intercept func(http.ResponseWriter, *http.Request) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.authorize, r.intercept = authorize, intercept
}

// push writes an artifact with these layers, by media type.
func (r *ociRegistry) push(t *testing.T, ref string, layers map[string][]byte) {
	t.Helper()
	parsed, err := name.ParseReference(r.host + "/" + ref)
	require.NoError(t, err)
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	for media, body := range layers {
		img, err = mutate.AppendLayers(img, static.NewLayer(body, types.MediaType(media)))
		require.NoError(t, err)
	}
	require.NoError(t, remote.Write(parsed, img))
}

// mirror writes a channel as conda-oci-mirror does, and gives its URL.
func (r *ociRegistry) mirror(t *testing.T, c *condatest.Channel, path string) string {
	t.Helper()
	dir := t.TempDir()
	c.Write(t, dir)
	read := func(file string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, file))
		require.NoError(t, err)
		return b
	}
	for _, subdir := range []string{"linux-64", "noarch"} {
		r.push(t, path+"/"+subdir+"/repodata.json:latest", map[string][]byte{
			"application/vnd.conda.repodata.v1+json":     read(subdir + "/repodata.json"),
			"application/vnd.conda.repodata.v1+json+zst": read(subdir + "/repodata.json.zst"),
		})
	}
	escape := strings.NewReplacer("+", "__p__", "!", "__e__", "=", "__eq__")
	for _, record := range c.Records() {
		media := "application/vnd.conda.package.v2"
		if strings.HasSuffix(record.FileName, ".tar.bz2") {
			media = "application/vnd.conda.package.v1"
		}
		repo := string(record.Name)
		if strings.HasPrefix(repo, "_") {
			repo = "zzz" + repo
		}
		r.push(t, path+"/"+string(record.Subdir)+"/"+repo+":"+escape.Replace(record.Version.String()+"-"+record.Build), map[string][]byte{
			media: read(string(record.Subdir) + "/" + record.FileName), "application/vnd.conda.info.index.v1+json": []byte("{}"),
		})
	}
	r.asked()
	return "oci://" + r.host + "/" + path
}

func ociChannel(t *testing.T) *condatest.Channel {
	t.Helper()
	return condatest.NewChannel(
		t,
		condatest.Package{Name: "_hidden", Version: "1!2.0+local", Build: "h1_0", Files: []condatest.File{{Path: "a", Body: strings.Repeat("b", 1<<16)}}},
		condatest.Package{Name: "old-style", Version: "1.0", Build: "0", Format: condatest.TarBz2, Depends: []string{"_hidden"}},
	)
}

func TestRegistryIsAChannel(t *testing.T) {
	r, source := newRegistry(t), ociChannel(t)
	channel := conda.Channel{Name: "mirror", URL: r.mirror(t, source, "team/forge")}
	c := client(t, fetch.Options{})
	dir := t.TempDir()
	index, err := repodata.Open(t.Context(), repodata.Options{
		Channels: []conda.Channel{channel}, Subdirs: []conda.Subdir{conda.Linux64, conda.NoArchSubdir}, Client: c, Dir: filepath.Join(dir, "index"),
	})
	require.NoError(t, err)
	archives := fetch.Archives{Client: c, Dir: filepath.Join(dir, "pkgs")}
	for _, of := range source.Records() {
		records, err := index.Records(t.Context(), of.Name)
		require.NoError(t, err)
		require.Len(t, records, 1)
		require.Equal(t, channel.URL+"/"+string(of.Subdir)+"/"+of.FileName, records[0].URL)
		r.asked()
		a, err := archives.Fetch(t.Context(), records[0], nil)
		require.NoError(t, err)
		require.Equal(t, of.SHA256, a.SHA256)
		require.NotContains(t, r.asked(), "/manifests/", "the sum is known: no tag is looked up")

		byMD5 := *records[0]
		byMD5.SHA256 = ""
		a, err = (&fetch.Archives{Client: c, Dir: t.TempDir()}).Fetch(t.Context(), &byMD5, nil)
		require.NoError(t, err)
		require.Equal(t, of.SHA256, a.SHA256)
		require.Contains(t, r.asked(), "/manifests/")
	}
}

func TestRegistryIsAMirror(t *testing.T) {
	r, source := newRegistry(t), ociChannel(t)
	at := r.mirror(t, source, "forge")
	const canonical = "https://conda.invalid/forge"
	c := client(t, fetch.Options{Retries: -1, Mirrors: map[string][]string{canonical: {at}}})
	body, err := get(c, canonical+"/noarch/repodata.json")
	require.NoError(t, err)
	require.Contains(t, body, "noarch")
	_, err = get(c, canonical+"/noarch/repodata.json.bz2")
	require.True(t, fetch.NotFound(err))
	require.EqualError(t, err, canonical+"/noarch/repodata.json.bz2: 404 Not Found (asked "+at+"/noarch/repodata.json.bz2)")
	r.asked()
	for _, none := range []string{"/noarch/repodata_shards.msgpack.zst", "/noarch/run_exports.json"} {
		_, err = get(c, canonical+none)
		require.True(t, fetch.NotFound(err), "%v", err)
	}
	require.Empty(t, r.asked(), "the layout has no such files: none is asked for")
	_, err = get(c, canonical+"/noarch/x-1-0.conda")
	require.True(t, fetch.NotFound(err), "%v", err)
	for file, want := range map[string]string{"Upper-1-0.conda": "an OCI registry cannot have this name", "x-1.conda": "want NAME-VERSION-BUILD"} {
		_, err = get(client(t, fetch.Options{Mirrors: map[string][]string{canonical: {at}}}), canonical+"/noarch/"+file)
		require.ErrorContains(t, err, want)
	}
}

func TestRegistryAnswersConditionally(t *testing.T) {
	r, source := newRegistry(t), ociChannel(t)
	at := r.mirror(t, source, "forge") + "/linux-64/repodata.json.zst"
	c := client(t, fetch.Options{})
	path := filepath.Join(t.TempDir(), "repodata")
	first, err := c.Save(t.Context(), fetch.Request{URL: at}, path)
	require.NoError(t, err)
	require.Regexp(t, `^"sha256:[0-9a-f]{64}"$`, first.ETag)
	r.asked()
	second, err := c.Save(t.Context(), fetch.Request{URL: at, ETag: first.ETag}, path)
	require.NoError(t, err)
	require.True(t, second.NotModified)
	require.Equal(t, "GET /v2/forge/linux-64/repodata.json/manifests/latest", r.asked())
}

func TestRegistryDownloadsAreResumedAndVerified(t *testing.T) {
	r, source := newRegistry(t), ociChannel(t)
	at := r.mirror(t, source, "forge")
	record := *source.Record(t, "_hidden")
	record.URL = at + "/linux-64/" + record.FileName
	if record.Subdir == conda.NoArchSubdir {
		record.URL = at + "/noarch/" + record.FileName
	}
	resp, err := http.Get(source.Record(t, "_hidden").URL)
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	var ranges []string
	half := true
	r.protect(nil, func(w http.ResponseWriter, req *http.Request) bool {
		if !strings.Contains(req.URL.Path, "/blobs/") {
			return false
		}
		ranges = append(ranges, req.Header.Get("Range")+req.Header.Get(oci.SHA256Header))
		if !half {
			http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(body))
			return true
		}
		half = false
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.Write(body[:10])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	archives := fetch.Archives{Client: client(t, fetch.Options{}), Dir: t.TempDir()}
	_, err = archives.Fetch(t.Context(), &record, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"", "bytes=10-"}, ranges)

	r.protect(nil, func(w http.ResponseWriter, req *http.Request) bool {
		if strings.Contains(req.URL.Path, "/blobs/") {
			w.Write([]byte("something else"))
			return true
		}
		return false
	})
	_, err = get(client(t, fetch.Options{Retries: -1}), at+"/noarch/repodata.json")
	require.ErrorContains(t, err, "the registry sent another blob than the one that was asked for")
}

func TestRegistryCredentials(t *testing.T) {
	r, source := newRegistry(t), ociChannel(t)
	at := r.mirror(t, source, "forge") + "/noarch/repodata.json"
	var elsewhere string
	other := serve(t, func(w http.ResponseWriter, req *http.Request) {
		elsewhere = req.Header.Get("Authorization")
		w.Write([]byte("blob"))
	})
	r.protect(func(req *http.Request) bool {
		user, password, _ := req.BasicAuth()
		return user == "me" && password == "secret"
	}, nil)

	_, err := get(client(t, fetch.Options{Retries: -1}), at)
	require.EqualError(t, err, at+": 401 Unauthorized: credentials for it go into ~/.netrc, or into Docker's configuration (docker login)")

	docker := t.TempDir()
	t.Setenv("DOCKER_CONFIG", docker)
	require.NoError(t, os.WriteFile(filepath.Join(docker, "config.json"), []byte(`{"auths": {"`+r.host+`": {"auth": "bWU6c2VjcmV0"}}}`), 0o600))
	host, _, _ := strings.Cut(r.host, ":")
	rattler := func(json string) fetch.Credentials {
		c, err := fetch.ReadRattler(func(string) string { return "x" }, func(string) ([]byte, error) { return []byte(json), nil })
		require.NoError(t, err)
		return c
	}
	for _, test := range []struct {
		o    fetch.Options
		url  string
		want string
	}{
		{fetch.Options{Registries: authn.DefaultKeychain}, at, ""},
		{fetch.Options{Credentials: fetch.ParseNetrc("machine " + host + " login me password secret")}, at, ""},
		{fetch.Options{Credentials: rattler(`{"` + host + `": {"BasicHTTP": {"username": "me", "password": "secret"}}}`)}, at, ""},
		{fetch.Options{Credentials: rattler(`{"` + host + `": {"OAuth": {"access_token": "secret"}}}`)}, at, "are of the kind OAuth"},
		{fetch.Options{Credentials: rattler(`{"` + host + `": {"CondaToken": "secret"}}`)}, at, "a conda token does not open an OCI registry"},
		{fetch.Options{Credentials: fetch.ParseNetrc("machine " + host + " login me password wrong"), Registries: authn.DefaultKeychain}, at, "401"},
		{fetch.Options{}, strings.Replace(at, "://", "://me:secret@", 1), ""},
	} {
		test.o.Retries = -1
		_, err := get(client(t, test.o), test.url)
		if test.want == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, test.want)
		require.NotContains(t, err.Error(), "secret")
	}
	r.protect(nil, func(w http.ResponseWriter, req *http.Request) bool {
		if strings.Contains(req.URL.Path, "/blobs/") {
			http.Redirect(w, req, other, http.StatusTemporaryRedirect)
			return true
		}
		return false
	})
	_, err = get(client(t, fetch.Options{Retries: -1, Registries: authn.DefaultKeychain}), at)
	require.ErrorContains(t, err, "another blob")
	require.Empty(t, elsewhere, "what authenticates at the registry is not shown to where it sends us")
}

func TestRegistryBearerTokensAreSent(t *testing.T) {
	r, source := newRegistry(t), ociChannel(t)
	at := r.mirror(t, source, "forge") + "/noarch/repodata.json"
	r.protect(func(req *http.Request) bool { return req.Header.Get("Authorization") == "Bearer tk-1" }, nil)
	keys := &fetch.Keyring{}
	keys.Add("oci://"+r.host, fetch.Credential{Bearer: "tk-1"})
	_, err := get(client(t, fetch.Options{Credentials: keys, Retries: -1}), at)
	require.NoError(t, err)
}

func TestRegistryOfflineAndCancelled(t *testing.T) {
	r, source := newRegistry(t), ociChannel(t)
	at := r.mirror(t, source, "forge") + "/noarch/repodata.json"
	_, err := get(client(t, fetch.Options{Offline: true}), at)
	require.ErrorIs(t, err, fetch.ErrOffline)
	require.Empty(t, r.asked())
	ctx, cancel := context.WithCancel(t.Context())
	r.protect(nil, func(_ http.ResponseWriter, req *http.Request) bool {
		cancel()
		<-req.Context().Done()
		return true
	})
	_, err = client(t, fetch.Options{}).Get(ctx, fetch.Request{URL: at})
	require.ErrorIs(t, err, context.Canceled)
}

func TestRegistryThroughAProxy(t *testing.T) {
	var asked []string
	proxy := serve(t, func(w http.ResponseWriter, req *http.Request) {
		asked = append(asked, req.Method+" "+req.Host)
		w.WriteHeader(http.StatusBadGateway)
	})
	c := client(t, fetch.Options{Retries: -1, Proxy: func(*http.Request) (*url.URL, error) { return url.Parse(proxy) }})
	_, err := get(c, "oci://registry.invalid/forge/noarch/repodata.json")
	require.Error(t, err)
	require.Contains(t, asked, "CONNECT registry.invalid:443")
}

// Docker's credentials are in no error, log, progress or file.
func TestRegistrySecretsAreNowhere(t *testing.T) {
	const secret = "S3cr3tS3cr3t"
	r, source := newRegistry(t), ociChannel(t)
	at := r.mirror(t, source, "forge")
	r.protect(func(req *http.Request) bool {
		_, password, _ := req.BasicAuth()
		return password == secret
	}, nil)
	docker, dir := t.TempDir(), t.TempDir()
	t.Setenv("DOCKER_CONFIG", docker)
	auth := base64.StdEncoding.EncodeToString([]byte("me:" + secret))
	require.NoError(t, os.WriteFile(filepath.Join(docker, "config.json"), []byte(`{"auths": {"`+r.host+`": {"auth": "`+auth+`"}}}`), 0o600))
	var seen bytes.Buffer
	o := fetch.Options{Retries: -1, Registries: authn.DefaultKeychain, Log: slog.New(slog.NewTextHandler(&seen, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	c := client(t, o)
	record := *source.Record(t, "old-style")
	record.URL = at + "/linux-64/" + record.FileName
	_, err := (&fetch.Archives{Client: c, Dir: dir}).Fetch(t.Context(), &record, func(p fetch.Progress) { fmt.Fprintf(&seen, "%+v\n", p) })
	require.NoError(t, err)
	for _, wrong := range []string{"/noarch/none-1-0.conda", "/noarch/Upper-1-0.conda"} {
		_, err = get(c, at+wrong)
		require.Error(t, err)
		fmt.Fprintf(&seen, "%v %+v %#v\n", err, err, err)
	}
	require.NoError(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		seen.WriteString(path)
		return err
	}))
	require.Contains(t, seen.String(), "old-style")
	require.NotContains(t, seen.String(), secret)
	require.NotContains(t, seen.String(), auth)
}

// Where a registry sends us on to, the URL is signed: what is signed is in no message.
func TestRegistrySignaturesAreNowhere(t *testing.T) {
	const secret = "S3cr3tS3cr3t"
	r, source := newRegistry(t), ociChannel(t)
	at := r.mirror(t, source, "forge")
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	r.protect(nil, func(w http.ResponseWriter, req *http.Request) bool {
		if strings.Contains(req.URL.Path, "/blobs/") {
			http.Redirect(w, req, closed.URL+"/blob?sig="+secret, http.StatusTemporaryRedirect)
			return true
		}
		return false
	})
	_, err := get(client(t, fetch.Options{Retries: -1}), at+"/noarch/repodata.json")
	require.ErrorContains(t, err, at+"/noarch/repodata.json: ")
	require.ErrorContains(t, err, "connection refused")
	require.NotContains(t, err.Error(), secret)
}
