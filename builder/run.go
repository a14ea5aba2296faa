package builder

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/moby/buildkit/client"

	"github.com/datalayer/conda2docker/builder/engine"
	"github.com/datalayer/conda2docker/builder/graph"
)

// Run has the engine run the request's steps on its base and layers, and calls receive for each file and folder that the
// last step wrote to graph.OutputDir, in the order of their names, which are relative to it; the reader is valid during the
// call only. Nothing of it is in any image. What was run before with the same inputs is not run again while the engine's
// cache remembers it.
func Run(ctx context.Context, eng *engine.Engine, req Request, receive func(*tar.Header, io.Reader) error) error {
	if err := run(ctx, eng, req, receive); err != nil {
		return fmt.Errorf("running in the image: %w", err)
	}
	return nil
}

func run(ctx context.Context, eng *engine.Engine, req Request, receive func(*tar.Header, io.Reader) error) error {
	req, err := req.ready(eng)
	if err != nil {
		return err
	}
	g, err := req.graph(ctx, eng, graph.Output)
	if err != nil {
		return err
	}
	r, w := io.Pipe()
	received := make(chan error, 1)
	go func() {
		err := readOutput(r, receive)
		r.CloseWithError(err) // ends the export of what nobody reads
		received <- err
	}()
	_, err = req.solve(ctx, eng, g, client.ExportEntry{
		Type: client.ExporterTar, Output: func(map[string]string) (io.WriteCloser, error) { return w, nil },
	})
	w.CloseWithError(err)
	if receiveErr := <-received; receiveErr != nil && (err == nil || !errors.Is(receiveErr, err)) {
		return receiveErr
	}
	return eng.Explain(err)
}

// readOutput reads the tar of a graph's output to its end.
func readOutput(r io.Reader, receive func(*tar.Header, io.Reader) error) error {
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, r)
			return err
		}
		if err != nil {
			return err
		}
		name, ok := strings.CutPrefix(strings.TrimSuffix(path.Clean(h.Name), "/"), graph.OutputName+"/")
		if !ok {
			continue
		}
		h.Name = name
		if err := receive(h, tr); err != nil {
			return err
		}
	}
}
