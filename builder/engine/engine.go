// Package engine gives a BuildKit to talk to: embedded in a child process, or one that runs elsewhere.
package engine

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/moby/buildkit/client"

	"github.com/datalayer/conda2docker/builder/registry"
)

// Options says which BuildKit is used. The zero value, with a Root, is the embedded one.
type Options struct {
	// Root is the folder that the embedded engine keeps its state in.
	Root string
	// Address is where another BuildKit listens: unix://, tcp://, docker-container://, podman-container://,
	// nerdctl-container://, kube-pod:// or ssh://. The embedded one is used when it is empty.
	Address string
	// TLS is how a tcp:// address is spoken to; without it, plainly.
	TLS TLS
	// Registries says how the embedded engine reaches image registries.
	Registries registry.Registries
	// KeepBytes is how much the embedded engine's garbage collection leaves; 0 means 20 GB.
	KeepBytes int64
	// Log gets the embedded engine's own log; nil keeps its last lines for an error only.
	Log io.Writer
	// Say is told, once, when another build holds Root and is waited for.
	Say func(string)
}

// TLS names the PEM files for a connection that both ends authenticate.
type TLS struct {
	CA, Cert, Key, ServerName string
}

// Engine is a BuildKit that answers.
type Engine struct {
	client *client.Client
	stop   func() error
	remote bool
}

// ChildMain is called first thing in main. In the process that the program started as its embedded engine it
// serves until its parent ends and does not return; in any other process it returns at once.
func ChildMain() {}

// Open connects to a BuildKit, starting the embedded one where no address is given.
func Open(_ context.Context, _ Options) (*Engine, error) {
	return nil, errors.New("opening the engine: not yet written")
}

// Client speaks BuildKit's protocol with the engine.
func (e *Engine) Client() *client.Client { return e.client }

// Remote reports whether the engine is a BuildKit that runs elsewhere.
func (e *Engine) Remote() bool { return e.remote }

// Close ends the embedded engine, or the connection.
func (e *Engine) Close() error {
	err := e.client.Close()
	if e.stop != nil {
		err = errors.Join(err, e.stop())
	}
	return err
}

// Usage is one thing that an engine keeps.
type Usage struct {
	ID          string
	Description string
	Size        int64
	LastUsed    time.Time
	InUse       bool
}

// DiskUsage lists what the engine keeps.
func (e *Engine) DiskUsage(ctx context.Context) ([]Usage, error) {
	infos, err := e.client.DiskUsage(ctx)
	if err != nil {
		return nil, err
	}
	usage := make([]Usage, 0, len(infos))
	for _, i := range infos {
		u := Usage{ID: i.ID, Description: i.Description, Size: i.Size, InUse: i.InUse, LastUsed: i.CreatedAt}
		if i.LastUsedAt != nil {
			u.LastUsed = *i.LastUsedAt
		}
		usage = append(usage, u)
	}
	return usage, nil
}

// Prune removes what the engine keeps, least recently used first, until at most keep bytes are left, and
// returns how many were freed.
func (e *Engine) Prune(ctx context.Context, keep int64) (int64, error) {
	return 0, errors.New("pruning the engine: not yet written")
}

// NeedRuntime reports, as an error that says how to install it, that the OCI runtime that build steps run
// under is missing. It looks at this machine only: of another BuildKit nothing is known beforehand.
func NeedRuntime(Options) error { return nil }
