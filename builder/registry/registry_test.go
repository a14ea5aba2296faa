package registry_test

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	fakeregistry "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/builder/registry"
)

// tlsRegistry is a registry whose certificate nobody trusts, with an image tagged v1, and its CA file.
func tlsRegistry(t *testing.T) (host, ca string) {
	t.Helper()
	server := httptest.NewTLSServer(fakeregistry.New(fakeregistry.Logger(log.New(io.Discard, "", 0))))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(server.Close)
	host = strings.TrimPrefix(server.URL, "https://")
	ca = filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o644))
	img, err := random.Image(100, 1)
	require.NoError(t, err)
	tag, err := name.NewTag(host + "/env:v1")
	require.NoError(t, err)
	require.NoError(t, remote.Write(tag, img, remote.WithTransport(server.Client().Transport)))
	return host, ca
}

func TestTrust(t *testing.T) {
	host, ca := tlsRegistry(t)
	resolve := func(r registry.Registries) error {
		ref, err := r.ParseReference(host + "/env:v1")
		if err != nil {
			return err
		}
		_, err = r.Resolve(t.Context(), ref)
		return err
	}
	require.Error(t, resolve(nil))
	require.NoError(t, resolve(registry.Registries{host: {CA: ca}}))
	require.NoError(t, resolve(registry.Registries{host: {Insecure: true}}))
	require.ErrorContains(t, resolve(registry.Registries{host: {CA: ca + "x"}}), "reading its certificate authority")
	empty := filepath.Join(t.TempDir(), "empty.pem")
	require.NoError(t, os.WriteFile(empty, nil, 0o644))
	require.ErrorContains(t, resolve(registry.Registries{host: {CA: empty}}), "holds no PEM certificate")
}

// What is pushed to a host without HTTPS is looked for, and named, without it too.
func TestParseTag(t *testing.T) {
	r := registry.Registries{"plain.example": {Insecure: true}}
	for ref, scheme := range map[string]string{"plain.example/env:1": "http", "registry.example/env:1": "https"} {
		tag, err := r.ParseTag(ref)
		require.NoError(t, err)
		require.Equal(t, scheme, tag.Scheme())
		require.Equal(t, ref, tag.Name())
	}
	_, err := r.ParseTag("plain.example/Env:1")
	require.Error(t, err)
}

// A mirror is not asked where a tag points.
func TestResolveAsksNoMirror(t *testing.T) {
	host, ca := tlsRegistry(t)
	mirror := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the mirror was asked") }))
	t.Cleanup(mirror.Close)
	tag, err := name.NewTag(host + "/env:v1")
	require.NoError(t, err)
	_, err = registry.Registries{host: {CA: ca, Mirrors: []string{mirror.URL}}}.Resolve(t.Context(), tag)
	require.NoError(t, err)
}

func TestTag(t *testing.T) {
	host, ca := tlsRegistry(t)
	r := registry.Registries{host: {CA: ca}}
	v1, err := name.NewTag(host + "/env:v1")
	require.NoError(t, err)
	image, err := r.Resolve(t.Context(), v1)
	require.NoError(t, err)
	v2 := v1.Context().Tag("v2")
	require.NoError(t, r.Tag(t.Context(), image, v2))
	got, err := r.Resolve(t.Context(), v2)
	require.NoError(t, err)
	require.Equal(t, image, got)

	elsewhere, err := name.NewTag(host + "/other:v1")
	require.NoError(t, err)
	require.ErrorContains(t, r.Tag(t.Context(), image, elsewhere), "is another repository")
	missing := v1.Context().Digest("sha256:" + strings.Repeat("0", 64))
	require.ErrorContains(t, r.Tag(t.Context(), missing, v2), "tagging "+v2.String())
}

func TestParseReference(t *testing.T) {
	ref, err := registry.Registries(nil).ParseReference("debian:bookworm-slim")
	require.NoError(t, err)
	require.Equal(t, "index.docker.io/library/debian:bookworm-slim", ref.Name())
	require.Equal(t, "https", ref.Context().Scheme())
	ref, err = registry.Registries{"docker.io": {Insecure: true}}.ParseReference("debian")
	require.NoError(t, err)
	require.Equal(t, "http", ref.Context().Scheme())
	_, err = registry.Registries(nil).ParseReference("Debian")
	require.ErrorContains(t, err, `image reference "Debian"`)
}

func TestMirror(t *testing.T) {
	for in, want := range map[string]struct {
		place string
		plain bool
	}{
		"mirror.example":                   {"mirror.example", false},
		"https://mirror.example/dockerhub": {"mirror.example/dockerhub", false},
		"http://127.0.0.1:5000/":           {"127.0.0.1:5000", true},
	} {
		place, plain := registry.Mirror(in)
		require.Equal(t, want.place, place)
		require.Equal(t, want.plain, plain)
	}
}
