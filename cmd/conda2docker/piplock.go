package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/datalayer/conda2docker/builder/layer"
	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/lock"
	"github.com/datalayer/conda2docker/conda/pip"
)

// askPip has the pip of the packages that were chosen choose its own, in the base that a build would take.
func (l *locking) askPip(ctx context.Context, s *stage, b *build, in input, env resolved, records []*conda.Record) ([]lock.PipPackage, string, error) {
	var err error
	if env.lock, err = b.newLock(in, env, records); err != nil {
		return nil, "", err
	}
	if env.records, err = env.lock.Records(env.subdir); err != nil {
		return nil, "", err
	}
	if err := b.checkPip(in, env); err != nil {
		return nil, "", err
	}
	if env.target.base.Digest == "" {
		on, err := b.chooseTarget(ctx, s, in)
		if err != nil {
			return nil, "", fmt.Errorf("choosing a base image to ask pip in (--base names one): %w", err)
		}
		env.target.base = on.base
	}
	root, err := b.plainRoot(ctx, s, in, env)
	if err != nil {
		return nil, "", err
	}
	p, err := b.newPipSection(s, in, env, root)
	if err != nil {
		return nil, "", err
	}
	if p.from = "."; l.options.Output != "-" {
		p.from = filepath.Dir(l.options.Output)
	}
	p.kept = l.keptByPip(env.subdir)
	if _, err := l.build.openEngine(ctx); err != nil {
		return nil, "", err
	}
	b.opened = l.build.opened // one for all platforms
	files, err := p.choose(ctx)
	if err != nil && len(p.kept) > 0 {
		b.console.say("note: with what the lock has of pip's packages there is no solution: all of them are chosen anew")
		p.kept = nil
		files, err = p.choose(ctx)
	}
	return packagesOf(files), pipRecord(env.records).Version.String(), err
}

// plainRoot is the base with the packages on it, as far as pip needs them.
func (b *build) plainRoot(ctx context.Context, s *stage, in input, env resolved) (execution, error) {
	archives, _, err := b.fetchArchives(ctx, s, env)
	if err != nil {
		return execution{}, err
	}
	cache, err := b.openLayers(in)
	if err != nil {
		return execution{}, err
	}
	segments, _, err := b.makeSegments(ctx, s, cache, env, archives)
	if err != nil {
		return execution{}, err
	}
	if segments, _, err = cache.Settle(ctx, segments); err != nil {
		return execution{}, err
	}
	all, err := cache.Layers(ctx, layer.Groups(segments, layer.DefaultBudget), 0)
	return execution{base: env.target.base, layers: all, epoch: b.epoch(env.records)}, err
}

// keptByPip are constraints that keep what the old lock has of pip's packages, but for those that shall be chosen anew.
func (l *locking) keptByPip(s conda.Subdir) []string {
	if l.old == nil {
		return nil
	}
	var out []string
	for _, k := range pipPackages(l.old, s) {
		anew := slices.ContainsFunc(l.options.Update, func(name string) bool { return pip.NormalName(name) == pip.NormalName(k.Name) })
		if !anew && k.Source == "" && strings.Contains(k.URL, "://") {
			out = append(out, k.Name+"=="+k.Version)
		}
	}
	return out
}
