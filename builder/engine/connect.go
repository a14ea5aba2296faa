package engine

import (
	"context"
	"fmt"
	"strings"

	"github.com/moby/buildkit/client"
	// The ways to a BuildKit that need a helper program, such as docker or kubectl.
	_ "github.com/moby/buildkit/client/connhelper/dockercontainer"
	_ "github.com/moby/buildkit/client/connhelper/kubepod"
	_ "github.com/moby/buildkit/client/connhelper/nerdctlcontainer"
	_ "github.com/moby/buildkit/client/connhelper/podmancontainer"
	_ "github.com/moby/buildkit/client/connhelper/ssh"
)

// connect opens a connection to a BuildKit that runs elsewhere and makes sure that it answers.
func connect(ctx context.Context, o Options) (*Engine, error) {
	if !strings.Contains(o.Address, "://") {
		return nil, fmt.Errorf("BuildKit address %q: want unix://PATH, tcp://HOST:PORT, docker-container://NAME, kube-pod://NAME or ssh://HOST", o.Address)
	}
	var opts []client.ClientOpt
	if o.TLS.CA != "" {
		opts = append(opts, client.WithServerConfig(o.TLS.ServerName, o.TLS.CA))
	}
	if o.TLS.Cert != "" || o.TLS.Key != "" {
		opts = append(opts, client.WithCredentials(o.TLS.Cert, o.TLS.Key))
	}
	c, err := client.New(ctx, o.Address, opts...)
	if err != nil {
		return nil, fmt.Errorf("connecting to BuildKit at %s: %w", o.Address, err)
	}
	if _, err := c.Info(ctx); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("connecting to BuildKit at %s: %w; is buildkitd running there?", o.Address, err)
	}
	return &Engine{client: c}, nil
}
