package graph_test

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/builder/base"
	"github.com/datalayer/conda2docker/builder/base/basetest"
	"github.com/datalayer/conda2docker/builder/graph"
	"github.com/datalayer/conda2docker/builder/layer"
)

var update = flag.Bool("update", false, "write the goldens anew") //nolint:gochecknoglobals // a flag of the tests

func newLayer(t *testing.T, name, body string) layer.Layer {
	t.Helper()
	blob := basetest.Layer(t, basetest.File{Path: "opt/conda/" + name, Body: body})
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, blob.Bytes, 0o644))
	return layer.Layer{
		Digest: blob.Digest, DiffID: blob.DiffID, Size: int64(len(blob.Bytes)),
		MediaType: ocispecs.MediaTypeImageLayerGzip, Path: path, Name: name,
	}
}

func input(t *testing.T) graph.Input {
	t.Helper()
	dir := t.TempDir()
	basetest.Write(t, dir, basetest.Image{Layers: [][]basetest.File{{{Path: "bin/sh", Body: "#!"}}}})
	img, err := base.Open(t.Context(), "oci-layout:"+dir, base.Options{Dir: t.TempDir()})
	require.NoError(t, err)
	img.Ref = "docker.io/library/debian:bookworm-slim"
	img.Repository = "index.docker.io/library/debian"
	return graph.Input{Base: img, Layers: []layer.Layer{newLayer(t, "python", "a"), newLayer(t, "environment", "b")}}
}

func steps() []graph.Step {
	return []graph.Step{
		{
			Name: "post-link font-ttf", Args: []string{"/bin/sh", "-c", "exec bin/.font-post-link.sh"},
			Env: []string{"PREFIX=/opt/conda", "PATH=/opt/conda/bin:/bin"}, Dir: "/opt/conda",
		},
		{
			Name: "pip install", Args: []string{"/opt/conda/bin/python", "-m", "pip", "install", "-r", "/run/pip/requirements.txt"},
			User: "1000:100", Network: true,
			Files:   []graph.File{{Path: "/run/pip/requirements.txt", Body: []byte("requests==2.31.0\n")}},
			Secrets: []graph.Secret{{ID: "netrc", Path: "/run/pip/netrc"}},
		},
	}
}

func dump(t *testing.T, in graph.Input) string {
	t.Helper()
	g, err := graph.New(t.Context(), in)
	require.NoError(t, err)
	var b bytes.Buffer
	require.NoError(t, g.Dump(&b))
	numbers := map[string]string{} // digests depend on a compressor that is not under test
	return regexp.MustCompile(`sha256:[0-9a-f]{64}`).ReplaceAllStringFunc(b.String(), func(d string) string {
		if numbers[d] == "" {
			numbers[d] = "sha256:" + strconv.Itoa(len(numbers)+1)
		}
		return numbers[d]
	})
}

func TestGolden(t *testing.T) {
	for name, change := range map[string]func(*graph.Input){
		"layers": func(*graph.Input) {},
		"pull":   func(in *graph.Input) { in.Pull = true },
		"steps":  func(in *graph.Input) { in.Steps = steps() },
		"output": func(in *graph.Input) {
			in.Steps, in.Result = steps()[:1], graph.Output
			in.Steps[0].ReadOnly, in.Steps[0].Hostname = true, "somewhere"
			in.Steps[0].Files = []graph.File{{Path: "/run/big", Source: newLayer(t, "big", "c").Path, Mode: 0o500}}
		},
		"alone": func(in *graph.Input) { in.Base.Layers, in.Layers = nil, in.Layers[:1] },
	} {
		t.Run(name, func(t *testing.T) {
			in := input(t)
			change(&in)
			got := dump(t, in)
			require.Equal(t, got, dump(t, in), "the same again")
			golden := filepath.Join("testdata", name+".golden")
			if *update {
				require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err, "run with -update")
			require.Equal(t, string(want), got)
		})
	}
}

// A proxy and a secret's value are no part of what BuildKit recognises a step by; the proxy is in the definition, for
// steps with a network only.
func TestProxy(t *testing.T) {
	in := input(t)
	in.Proxy = graph.Proxy{HTTP: "http://user:word@proxy:3128"}
	in.Steps = steps()[:1]
	g, err := graph.New(t.Context(), in)
	require.NoError(t, err)
	for _, def := range g.Definition.Def {
		require.NotContains(t, string(def), "proxy:3128")
	}
	in.Steps = steps()
	g, err = graph.New(t.Context(), in)
	require.NoError(t, err)
	require.True(t, bytes.Contains(bytes.Join(g.Definition.Def, nil), []byte("proxy:3128")))
}

func TestErrors(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*graph.Input)
		want   string
	}{
		"nothing at all":    {func(in *graph.Input) { in.Base.Layers, in.Layers = nil, nil }, "has no layers"},
		"lost layer":        {func(in *graph.Input) { in.Layers[1].Path += "x" }, "blob " + newLayer(t, "environment", "b").Digest.String()},
		"cut layer":         {func(in *graph.Input) { in.Layers[1].Size++ }, "has 1"},
		"no diffID":         {func(in *graph.Input) { in.Layers[0].DiffID = "" }, "layer python: uncompressed"},
		"environment":       {func(in *graph.Input) { in.Steps = []graph.Step{{Name: "s", Env: []string{"HOME"}}} }, `step "s": environment entry "HOME"`},
		"result of no step": {func(in *graph.Input) { in.Result = graph.Output }, "there is no step"},
		"lost file": {func(in *graph.Input) {
			in.Steps = []graph.Step{{Name: "s", Files: []graph.File{{Path: "/x", Source: "/nowhere/x"}}}}
		}, `step "s": open /nowhere/x`},
		"relative file": {func(in *graph.Input) {
			in.Steps = []graph.Step{{Name: "s", Files: []graph.File{{Path: "etc/x"}}}}
		}, `file "etc/x": want an absolute, clean path`},
		"secret upwards": {func(in *graph.Input) {
			in.Steps = []graph.Step{{Name: "s", Secrets: []graph.Secret{{ID: "x", Path: "/run/../etc/x"}}}}
		}, `want an absolute, clean path`},
	} {
		t.Run(name, func(t *testing.T) {
			in := input(t)
			c.change(&in)
			_, err := graph.New(t.Context(), in)
			require.ErrorContains(t, err, c.want)
		})
	}
}

// The store serves what the definition names, from the files, and takes nothing.
func TestStore(t *testing.T) {
	in := input(t)
	g, err := graph.New(t.Context(), in)
	require.NoError(t, err)
	store := g.Stores["conda2docker"]
	require.NotNil(t, store)
	l := in.Layers[0]
	info, err := store.Info(t.Context(), l.Digest)
	require.NoError(t, err)
	require.Equal(t, l.Size, info.Size)
	r, err := store.ReaderAt(t.Context(), ocispecs.Descriptor{Digest: l.Digest})
	require.NoError(t, err)
	b, err := io.ReadAll(content.NewReader(r))
	require.NoError(t, err)
	require.NoError(t, r.Close())
	require.Equal(t, l.Digest, digest.FromBytes(b))

	_, err = store.Info(t.Context(), digest.FromString("unknown"))
	require.ErrorIs(t, err, errdefs.ErrNotFound)
	_, err = store.ReaderAt(t.Context(), ocispecs.Descriptor{Digest: digest.FromString("unknown")})
	require.ErrorIs(t, err, errdefs.ErrNotFound)
	_, err = store.Writer(t.Context())
	require.ErrorIs(t, err, errdefs.ErrNotImplemented)
}
