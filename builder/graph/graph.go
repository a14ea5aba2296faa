// Package graph says as LLB what BuildKit has to do: the base, the layers merged onto it, the steps run on that.
package graph

import (
	"context"
	"errors"
	"io/fs"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/moby/buildkit/client/llb"

	"github.com/datalayer/conda2docker/builder/base"
	"github.com/datalayer/conda2docker/builder/layer"
)

// Input is all that a graph is made from; equal inputs make equal graphs.
type Input struct {
	Base   base.Image
	Layers []layer.Layer // in the image's order, above the base
	Steps  []Step        // run in order on the merged root; none keeps the build lazy
	// Pull lets BuildKit pull the base from its registry instead of being given the blobs on this disk.
	Pull bool
}

// Step is a command that runs in the image, as each of its layers is made.
type Step struct {
	Name    string   // what the progress and the image's history show
	Args    []string // the command, with an absolute path or one that is found on Env's PATH
	Env     []string // "KEY=value", in order
	Dir     string   // default "/"
	User    string   // default "0:0"
	Network bool     // default: only a loopback of its own
	Files   []File   // there, read-only, while the step runs
	Secrets []Secret // there, as files, while the step runs; no part of what a step is recognised by
}

// File is given to a step at an absolute path. It is a mount: nothing of it stays in the image.
type File struct {
	Path string
	Body []byte
	Mode fs.FileMode // default 0o444
}

// Secret is given to a step as a file that only its user reads; the solve carries the value.
type Secret struct {
	ID   string
	Path string
}

// Graph is what BuildKit is given.
type Graph struct {
	Definition *llb.Definition
	Stores     map[string]content.Store // by the name that the definition's sources have
}

// New makes the graph of an input.
func New(_ context.Context, _ Input) (*Graph, error) {
	return nil, errors.New("making the build graph: not yet written")
}
