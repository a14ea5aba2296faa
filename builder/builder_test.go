package builder_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	fakeregistry "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/builder"
	"github.com/datalayer/conda2docker/builder/base"
	"github.com/datalayer/conda2docker/builder/base/basetest"
	"github.com/datalayer/conda2docker/builder/engine"
	"github.com/datalayer/conda2docker/builder/graph"
	"github.com/datalayer/conda2docker/builder/layer"
	"github.com/datalayer/conda2docker/builder/registry"
)

func TestMain(m *testing.M) {
	engine.ChildMain()
	os.Exit(m.Run())
}

// toolPath is where the images have their one program.
const toolPath = "/bin/tool"

// newBase makes and opens a base image with the tool in it.
func newBase(t *testing.T, dir string) base.Image {
	t.Helper()
	tool := filepath.Join(t.TempDir(), "tool")
	build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", tool, "./testdata/tool")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // there is no libc in the image
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	body, err := os.ReadFile(tool)
	require.NoError(t, err)
	created := time.Date(2020, 2, 2, 0, 0, 0, 0, time.UTC)
	basetest.Write(t, dir, basetest.Image{
		Layers: [][]basetest.File{
			{
				{Path: "bin", Dir: true},
				{Path: "etc", Dir: true},
				{Path: "root", Dir: true, Mode: 0o700},
				{Path: "tmp", Dir: true, Mode: 0o1777},
				{Path: "bin/tool", Body: string(body), Mode: 0o755},
			},
			{{Path: "etc/passwd", Body: "root:x:0:0:root:/root:/bin/tool\n"}},
		},
		Config:  ocispecs.ImageConfig{Env: []string{"PATH=/bin", "LANG=C"}, Cmd: []string{"/bin/tool"}, Labels: map[string]string{"base": "yes"}, Volumes: map[string]struct{}{"/data": {}}, StopSignal: "SIGINT"},
		History: []ocispecs.History{{Created: &created, CreatedBy: "one"}, {Created: &created, CreatedBy: "nothing", EmptyLayer: true}, {Created: &created, CreatedBy: "two"}},
	})
	img, err := base.Open(t.Context(), "oci-layout:"+dir, base.Options{Dir: t.TempDir()})
	require.NoError(t, err)
	return img
}

// newLayer puts a layer's blob on disk.
func newLayer(t *testing.T, name string, files ...basetest.File) layer.Layer {
	t.Helper()
	blob := basetest.Layer(t, files...)
	path := filepath.Join(t.TempDir(), blob.Digest.Encoded())
	require.NoError(t, os.WriteFile(path, blob.Bytes, 0o644))
	return layer.Layer{
		Digest: blob.Digest, DiffID: blob.DiffID, Size: int64(len(blob.Bytes)),
		MediaType: ocispecs.MediaTypeImageLayerGzip, Path: path, Name: name,
	}
}

func twoLayers(t *testing.T) []layer.Layer {
	t.Helper()
	return []layer.Layer{
		newLayer(t, "python-3.11.2", basetest.File{Path: "opt/conda/bin/python", Body: "python", Mode: 0o755}),
		newLayer(t, "environment", basetest.File{Path: "opt/conda/conda-meta/history", Body: "==> 2000 <==\n"}),
	}
}

func openEngine(t *testing.T, o engine.Options) *engine.Engine {
	t.Helper()
	if o.Root == "" {
		o.Root = t.TempDir()
	}
	eng, err := engine.Open(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, eng.Close()) })
	return eng
}

func needRuntime(t *testing.T) {
	t.Helper()
	require.NoError(t, engine.NeedRuntime(engine.Options{}, ocispecs.Platform{}), "these tests run steps")
}

// request is one that all tests vary.
func request(t *testing.T, img base.Image) builder.Request {
	t.Helper()
	return builder.Request{
		Base: img, Layers: twoLayers(t), Dir: t.TempDir(),
		Epoch: time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC),
		Config: builder.Config{
			Env:  []builder.Variable{{"PATH", "/opt/conda/bin:/bin"}, {"CONDA_PREFIX", "/opt/conda"}},
			User: "1000:100", WorkingDir: "/home/someone", Entrypoint: []string{"tini", "--"},
			Labels: map[string]string{"title": "an environment"}, Annotations: map[string]string{"org.example/made-by": "a test, twice"}, Plain: true,
		},
	}
}

// layerFiles reads one layer of a built image.
func layerFiles(t *testing.T, img builder.Image, n int) map[string]*tar.Header {
	t.Helper()
	b, err := os.ReadFile(img.Blob(img.Manifest.Layers[n].Digest))
	require.NoError(t, err)
	z, err := gzip.NewReader(bytes.NewReader(b))
	require.NoError(t, err)
	files := map[string]*tar.Header{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		require.NoError(t, err)
		files[h.Name] = h
	}
}

func validateLayout(t *testing.T, dir string, d digest.Digest) {
	t.Helper()
	index, err := layout.ImageIndexFromPath(dir)
	require.NoError(t, err)
	require.NoError(t, validate.Index(index))
	m, err := index.IndexManifest()
	require.NoError(t, err)
	require.Len(t, m.Manifests, 1)
	require.Equal(t, d.String(), m.Manifests[0].Digest.String())
}

func TestBuildWithoutSteps(t *testing.T) {
	img := newBase(t, t.TempDir())
	req := request(t, img)
	eng := openEngine(t, engine.Options{})
	built, err := builder.Build(t.Context(), eng, req)
	require.NoError(t, err)

	validateLayout(t, built.Layout, built.Digest)
	require.Equal(t, filepath.Join(req.Dir, "images", "sha256-"+built.Digest.Encoded()), built.Layout)
	require.Len(t, built.Manifest.Layers, 4)
	require.Equal(t, ocispecs.ImageConfig{
		User: "1000:100", WorkingDir: "/home/someone", Entrypoint: []string{"tini", "--"},
		Env:    []string{"PATH=/opt/conda/bin:/bin", "LANG=C", "CONDA_PREFIX=/opt/conda"},
		Labels: map[string]string{"base": "yes", "title": "an environment"},
	}, built.Config.Config)
	require.Equal(t, map[string]string{"org.example/made-by": "a test, twice"}, built.Manifest.Annotations)
	require.Equal(t, req.Epoch, *built.Config.Created)
	var history []string
	for _, h := range built.Config.History {
		history = append(history, h.Created.Format(time.DateOnly)+" "+h.CreatedBy)
	}
	require.Equal(t, []string{
		"2020-02-02 one", "2020-02-02 nothing", "2020-02-02 two",
		"2024-05-06 conda2docker: python-3.11.2", "2024-05-06 conda2docker: environment",
	}, history)

	// The blobs that were on this disk are shared, not copied.
	for _, l := range req.Layers {
		a, err := os.Stat(l.Path)
		require.NoError(t, err)
		b, err := os.Stat(built.Blob(l.Digest))
		require.NoError(t, err)
		require.True(t, os.SameFile(a, b), l.Name)
	}

	// The same again, in the same cache and in fresh ones, from a fresh engine.
	again, err := builder.Build(t.Context(), eng, req)
	require.NoError(t, err)
	require.Equal(t, built, again)
	entries, err := os.ReadDir(filepath.Join(req.Dir, "images"))
	require.NoError(t, err)
	require.Len(t, entries, 1, "nothing unfinished is left")
	req.Dir = t.TempDir()
	fresh, err := builder.Build(t.Context(), openEngine(t, engine.Options{}), req)
	require.NoError(t, err)
	require.Equal(t, built.Digest, fresh.Digest)
}

func TestBuildWithSteps(t *testing.T) {
	needRuntime(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	address := listener.Addr().String()
	img := newBase(t, t.TempDir())
	const secret = "correct horse battery staple"
	req := request(t, img)
	req.Secrets = map[string][]byte{"netrc": []byte(secret)}
	req.Steps = []graph.Step{
		{Name: "write a file", Args: []string{toolPath, "write", "/opt/conda/lib/made", "by a step"}},
		{Name: "write as the user", Args: []string{toolPath, "env", "NAME", "/tmp/name"}, Env: []string{"NAME=x"}, User: "1000:100"},
		{Name: "litter", Args: []string{"tool", "litter"}, Env: []string{"PATH=/bin"}},
		{Name: "reach the network", Args: []string{toolPath, "dial", address}, Network: true},
		{
			Name: "read an input", Args: []string{toolPath, "sum", "/run/input/list.txt", "/sum-of-input"},
			Files: []graph.File{{Path: "/run/input/list.txt", Body: []byte("a list")}},
		},
		{
			Name: "read a secret", Args: []string{toolPath, "sum", "/run/secrets/netrc", "/sum-of-secret"},
			Secrets: []graph.Secret{{ID: "netrc", Path: "/run/secrets/netrc"}},
		},
		{Name: "see the epoch", Args: []string{toolPath, "env", "SOURCE_DATE_EPOCH", "/epoch"}},
	}
	eng := openEngine(t, engine.Options{})
	built, err := builder.Build(t.Context(), eng, req)
	require.NoError(t, err)
	validateLayout(t, built.Layout, built.Digest)

	made := layerFiles(t, built, 4)["opt/conda/lib/made"]
	require.NotNil(t, made)
	require.Equal(t, req.Epoch, made.ModTime.UTC(), "a step's files are given the epoch")
	for n := range built.Manifest.Layers {
		for file := range layerFiles(t, built, n) {
			require.NotContains(t, file, "litter")
			require.NotContains(t, file, "run/", "mounts leave nothing behind")
		}
	}
	require.Contains(t, layerFiles(t, built, 8), "sum-of-input")
	require.Contains(t, layerFiles(t, built, 9), "sum-of-secret")
	require.Equal(t, "conda2docker: see the epoch", built.Config.History[len(built.Config.History)-1].CreatedBy)

	// The secret was there, and is nowhere in what was made.
	requireStepFile(t, built, 9, "sum-of-secret", fmt.Sprintf("%x", sha256.Sum256([]byte(secret))))
	requireStepFile(t, built, 10, "epoch", fmt.Sprint(req.Epoch.Unix()))
	requireNowhere(t, built, secret)

	req.Dir = t.TempDir()
	fresh, err := builder.Build(t.Context(), openEngine(t, engine.Options{}), req)
	require.NoError(t, err)
	require.Equal(t, built.Digest, fresh.Digest, "steps are reproducible in a fresh engine")

	t.Run("no network", func(t *testing.T) {
		bad := req
		bad.Steps = []graph.Step{{Name: "reach out", Args: []string{toolPath, "dial", address}}}
		_, err := builder.Build(t.Context(), eng, bad)
		require.ErrorContains(t, err, "reach out: ")
		require.ErrorContains(t, err, "it wrote:\ntool: dial tcp "+address)
		entries, err := os.ReadDir(filepath.Join(req.Dir, "images"))
		require.NoError(t, err)
		require.Len(t, entries, 1, "nothing is left of a build that failed")
	})
	t.Run("another secret is no other step", func(t *testing.T) {
		other := req
		other.Secrets = map[string][]byte{"netrc": []byte("changed")}
		again, err := builder.Build(t.Context(), eng, other)
		require.NoError(t, err)
		require.Equal(t, built.Digest, again.Digest)
	})
}

// requireStepFile reads one small file of a layer.
func requireStepFile(t *testing.T, img builder.Image, n int, file, want string) {
	t.Helper()
	b, err := os.ReadFile(img.Blob(img.Manifest.Layers[n].Digest))
	require.NoError(t, err)
	z, err := gzip.NewReader(bytes.NewReader(b))
	require.NoError(t, err)
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		require.NoError(t, err, "looking for %s", file)
		if h.Name == file {
			body, err := io.ReadAll(r)
			require.NoError(t, err)
			require.Equal(t, want, string(body))
			return
		}
	}
}

// requireNowhere looks for a text in all blobs of an image, also uncompressed.
func requireNowhere(t *testing.T, img builder.Image, text string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(img.Layout, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NotContains(t, string(b), text)
		if z, err := gzip.NewReader(bytes.NewReader(b)); err == nil {
			plain, err := io.ReadAll(z)
			require.NoError(t, err)
			require.False(t, bytes.Contains(plain, []byte(text)), path)
		}
		return nil
	}))
}

func TestPushAndTag(t *testing.T) {
	needRuntime(t)
	server := httptest.NewServer(fakeregistry.New(fakeregistry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	repo, err := name.NewRepository(strings.TrimPrefix(server.URL, "http://") + "/team/env")
	require.NoError(t, err)
	req := request(t, newBase(t, t.TempDir()))
	req.Steps = []graph.Step{{Name: "a step", Args: []string{toolPath, "write", "/made", "x"}}}
	req.Push = &builder.Push{Repository: repo}
	built, err := builder.Build(t.Context(), openEngine(t, engine.Options{}), req)
	require.NoError(t, err)
	require.Equal(t, repo.Digest(built.Digest.String()), *built.Pushed)
	validateLayout(t, built.Layout, built.Digest)

	pushed, err := remote.Image(*built.Pushed)
	require.NoError(t, err)
	require.NoError(t, validate.Image(pushed))
	tags, err := remote.List(repo)
	require.NoError(t, err)
	require.Empty(t, tags, "a push gives no name")

	tag := repo.Tag("v1")
	require.NoError(t, registry.Registries{}.Tag(t.Context(), *built.Pushed, tag))
	resolved, err := registry.Registries{}.Resolve(t.Context(), tag)
	require.NoError(t, err)
	require.Equal(t, *built.Pushed, resolved)

	skopeo, err := exec.LookPath("skopeo")
	require.NoError(t, err, "apt-get install skopeo")
	out, err := exec.Command(skopeo, "inspect", "--tls-verify=false", "docker://"+tag.String()).CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), built.Digest.String())
}

func TestExport(t *testing.T) {
	built, err := builder.Build(t.Context(), openEngine(t, engine.Options{}), request(t, newBase(t, t.TempDir())))
	require.NoError(t, err)
	dir := t.TempDir()
	skopeo, err := exec.LookPath("skopeo")
	require.NoError(t, err, "apt-get install skopeo")

	folder := filepath.Join(dir, "out", "layout")
	for range 2 { // the second replaces the first
		require.NoError(t, built.ExportTo(t.Context(), builder.Output{Type: builder.OCIDir, Path: folder, Name: "example.org/env:v1"}))
	}
	validateLayout(t, folder, built.Digest)
	out, err := exec.Command(skopeo, "inspect", "oci:"+folder+":v1").CombinedOutput()
	require.NoError(t, err, string(out))

	var tars [][]byte
	for _, n := range []string{"a.tar", "b.tar"} {
		file := filepath.Join(dir, n)
		require.NoError(t, built.ExportTo(t.Context(), builder.Output{Type: builder.OCITar, Path: file, Name: "example.org/env:v1"}))
		for _, transport := range []string{"oci-archive:", "docker-archive:"} {
			out, err := exec.Command(skopeo, "inspect", transport+file).CombinedOutput()
			require.NoError(t, err, string(out))
		}
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		tars = append(tars, b)
	}
	require.True(t, bytes.Equal(tars[0], tars[1]), "same image, same bytes")

	// What is not ours is left alone.
	require.NoError(t, os.WriteFile(filepath.Join(dir, "out", "precious"), []byte("x"), 0o644))
	err = built.ExportTo(t.Context(), builder.Output{Type: builder.OCIDir, Path: filepath.Join(dir, "out")})
	require.ErrorContains(t, err, "holds something else than an OCI layout")
	require.ErrorContains(t, built.ExportTo(t.Context(), builder.Output{Type: "docker", Path: folder}), `output type "docker"`)

	// A cancelled export leaves what was there.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, built.ExportTo(ctx, builder.Output{Type: builder.OCIDir, Path: folder}), context.Canceled)
	validateLayout(t, folder, built.Digest)
	entries, err := os.ReadDir(filepath.Dir(folder))
	require.NoError(t, err)
	require.Len(t, entries, 2)
}

// A layer whose file was damaged after it was made must not reach an image.
func TestDamagedLayer(t *testing.T) {
	req := request(t, newBase(t, t.TempDir()))
	b, err := os.ReadFile(req.Layers[0].Path)
	require.NoError(t, err)
	b[len(b)/2] ^= 1
	require.NoError(t, os.WriteFile(req.Layers[0].Path, b, 0o644))
	_, err = builder.Build(t.Context(), openEngine(t, engine.Options{}), req)
	require.Error(t, err)
	require.ErrorContains(t, err, req.Layers[0].Digest.String())
}
