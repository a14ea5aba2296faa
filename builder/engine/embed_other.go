//go:build !linux

package engine

import (
	"context"
	"fmt"
	"runtime"

	"github.com/moby/buildkit/client"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// ChildMain returns at once: only on Linux there is an embedded engine.
func ChildMain() {}

// child is the embedded engine, which there is none of here.
type child struct {
	client  *client.Client
	canExec error
}

func (c *child) explain(err error) error { return err }
func (c *child) close() error            { return nil }

func startChild(context.Context, Options) (*child, error) { return nil, needPlatform() }

// Remove has nothing to take away here.
func Remove(context.Context, Options) error { return nil }

func needPlatform() error {
	return fmt.Errorf("the embedded BuildKit runs on Linux only, not on %s: name one that runs elsewhere, "+
		"such as --builder docker-container://NAME", runtime.GOOS)
}

func needRights() error { return nil }

func needProcessor(ocispecs.Platform) error { return nil }
