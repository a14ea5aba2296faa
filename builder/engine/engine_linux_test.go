package engine_test

import (
	"io"
	"log"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	fakeregistry "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/builder"
	"github.com/datalayer/conda2docker/builder/base"
	"github.com/datalayer/conda2docker/builder/base/basetest"
	"github.com/datalayer/conda2docker/builder/engine"
	"github.com/datalayer/conda2docker/builder/layer"
)

func TestMain(m *testing.M) {
	engine.ChildMain()
	os.Exit(m.Run())
}

// A BuildKit that runs elsewhere pulls the base from its registry, and makes the image that the embedded one makes.
func TestElsewhere(t *testing.T) {
	server := httptest.NewServer(fakeregistry.New(fakeregistry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	basetest.Write(t, dir, basetest.Image{Layers: [][]basetest.File{{{Path: "etc/passwd", Body: "root:x:0:0"}}}})
	index, err := layout.ImageIndexFromPath(dir)
	require.NoError(t, err)
	repo, err := name.NewRepository(strings.TrimPrefix(server.URL, "http://") + "/base")
	require.NoError(t, err)
	require.NoError(t, remote.WriteIndex(repo.Tag("v1"), index))
	img, err := base.Open(t.Context(), repo.Tag("v1").String(), base.Options{Dir: t.TempDir()})
	require.NoError(t, err)

	blob := basetest.Layer(t, basetest.File{Path: "opt/conda/bin/python", Body: "python"})
	path := filepath.Join(t.TempDir(), "layer")
	require.NoError(t, os.WriteFile(path, blob.Bytes, 0o644))
	req := builder.Request{
		Base: img, Dir: t.TempDir(), Push: &builder.Push{Repository: repo.Repo("env")},
		Layers: []layer.Layer{{
			Digest: blob.Digest, DiffID: blob.DiffID, Size: int64(len(blob.Bytes)),
			MediaType: ocispecs.MediaTypeImageLayerGzip, Path: path, Name: "python",
		}},
	}

	socket := filepath.Join(t.TempDir(), "buildkit.sock")
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	require.NoError(t, err)
	stop, err := engine.ServeForTest(t.Context(), t.TempDir(), listener)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, stop()) })
	elsewhere, err := engine.Open(t.Context(), engine.Options{Address: "unix://" + socket})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, elsewhere.Close()) })
	require.True(t, elsewhere.Remote())
	there, err := builder.Build(t.Context(), elsewhere, req)
	require.NoError(t, err)

	embedded, err := engine.Open(t.Context(), engine.Options{Root: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, embedded.Close()) })
	require.False(t, embedded.Remote())
	req.Dir, req.Push = t.TempDir(), nil
	here, err := builder.Build(t.Context(), embedded, req)
	require.NoError(t, err)
	require.Equal(t, here.Digest, there.Digest)
}
