// Package builder has BuildKit assemble an image from a base, layers and steps, and export or push it.
package builder

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/datalayer/conda2docker/builder/base"
	"github.com/datalayer/conda2docker/builder/engine"
	"github.com/datalayer/conda2docker/builder/graph"
	"github.com/datalayer/conda2docker/builder/layer"
)

// Request is one image to build.
type Request struct {
	Base   base.Image
	Layers []layer.Layer
	Steps  []graph.Step
	Config Config
	// Secrets are the values of the steps' secrets, by ID. They reach the steps and nothing else.
	Secrets map[string][]byte
	// Push sends the image to a registry, by digest; nil builds only the layout.
	Push *Push
	// Epoch is the time that everything in the image which has no time of its own is given.
	Epoch time.Time
	// Dir is the program's cache; the image's layout is kept in its folder "images".
	Dir      string
	Progress Progress
}

// Config is what the image says of how it is run, on top of what its base says.
type Config struct {
	Env        []Variable // in order; one that the base has keeps its place and changes its value
	User       string     // "1000:100"
	WorkingDir string
	Entrypoint []string // nil keeps the base's
	Cmd        []string // nil keeps the base's, unless Entrypoint is set
	Labels     map[string]string
}

// Variable is one environment variable.
type Variable struct{ Name, Value string }

// Push says where an image goes.
type Push struct {
	Repository name.Repository
}

// Progress says how a build is shown.
type Progress struct {
	Out  io.Writer // nil shows nothing; a terminal gets BuildKit's live display
	Mode string    // "auto" (default), "tty", "plain" or "quiet"
}

// Image is an image that was built. It has no name yet.
type Image struct {
	Digest   digest.Digest
	Layout   string // folder of an OCI layout that holds this one image
	Manifest ocispecs.Manifest
	Config   ocispecs.Image
	Size     int64 // of all compressed layers, with manifest and configuration
	// Pushed names the image in the registry, where it was pushed.
	Pushed *name.Digest
}

// Build has the engine assemble an image. The result is always a layout in the cache, and, with Push, the same
// digest in a registry's repository; tags and final file names are the caller's, when it is content with the image.
func Build(_ context.Context, _ *engine.Engine, _ Request) (Image, error) {
	return Image{}, errors.New("building the image: not yet written")
}

// Output is a place that an image is exported to.
type Output struct {
	Type string // "oci-dir" (a folder) or "oci" (a tar file)
	Path string
	Name string // the reference that the layout's index names the image by; may be empty
}

// ExportTo writes the image to its final place, which appears at once and whole.
func (i Image) ExportTo(_ context.Context, _ Output) error {
	return errors.New("exporting the image: not yet written")
}
