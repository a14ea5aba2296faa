package builder_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/builder"
	"github.com/datalayer/conda2docker/builder/engine"
	"github.com/datalayer/conda2docker/builder/graph"
)

// received collects what a run hands out.
func received(files map[string]string) func(*tar.Header, io.Reader) error {
	return func(h *tar.Header, r io.Reader) error {
		b, err := io.ReadAll(r)
		files[h.Name] = string(b)
		return err
	}
}

func TestRun(t *testing.T) {
	needRuntime(t)
	eng := openEngine(t, engine.Options{})
	req := request(t, newBase(t, t.TempDir()))
	big := filepath.Join(t.TempDir(), "big")
	body := bytes.Repeat([]byte("0123456789abcdef"), 2<<20) // more than a message to BuildKit may have
	require.NoError(t, os.WriteFile(big, body, 0o600))
	req.Steps = []graph.Step{
		{Name: "before", Args: []string{toolPath, "write", "/opt/conda/before", "written before"}},
		{
			Name: "last", Args: []string{toolPath, "sum", "/run/given/big", graph.OutputDir + "/sum"},
			Files: []graph.File{{Path: "/run/given/big", Source: big}},
		},
	}
	got := map[string]string{}
	require.NoError(t, builder.Run(t.Context(), eng, req, received(got)))
	require.Equal(t, digest.FromBytes(body).Encoded(), got["sum"])

	req.Steps[1] = graph.Step{Name: "reads", Args: []string{toolPath, "sum", "/opt/conda/before", graph.OutputDir + "/sum"}}
	clear(got)
	require.NoError(t, builder.Run(t.Context(), eng, req, received(got)))
	require.Equal(t, digest.FromString("written before").Encoded(), got["sum"])

	req.Steps = []graph.Step{{
		Name: "cannot write", Args: []string{toolPath, "try", "/opt/conda/x", "y", graph.OutputDir + "/said"}, ReadOnly: true, Hostname: "far-away", User: "4711:0",
	}}
	clear(got)
	require.NoError(t, builder.Run(t.Context(), eng, req, received(got)))
	require.Equal(t, "open /opt/conda/x: read-only file system on far-away", got["said"])

	full := errors.New("no room")
	require.ErrorIs(t, builder.Run(t.Context(), eng, req, func(*tar.Header, io.Reader) error { return full }), full)
	req.Steps = []graph.Step{{Name: "fails", Args: []string{toolPath, "no-such-verb"}}}
	err := builder.Run(t.Context(), eng, req, received(got))
	require.ErrorContains(t, err, "running in the image: fails: ")
	require.ErrorContains(t, err, `no verb "no-such-verb"`)
}
