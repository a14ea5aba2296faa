package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/opencontainers/go-digest"

	"github.com/datalayer/conda2docker/builder"
	"github.com/datalayer/conda2docker/builder/base"
	"github.com/datalayer/conda2docker/builder/graph"
)

// built is an image that has no name yet.
type built struct {
	builder.Image
	pushed []name.Digest // where it is, by digest, one per repository
}

// assemble has BuildKit put base, layers and steps together, and push the result by its digest.
func (b *build) assemble(ctx context.Context, s *stage, in input, env resolved, ls layers) (built, string, error) {
	steps, secrets, err := b.steps(in, env, ls)
	if err != nil {
		return built{}, "", err
	}
	if len(steps) > 0 {
		if err := b.needRuntime(); err != nil {
			return built{}, "", fmt.Errorf("%s: %w", steps[0].Name, err)
		}
	}
	eng, err := b.openEngine(ctx)
	if err != nil {
		return built{}, "", err
	}
	request := builder.Request{
		Base: env.target.base, Layers: ls.all, Steps: steps, Secrets: secrets, Config: b.imageConfig(in, env, ls),
		Proxy: proxy(b.env.Getenv), Epoch: ls.epoch, Dir: b.settings.Cache.Dir, Progress: builder.Progress{Out: b.env.Stderr, Mode: b.options.Progress},
	}
	s.pause()
	var out built
	if !b.options.Push {
		if out.Image, err = builder.Build(ctx, eng, request); err != nil {
			return built{}, "", err
		}
		return out, out.describe(), nil
	}
	for _, repository := range repositories(in.targets) {
		request.Push = &builder.Push{Repository: repository, Registries: b.settings.Registries}
		image, err := builder.Build(ctx, eng, request)
		if err != nil {
			return built{}, "", err
		}
		if out.Digest != "" && out.Digest != image.Digest {
			return built{}, "", fmt.Errorf("the image for %s is %s, another than %s for the repository before", repository, image.Digest, out.Digest)
		}
		out.Image = image
		out.pushed = append(out.pushed, *image.Pushed)
	}
	return out, out.describe(), nil
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

// imageConfig is what the image says of how it is run.
func (b *build) imageConfig(in input, env resolved, ls layers) builder.Config {
	variables := []builder.Variable{
		{Name: "PATH", Value: prefix + "/bin:" + basePath(env.target.base)},
		{Name: "CONDA_PREFIX", Value: prefix},
		{Name: "CONDA_DEFAULT_ENV", Value: "base"},
		{Name: "HOME", Value: ls.user.Home},
		{Name: "LANG", Value: "C.UTF-8"},
	}
	for _, v := range in.env.Variables {
		variables = append(variables, builder.Variable{Name: v.Name, Value: v.Value})
	}
	labels := map[string]string{"org.opencontainers.image.base.digest": env.target.base.Digest.String()}
	if env.target.base.Repository != "" { // a folder of this machine is nobody else's name for it
		labels["org.opencontainers.image.base.name"] = env.target.base.Ref
	}
	if in.env.Name != "" {
		labels["org.opencontainers.image.title"] = in.env.Name
	}
	if in.overlay != nil {
		labels["org.opencontainers.image.title"] = in.overlay.Title()
		for _, v := range in.overlay.Env() {
			variables = append(variables, builder.Variable{Name: v.Name, Value: v.Value})
		}
	}
	return builder.Config{Env: variables, User: ls.user.ID(), WorkingDir: ls.user.Home, Labels: labels}
}

// basePath is the search path that the base image has, without the environment's own.
func basePath(img base.Image) string {
	for _, kv := range img.Config.Config.Env {
		if p, ok := strings.CutPrefix(kv, "PATH="); ok && p != "" {
			return p
		}
	}
	return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
}
