package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/opencontainers/go-digest"

	"github.com/datalayer/conda2docker/builder"
	"github.com/datalayer/conda2docker/builder/engine"
	"github.com/datalayer/conda2docker/builder/graph"
)

// built is an image that has no name yet.
type built struct {
	builder.Image
	pushed  []name.Digest // where it is, by digest, one per repository
	steps   []graph.Step  // what was executed in it
	changes []stepChanges // what that did, and what was skipped
}

// assemble has BuildKit put base, layers and steps together, and push the result by its digest.
func (b *build) assemble(ctx context.Context, s *stage, in input, env resolved, ls layers) (built, string, error) {
	steps, err := b.steps(env, ls)
	if err != nil {
		return built{}, "", err
	}
	steps = append(steps, ls.last...)
	if len(steps) > 0 {
		if err := b.needRuntime(); err != nil {
			return built{}, "", fmt.Errorf("%s: %w", steps[0].Name, err)
		}
	}
	eng, err := b.openEngine(ctx)
	if err != nil {
		return built{}, "", err
	}
	s.show("activation")
	act, err := b.activate(ctx, s, in, env, ls, steps)
	if err != nil {
		return built{}, "", err
	}
	config, err := b.imageConfig(in, env, ls, act)
	if err != nil {
		return built{}, "", err
	}
	request := builder.Request{
		Base: env.target.base, Layers: ls.all, Steps: steps, Config: config,
		Proxy: proxy(b.env.Getenv), Epoch: ls.epoch, Dir: b.settings.Cache.Dir, Progress: builder.Progress{Out: b.env.Stderr, Mode: b.options.Progress},
	}
	s.pause()
	out, err := b.buildImage(ctx, eng, request, in.targets)
	if err != nil {
		return built{}, "", err
	}
	out.steps = steps
	return b.conclude(ctx, s, env, ls, out)
}

// buildImage builds what is requested, for each of the repositories that it is pushed to.
func (b *build) buildImage(ctx context.Context, eng *engine.Engine, request builder.Request, targets []name.Tag) (built, error) {
	if !b.options.Push {
		image, err := builder.Build(ctx, eng, request)
		return built{Image: image}, err
	}
	var out built
	for _, repository := range repositories(targets) {
		request.Push = &builder.Push{Repository: repository, Registries: b.settings.Registries}
		image, err := builder.Build(ctx, eng, request)
		if err != nil {
			return built{}, err
		}
		if out.Digest != "" && out.Digest != image.Digest {
			return built{}, fmt.Errorf("the image for %s is %s, another than %s for the repository before", repository, image.Digest, out.Digest)
		}
		out.Image = image
		out.pushed = append(out.pushed, *image.Pushed)
	}
	return out, nil
}

// proxy is how this machine reaches the network, for the steps that have one.
func proxy(getenv func(string) string) graph.Proxy {
	value := func(name string) string {
		if v := getenv(name); v != "" {
			return v
		}
		return getenv(strings.ToLower(name))
	}
	return graph.Proxy{HTTP: value("HTTP_PROXY"), HTTPS: value("HTTPS_PROXY"), FTP: value("FTP_PROXY"), No: value("NO_PROXY"), All: value("ALL_PROXY")}
}

func (i built) describe() string {
	return fmt.Sprintf("%s, %d layers, %s", bytesize(i.Size), len(i.Manifest.Layers), short(i.Digest))
}

func short(d digest.Digest) string { return d.Algorithm().String() + ":" + d.Encoded()[:12] }

// repositories are those of the names, each once, in order.
func repositories(tags []name.Tag) []name.Repository {
	var out []name.Repository
	for _, t := range tags {
		if !slices.ContainsFunc(out, func(r name.Repository) bool { return r.Name() == t.Repository.Name() }) {
			out = append(out, t.Repository)
		}
	}
	return out
}
