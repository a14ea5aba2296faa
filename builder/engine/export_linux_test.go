package engine

import (
	"context"
	"net"

	"github.com/datalayer/conda2docker/builder/registry"
)

// ServeForTest is a BuildKit that runs elsewhere: one in this process that listens at l. It returns how to stop it.
func ServeForTest(ctx context.Context, root string, l net.Listener) (func() error, error) {
	w, err := newWorker(ctx, childConfig{Root: root, KeepBytes: defaultKeepBytes, Registries: registry.Registries{}})
	if err != nil {
		return nil, err
	}
	go func() { _ = w.server.Serve(l) }()
	return w.close, nil
}
