// Package builder has BuildKit assemble an image from a base, layers and steps, and export or push it.
package builder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/datalayer/conda2docker/builder/base"
	"github.com/datalayer/conda2docker/builder/engine"
	"github.com/datalayer/conda2docker/builder/graph"
	"github.com/datalayer/conda2docker/builder/layer"
	"github.com/datalayer/conda2docker/builder/registry"
)

// Request is one image to build.
type Request struct {
	Base   base.Image
	Layers []layer.Layer
	Steps  []graph.Step
	Config Config
	// Secrets are the values of the steps' secrets, by ID. They reach the steps and nothing else.
	Secrets map[string][]byte
	// Proxy is for steps with a network.
	Proxy graph.Proxy
	// Push sends the image to a registry, by digest; nil builds only the layout.
	Push *Push
	// Epoch is the time of everything in the image that has none of its own, and the latest that a file of a step
	// may have; default the beginning of 1970.
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
	// Annotations are the manifest's; a key has no white space. What the base's manifest has is not inherited.
	Annotations map[string]string
	// Plain drops the base's volumes and its stop signal; what no OCI image has, such as ONBUILD, is always dropped.
	Plain bool
}

// Variable is one environment variable.
type Variable struct{ Name, Value string }

// Push says where an image goes.
type Push struct {
	Repository name.Repository
	Registries registry.Registries // how it is reached, by us to see that all arrived, and by a BuildKit elsewhere
}

// Progress says how a build is shown.
type Progress struct {
	Out  io.Writer // nil shows nothing; a terminal gets BuildKit's live display
	Mode string    // "auto" (default), "tty", "plain" or "quiet"
}

// Image is an image that was built. It has no name yet.
type Image struct {
	Digest     digest.Digest
	Layout     string // folder of an OCI layout that holds this one image
	Descriptor ocispecs.Descriptor
	Manifest   ocispecs.Manifest
	Config     ocispecs.Image
	Size       int64 // of all compressed layers, with manifest and configuration
	// Pushed names the image in the registry; nil where it was not pushed.
	Pushed *name.Digest
}

// imagesDir is the cache's folder of built images: a layout for each, named by digest.
const imagesDir = "images"

// Build has the engine assemble an image. The result is always a layout in the cache and, with Push, the same
// digest in a registry's repository. Tags and final file names are the caller's to give, when he is content with
// the image.
func Build(ctx context.Context, eng *engine.Engine, req Request) (Image, error) {
	img, err := build(ctx, eng, req)
	if err != nil {
		return Image{}, fmt.Errorf("building the image: %w", err)
	}
	return img, nil
}

func build(ctx context.Context, eng *engine.Engine, req Request) (Image, error) {
	req, err := req.ready(eng)
	if err != nil {
		return Image{}, err
	}
	work, err := newLayout(filepath.Join(req.Dir, imagesDir), req.blobs())
	if err != nil {
		return Image{}, err
	}
	defer work.discard()
	d, err := req.assemble(ctx, eng, work)
	if err != nil {
		return Image{}, eng.Explain(err)
	}
	img, err := work.image(d)
	if err != nil {
		return Image{}, err
	}
	if err := req.check(img); err != nil {
		return Image{}, err
	}
	if img.Layout, err = work.keep(img); err != nil {
		return Image{}, err
	}
	if req.Push != nil {
		pushed := req.Push.Repository.Digest(d.String())
		if err := req.Push.arrived(ctx, pushed); err != nil {
			return Image{}, err
		}
		img.Pushed = &pushed
	}
	return img, nil
}

// ready is the request with its defaults, where the engine can do what it asks for.
func (r Request) ready(eng *engine.Engine) (Request, error) {
	if r.Dir == "" {
		return r, errors.New("no cache folder given")
	}
	if r.Epoch.IsZero() {
		r.Epoch = time.Unix(0, 0)
	}
	r.Epoch = r.Epoch.UTC().Truncate(time.Second)
	if len(r.Steps) > 0 {
		if err := eng.CanExec(); err != nil {
			return r, fmt.Errorf("the engine cannot run step %q: %w", r.Steps[0].Name, err)
		}
	}
	return r, nil
}

// assemble has the engine make the image, and returns its digest.
func (r Request) assemble(ctx context.Context, eng *engine.Engine, out *layout) (digest.Digest, error) {
	g, err := r.graph(ctx, eng, graph.Root)
	if err != nil {
		return "", err
	}
	exports, err := r.exports(out)
	if err != nil {
		return "", err
	}
	answer, err := r.solve(ctx, eng, g, exports...)
	if err != nil {
		return "", err
	}
	return imageDigest(answer)
}

// blobs are the layers that are on this disk and need no copying.
func (r Request) blobs() map[digest.Digest]string {
	m := make(map[digest.Digest]string, len(r.Base.Layers)+len(r.Layers))
	for _, l := range r.Base.Layers {
		m[l.Digest] = r.Base.Blob(l.Digest)
	}
	for _, l := range r.Layers {
		m[l.Digest] = l.Path
	}
	return m
}

// check makes sure that the image is what was asked for: the base's layers and the given ones, untouched and in
// order, and one layer for each step.
func (r Request) check(img Image) error {
	var want []digest.Digest
	for _, l := range r.Base.Layers {
		want = append(want, l.Digest)
	}
	for _, l := range r.Layers {
		want = append(want, l.Digest)
	}
	got := img.Manifest.Layers
	if len(got) != len(want)+len(r.Steps) || len(img.Config.RootFS.DiffIDs) != len(got) {
		return fmt.Errorf("the engine made an image of %d layers, want %d", len(got), len(want)+len(r.Steps))
	}
	for i, d := range want {
		if got[i].Digest != d {
			return fmt.Errorf("the engine changed layer %d from %s to %s", i+1, d, got[i].Digest)
		}
	}
	return nil
}

// arrived asks the registry for the digest.
func (p Push) arrived(ctx context.Context, image name.Digest) error {
	if _, err := p.Registries.Resolve(ctx, image); err != nil {
		return fmt.Errorf("looking for what was pushed, %s: %w", image, err)
	}
	return nil
}
