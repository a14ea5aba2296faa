// Package engine gives a BuildKit to talk to: embedded in a child process, or one that runs elsewhere.
package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/moby/buildkit/client"

	"github.com/datalayer/conda2docker/builder/registry"
)

// Options says which BuildKit is used. With nothing but a Root, that is the embedded one.
type Options struct {
	// Root is the folder that the embedded engine keeps its state in.
	Root string
	// Address is where another BuildKit listens: unix://, tcp://, docker-container://, podman-container://,
	// nerdctl-container://, kube-pod:// or ssh://. The embedded one is used when it is empty.
	Address string
	// TLS is how a tcp:// address is spoken to; plainly, when it is zero.
	TLS TLS
	// Registries says how the embedded engine reaches image registries. Another BuildKit has its own settings.
	Registries registry.Registries
	// KeepBytes is how much the embedded engine's garbage collection leaves on disk; 0 means 20 GB.
	KeepBytes int64
	// Log gets the embedded engine's own log as it is written. Without it, only warnings are written, and only
	// the last of them are kept, for the error that tells of the engine's end.
	Log io.Writer
	// Say is told, once, that another build uses Root and is waited for.
	Say func(string)
}

// TLS names the PEM files for a connection on which both ends prove who they are.
type TLS struct {
	CA, Cert, Key string
	ServerName    string // as in the server's certificate, where it differs from the address
}

const defaultKeepBytes = 20e9

// Engine is a BuildKit that answers.
type Engine struct {
	client *client.Client
	child  *child // nil for a BuildKit that runs elsewhere
}

// Open connects to the BuildKit at o.Address, or starts the embedded one. Only one process at a time uses a
// Root: Open waits for it as long as ctx lives.
func Open(ctx context.Context, o Options) (*Engine, error) {
	if o.Address != "" {
		return connect(ctx, o)
	}
	if o.Root == "" {
		return nil, errors.New("starting the embedded BuildKit: no folder given for its state")
	}
	if o.KeepBytes == 0 {
		o.KeepBytes = defaultKeepBytes
	}
	c, err := startChild(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("starting the embedded BuildKit in %s: %w", o.Root, err)
	}
	return &Engine{client: c.client, child: c}, nil
}

// Client speaks BuildKit's protocol with the engine.
func (e *Engine) Client() *client.Client { return e.client }

// Remote reports whether the engine is a BuildKit that runs elsewhere.
func (e *Engine) Remote() bool { return e.child == nil }

// CanExec is nil where the engine can run commands. Without that, it still puts layers together.
func (e *Engine) CanExec() error {
	if e.child == nil {
		return nil // it says so itself
	}
	return e.child.canExec
}

// Explain completes an error of a call to the engine with what is known of the engine's own end.
func (e *Engine) Explain(err error) error {
	if err == nil || e.child == nil {
		return err
	}
	return e.child.explain(err)
}

// Close ends the embedded engine, or the connection to another one. It returns when the embedded engine's
// processes and mounts are gone.
func (e *Engine) Close() error {
	err := e.client.Close()
	if e.child != nil {
		err = errors.Join(err, e.child.close())
	}
	return err
}

// Usage is one thing that an engine keeps on its disk.
type Usage struct {
	ID          string
	Description string
	Size        int64
	LastUsed    time.Time
	InUse       bool
}

// DiskUsage lists what the engine keeps, smallest first.
func (e *Engine) DiskUsage(ctx context.Context) ([]Usage, error) {
	infos, err := e.client.DiskUsage(ctx)
	if err != nil {
		return nil, e.Explain(fmt.Errorf("asking the engine for its disk usage: %w", err))
	}
	usage := make([]Usage, 0, len(infos))
	for _, i := range infos {
		usage = append(usage, newUsage(*i))
	}
	return usage, nil
}

// Prune removes what the engine keeps, least recently used first, until at most keep bytes are left. It returns
// how many bytes were freed.
func (e *Engine) Prune(ctx context.Context, keep int64) (int64, error) {
	opts := []client.PruneOption{client.PruneAll}
	if keep > 0 {
		opts = append(opts, client.WithKeepOpt(0, 0, keep, 0))
	}
	removed := make(chan client.UsageInfo)
	var freed int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for r := range removed {
			freed += newUsage(r).Size
		}
	}()
	err := e.client.Prune(ctx, removed, opts...)
	close(removed)
	<-done
	if err != nil {
		return freed, e.Explain(fmt.Errorf("pruning the engine's cache: %w", err))
	}
	return freed, nil
}

func newUsage(i client.UsageInfo) Usage {
	u := Usage{ID: i.ID, Description: i.Description, Size: max(i.Size, 0), InUse: i.InUse, LastUsed: i.CreatedAt}
	if i.LastUsedAt != nil {
		u.LastUsed = *i.LastUsedAt
	}
	return u
}
