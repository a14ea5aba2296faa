package main

import (
	"archive/tar"
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/datalayer/conda2docker/builder/graph"
	"github.com/datalayer/conda2docker/builder/layer"
	"github.com/datalayer/conda2docker/conda"
)

// postLinkMode says what becomes of the packages' post-link scripts.
type postLinkMode string

const (
	postLinkRun  postLinkMode = "run"
	postLinkSkip postLinkMode = "skip"
)

// script is a package's post-link script.
type script struct {
	record *conda.Record
	path   string // in the image
	digest digest.Digest
	speaks bool // it may leave a message
}

const (
	runnerPath  = "/run/conda2docker/post-link.sh"
	scriptLimit = 1 << 20
)

// postLinkRunner runs a script, and takes what it tells the user out of the prefix.
//
//go:embed postlink.sh
var postLinkRunner []byte

// findScripts reads the post-link scripts of the packages, in link order, and says what is not going to be run.
func (b *build) findScripts(ctx context.Context, cache *layer.Cache, env resolved, segments []layer.Segment) ([]script, error) {
	var out []script
	for i, s := range segments {
		if s.Package.Scripts.PreLink != "" {
			b.console.say("warning: %s has a pre-link script, which is not run: there is nothing yet when it would be (conda-forge forbids them)", s.Dist)
		}
		at := s.Package.Scripts.PostLink
		if at == "" {
			continue
		}
		found := script{record: env.records[i], path: path.Join(prefix, at)}
		if err := found.read(ctx, cache, s, at); err != nil {
			return nil, err
		}
		if b.options.PostLink == postLinkSkip {
			b.console.say("warning: the post-link script of %s is skipped (--post-link skip): what it does is not in the image", s.Dist)
		}
		out = append(out, found)
	}
	return out, nil
}

// read reads the script's bytes; one that is a link has none of its own, and may do anything.
func (s *script) read(ctx context.Context, cache *layer.Cache, segment layer.Segment, at string) (err error) {
	s.speaks = true
	e, ok := segment.Find(at)
	if !ok || e.Size == 0 || e.Link != "" {
		return nil
	}
	r, err := cache.Open(ctx, segment, e)
	if err != nil {
		return fmt.Errorf("reading the post-link script of %s: %w", segment.Dist, err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	body, err := io.ReadAll(io.LimitReader(r, scriptLimit))
	if err != nil {
		return fmt.Errorf("reading the post-link script of %s: %w", segment.Dist, err)
	}
	s.digest, s.speaks = digest.FromBytes(body), bytes.Contains(body, []byte("messages"))
	return nil
}

// postLinkSteps run the packages' scripts, in link order.
func (b *build) postLinkSteps(env resolved, scripts []script) ([]graph.Step, error) {
	if b.options.PostLink == postLinkSkip {
		return nil, nil
	}
	var steps []graph.Step
	for _, s := range scripts {
		if !env.target.base.Facts.Bash {
			return nil, fmt.Errorf("%s has a post-link script, which bash runs, and base image %s has no bash: choose another base, or leave the scripts out (--post-link skip)", s.record.Dist(), env.target.base.Ref)
		}
		steps = append(steps, graph.Step{
			Name:    "post-link script of " + s.record.Dist(),
			Args:    []string{"/bin/bash", runnerPath, s.path},
			Env:     append(stepEnvironment(env), scriptEnvironment(s.record)...),
			Dir:     prefix,
			Network: b.options.PostLinkNet,
			Files:   []graph.File{{Path: runnerPath, Body: postLinkRunner}},
			Output:  s.speaks,
		})
	}
	return steps, nil
}

// scriptEnvironment is what a package's script is told (CEP 32).
func scriptEnvironment(r *conda.Record) []string {
	return []string{
		"PREFIX=" + prefix, "ROOT_PREFIX=" + prefix, "PKG_NAME=" + string(r.Name), "PKG_VERSION=" + r.Version.String(),
		fmt.Sprintf("PKG_BUILDNUM=%d", r.BuildNumber),
	}
}

// tellMessages shows what the scripts that were run tell the user, as conda does when all is linked. The steps begin with theirs.
func (b *build) tellMessages(ctx context.Context, s *stage, env resolved, ls layers, steps []graph.Step) error {
	if b.options.PostLink == postLinkSkip {
		return nil
	}
	for i, script := range ls.scripts {
		if !script.speaks {
			continue
		}
		var said string
		e := execution{base: env.target.base, layers: ls.all, steps: steps[:i+1], epoch: ls.epoch}
		err := b.execute(ctx, s, e, func(_ *tar.Header, r io.Reader) error {
			body, err := io.ReadAll(io.LimitReader(r, scriptLimit))
			said = strings.TrimSpace(string(body))
			return err
		})
		if err != nil {
			return fmt.Errorf("reading what the post-link script of %s says: %w", script.record.Dist(), err)
		}
		if said != "" {
			b.console.say("note: %s says: %s", script.record.Dist(), said)
		}
	}
	return nil
}
