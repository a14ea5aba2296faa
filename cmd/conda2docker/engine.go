package main

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/datalayer/conda2docker/builder"
	"github.com/datalayer/conda2docker/builder/base"
	"github.com/datalayer/conda2docker/builder/engine"
	"github.com/datalayer/conda2docker/builder/graph"
	"github.com/datalayer/conda2docker/builder/layer"
)

// openEngine is the BuildKit of the whole run, opened when it is first needed. run closes it.
func (b *build) openEngine(ctx context.Context) (*engine.Engine, error) {
	if b.opened != nil {
		return b.opened, nil
	}
	opts, err := b.settings.engine(func(text string) { b.console.say("%s", text) })
	if err != nil {
		return nil, err
	}
	b.opened, err = engine.Open(ctx, opts)
	return b.opened, err
}

func (b *build) closeEngine() {
	if b.opened != nil {
		_ = b.opened.Close()
		b.opened = nil
	}
}

// execution is what is run in an image that is being made, for what it says and not for what it changes.
type execution struct {
	base    base.Image
	layers  []layer.Layer // on the base
	steps   []graph.Step  // the last one is asked; those before it lead to the root that it sees
	secrets map[string][]byte
	epoch   time.Time // the image's: what a step is told is part of what it is recognised by
}

// execute runs the steps, and hands out what the last one writes to graph.OutputDir.
func (b *build) execute(ctx context.Context, s *stage, e execution, receive func(*tar.Header, io.Reader) error) error {
	if err := b.needRuntime(); err != nil {
		return fmt.Errorf("%s: %w", e.steps[len(e.steps)-1].Name, err)
	}
	eng, err := b.openEngine(ctx)
	if err != nil {
		return err
	}
	s.pause()
	return builder.Run(ctx, eng, builder.Request{
		Base: e.base, Layers: e.layers, Steps: e.steps, Secrets: e.secrets, Proxy: proxy(b.env.Getenv), Epoch: e.epoch,
		Dir: b.settings.Cache.Dir, Progress: builder.Progress{Out: b.env.Stderr, Mode: b.options.Progress},
	}, receive)
}
