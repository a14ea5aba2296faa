package base_test

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	fakeregistry "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/builder/base"
	"github.com/datalayer/conda2docker/builder/base/basetest"
	"github.com/datalayer/conda2docker/builder/registry"
)

const glibcBanner = "\x7fELF…GNU C Library (Debian GLIBC 2.36-9+deb12u10) stable release version 2.36.\nCopyright…"

// debian is an image with what the facts are about.
func debian() basetest.Image {
	return basetest.Image{
		Layers: [][]basetest.File{{
			{Path: "usr", Dir: true},
			{Path: "bin", Link: "usr/bin"},
			{Path: "lib", Link: "usr/lib"},
			{Path: "lib64", Link: "/usr/lib64"},
			{Path: "usr/bin/dash", Body: "dash"},
			{Path: "usr/bin/sh", Link: "dash"},
			{Path: "usr/bin/bash", Body: "bash"},
			{Path: "usr/bin/sleep", Body: "sleep"},
			{Path: "usr/bin/tini-static", Body: "tini"},
			{Path: "usr/sbin/tini", Link: "../bin/tini-static"},
			{Path: "etc/ssl/certs/ca-certificates.crt", Body: "certificates"},
			{Path: "usr/lib/x86_64-linux-gnu/libc.so.6", Body: glibcBanner},
			{Path: "usr/lib/os-release", Body: "PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\nVERSION_ID='12'\n# x=y\n"},
			{Path: "etc/os-release", Link: "../usr/lib/os-release"},
			{Path: "etc/passwd", Body: "root:x:0:0::/root:/bin/sh\n"},
			{Path: "etc/group", Body: "root:x:0:\n"},
			{Path: "home/ubuntu", Dir: true},
			{Path: "opt/conda/bin/python", Body: "python"},
		}, {
			{Path: "etc/passwd", Body: "root:x:0:0::/root:/bin/bash\n"},
			{Path: "opt/.wh.conda"},
			{Path: "usr/bin/.wh.bash"},
			{Path: "home/.wh..wh..opq"},
			{Path: "home/jovyan", Dir: true},
		}},
		Config: ocispecs.ImageConfig{Env: []string{"PATH=/bin"}},
	}
}

func TestFacts(t *testing.T) {
	dir := t.TempDir()
	basetest.Write(t, dir, debian())
	cache := t.TempDir()
	img, err := base.Open(t.Context(), "oci-layout:"+dir, base.Options{Dir: cache})
	require.NoError(t, err)
	require.Equal(t, base.Facts{
		Glibc: "2.36", Shell: true, Sleep: true, Tini: "/usr/sbin/tini", Certificates: true,
		Passwd: "root:x:0:0::/root:/bin/bash\n", Group: "root:x:0:\n",
		OSRelease: map[string]string{"PRETTY_NAME": "Debian GNU/Linux 12", "ID": "debian", "VERSION_ID": "12"},
		Links:     map[string]string{"bin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib64"},
		Homes:     []string{"jovyan"},
	}, img.Facts)
	require.NoError(t, img.Facts.RequireGlibc())
	require.Equal(t, []string{"PATH=/bin"}, img.Config.Config.Env)
	require.Len(t, img.Layers, 2)

	// They are kept: a second opening reads no layer.
	for _, l := range img.Layers {
		require.NoError(t, os.WriteFile(img.Blob(l.Digest), make([]byte, l.Size), 0o644))
	}
	again, err := base.Open(t.Context(), "oci-layout:"+dir, base.Options{Dir: cache})
	require.NoError(t, err)
	require.Equal(t, img, again)

	// In another cache, the damage is seen.
	_, err = base.Open(t.Context(), "oci-layout:"+dir, base.Options{Dir: t.TempDir()})
	require.ErrorContains(t, err, "reading layer "+img.Layers[0].Digest.String())
}

func TestFactsOfOtherLibraries(t *testing.T) {
	for name, c := range map[string]struct {
		files []basetest.File
		glibc string
		want  string
	}{
		"musl": {[]basetest.File{{Path: "lib/ld-musl-x86_64.so.1", Body: "musl"}}, "", "musl"},
		"none": {[]basetest.File{{Path: "etc/passwd", Body: "x"}}, "", "no C library"},
		"old layout": {[]basetest.File{
			{Path: "lib/x86_64-linux-gnu/libc-2.31.so", Body: strings.ReplaceAll(glibcBanner, "2.36", "2.31")},
			{Path: "lib/x86_64-linux-gnu/libc.so.6", Link: "libc-2.31.so"},
		}, "2.31", ""},
		"lib64, hard link": {[]basetest.File{
			{Path: "usr/lib64/libc.so.6", Body: strings.ReplaceAll(glibcBanner, "2.36", "2.34")},
			{Path: "lib64/libc.so.6", HardLink: "usr/lib64/libc.so.6"},
		}, "2.34", ""},
		"another architecture's": {[]basetest.File{
			{Path: "lib/i386-linux-gnu/libc.so.6", Body: glibcBanner},
		}, "", "no C library"},
		"links in a circle": {[]basetest.File{
			{Path: "lib64", Link: "lib64"}, {Path: "usr/lib64", Link: "../lib64"},
		}, "", "no C library"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			basetest.Write(t, dir, basetest.Image{Layers: [][]basetest.File{c.files}})
			img, err := base.Open(t.Context(), "oci-layout:"+dir, base.Options{Dir: t.TempDir()})
			require.NoError(t, err)
			require.Equal(t, c.glibc, img.Facts.Glibc)
			if c.want == "" {
				require.NoError(t, img.Facts.RequireGlibc())
			} else {
				require.ErrorContains(t, img.Facts.RequireGlibc(), c.want)
			}
		})
	}
}

func TestLayoutChoice(t *testing.T) {
	dir := t.TempDir()
	arm := debian()
	arm.Platform = ocispecs.Platform{OS: "linux", Architecture: "arm64"}
	cuda := debian()
	cuda.Tag, cuda.Layers = "cuda", append(cuda.Layers, []basetest.File{{Path: "cuda", Body: "x"}})
	plain := debian()
	plain.Tag = "plain"
	digests := basetest.Write(t, dir, arm, cuda, plain)
	open := func(suffix string, o base.Options) (base.Image, error) {
		o.Dir = t.TempDir()
		return base.Open(t.Context(), "oci-layout:"+dir+suffix, o)
	}
	img, err := open(":cuda", base.Options{})
	require.NoError(t, err)
	require.Equal(t, digests[1], img.Digest)
	img, err = open("@"+digests[2].String(), base.Options{})
	require.NoError(t, err)
	require.Equal(t, digests[2], img.Digest)
	img, err = open("", base.Options{Platform: arm.Platform})
	require.NoError(t, err)
	require.Equal(t, digests[0], img.Digest)
	for suffix, want := range map[string]string{
		"":                                   "several images, say which with @DIGEST: " + digests[1].String() + ", " + digests[2].String(),
		":other":                             "no such image",
		"@sha256:" + strings.Repeat("0", 64): "no such image",
		"@sha256:beef":                       "invalid checksum digest length",
		"@" + digests[0].String():            "there is none for linux/amd64, only for linux/arm64",
		"/nowhere":                           "it is no OCI layout",
	} {
		_, err = open(suffix, base.Options{})
		require.ErrorContains(t, err, want, suffix)
		require.ErrorContains(t, err, "base image oci-layout:"+dir+suffix)
	}
	_, err = base.Open(t.Context(), "oci-layout:relative", base.Options{Dir: t.TempDir()})
	require.ErrorContains(t, err, "absolute path")
}

// served is a registry with one image that has two platforms.
type served struct {
	ref      string // of a tag
	requests []string
	down     atomic.Bool
	mu       sync.Mutex
	host     string
}

func serve(t *testing.T) *served {
	t.Helper()
	s := &served{}
	h := fakeregistry.New(fakeregistry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.down.Load() {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		s.mu.Lock()
		s.requests = append(s.requests, r.Method+" "+r.URL.Path)
		s.mu.Unlock()
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s.host = strings.TrimPrefix(server.URL, "http://")
	dir := t.TempDir()
	arm := debian()
	arm.Platform = ocispecs.Platform{OS: "linux", Architecture: "arm64"}
	basetest.Write(t, dir, arm, debian())
	index, err := layout.ImageIndexFromPath(dir)
	require.NoError(t, err)
	s.ref = s.host + "/library/debian:12"
	tag, err := name.NewTag(s.ref)
	require.NoError(t, err)
	require.NoError(t, remote.WriteIndex(tag, index))
	s.requests = nil
	return s
}

// blobs are the requests for blobs since it was last asked.
func (s *served) blobs() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, r := range s.requests {
		if strings.HasPrefix(r, "GET") && strings.Contains(r, "/blobs/") {
			n++
		}
	}
	s.requests = nil
	return n
}

func TestRegistry(t *testing.T) {
	s := serve(t)
	cache := t.TempDir()
	var fetched atomic.Int64
	img, err := base.Open(t.Context(), s.ref, base.Options{Dir: cache, Progress: func(n int64) { fetched.Add(n) }})
	require.NoError(t, err)
	require.Equal(t, "2.36", img.Facts.Glibc)
	require.Equal(t, s.host+"/library/debian", img.Repository)
	require.Equal(t, 3, s.blobs())
	require.Positive(t, fetched.Load())

	// Kept: only the tag is asked for again; offline, not even that.
	again, err := base.Open(t.Context(), s.ref, base.Options{Dir: cache})
	require.NoError(t, err)
	require.Equal(t, img, again)
	require.Zero(t, s.blobs())
	s.down.Store(true)
	offline, err := base.Open(t.Context(), s.ref, base.Options{Dir: cache, Offline: true})
	require.NoError(t, err)
	require.Equal(t, img, offline)
	_, err = base.Open(t.Context(), s.ref, base.Options{Dir: t.TempDir(), Offline: true})
	require.ErrorContains(t, err, "it is not in the cache, and the build is offline")
	s.down.Store(false)

	// One lost or cut blob is fetched again, and no other.
	require.NoError(t, os.Truncate(img.Blob(img.Layers[1].Digest), 1))
	_, err = base.Open(t.Context(), s.ref, base.Options{Dir: cache})
	require.NoError(t, err)
	require.Equal(t, 1, s.blobs())

	_, err = base.Open(t.Context(), s.ref, base.Options{Dir: cache, Platform: ocispecs.Platform{OS: "linux", Architecture: "s390x"}})
	require.ErrorContains(t, err, "there is none for linux/s390x, only for linux/arm64, linux/amd64")

	// A digest needs no network once it is there.
	byDigest := s.host + "/library/debian@" + img.Digest.String()
	_, err = base.Open(t.Context(), byDigest, base.Options{Dir: cache})
	require.NoError(t, err)
	s.down.Store(true)
	_, err = base.Open(t.Context(), byDigest, base.Options{Dir: cache})
	require.NoError(t, err)
}

// A mirror is asked first, and its registry when the mirror fails; the name stays that of the registry.
func TestMirror(t *testing.T) {
	s := serve(t)
	for name, mirrors := range map[string][]string{
		"url":      {"http://" + s.host},
		"fallback": {"127.0.0.1:1", s.host + "/"},
	} {
		t.Run(name, func(t *testing.T) {
			img, err := base.Open(t.Context(), "registry.invalid/library/debian:12", base.Options{
				Dir: t.TempDir(), Registries: registry.Registries{"registry.invalid": {Mirrors: mirrors}},
			})
			require.NoError(t, err)
			require.Equal(t, "registry.invalid/library/debian", img.Repository)
		})
	}
}

// A registry that answers with other bytes than it was asked for leaves nothing behind that is taken for a layer.
func TestDamagedFetch(t *testing.T) {
	s := serve(t)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		res, err := http.Get("http://" + s.host + r.URL.Path)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		if strings.Contains(r.URL.Path, "/blobs/") && len(body) > 0 {
			body[len(body)/2] ^= 1
		}
		w.Header().Set("Content-Type", res.Header.Get("Content-Type"))
		w.WriteHeader(res.StatusCode)
		_, _ = w.Write(body)
	}))
	t.Cleanup(proxy.Close)
	cache := t.TempDir()
	_, err := base.Open(t.Context(), strings.TrimPrefix(proxy.URL, "http://")+"/library/debian:12", base.Options{Dir: cache})
	require.Error(t, err)
	files, err := filepath.Glob(filepath.Join(cache, "bases", "*", "blobs", "sha256", "*"))
	require.NoError(t, err)
	require.Empty(t, files)
}
