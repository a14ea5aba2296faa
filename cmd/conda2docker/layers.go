package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/datalayer/conda2docker/builder/graph"
	"github.com/datalayer/conda2docker/builder/layer"
	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/fetch"
	"github.com/datalayer/conda2docker/conda/link"
	"github.com/datalayer/conda2docker/scan"
)

// layers is the environment as layers of an image.
type layers struct {
	segments    []layer.Segment // in link order
	compiled    []layer.Segment // what the segments' python files were compiled to; nil where nothing is
	all         []layer.Layer   // in the image's order; the environment layer is the last one
	scripts     []script        // the packages' post-link scripts
	last        []graph.Step    // to be run after all others
	activatable activatable
	user        user
	epoch       time.Time
}

// makeLayers fetches the packages, turns each into a segment and groups those.
func (b *build) makeLayers(ctx context.Context, s *stage, in input, env resolved) (layers, string, error) {
	s.show("vulnerability database")
	if err := scan.Prepare(b.scanOptions()); err != nil {
		return layers{}, "", err
	}
	cache, err := b.openLayers(in)
	if err != nil {
		return layers{}, "", err
	}
	if err := b.canCompile(cache, env); err != nil {
		return layers{}, "", err
	}
	got, fetched, err := b.fetchArchives(ctx, s, env)
	if err != nil {
		return layers{}, "", err
	}
	lockWritten := ""
	if !b.wantsPip(in, env) { // else it is not complete yet
		if err := b.writeLock(env); err != nil {
			return layers{}, "", err
		}
		lockWritten = b.lockWritten(env)
	}
	out := layers{user: userOf(env.target.base, b.profile), epoch: b.epoch(env.records)}
	var made int
	if out.segments, made, err = b.makeSegments(ctx, s, cache, env, got); err != nil {
		return layers{}, "", err
	}
	for _, g := range out.segments {
		for _, w := range g.Package.Warnings {
			b.console.say("warning: %s: %s", g.Dist, w)
		}
	}
	if out.compiled, err = b.bytecode(ctx, s, cache, env, out.segments, got); err != nil {
		return layers{}, "", err
	}
	left := uncompiled(out.segments, out.compiled)
	all, conflicts, err := cache.Settle(ctx, behind(out.segments, out.compiled))
	if err != nil {
		return layers{}, "", err
	}
	out.segments, out.compiled = apart(all, out.compiled)
	for _, w := range conflicts.Warnings {
		b.console.say("warning: %s", w)
	}
	if out.activatable, err = findActivatable(ctx, cache, out.segments); err != nil {
		return layers{}, "", err
	}
	if out.scripts, err = b.findScripts(ctx, cache, env, out.segments); err != nil {
		return layers{}, "", err
	}
	if out.all, err = cache.Layers(ctx, layer.Groups(all, b.options.MaxLayers), 0); err != nil {
		return layers{}, "", err
	}
	files, err := environmentFilesOf(in, env, out)
	if err != nil {
		return layers{}, "", err
	}
	last, err := cache.Environment(ctx, layer.Environment{
		Prefix: prefix, Files: files, Winners: conflicts.Winners, Epoch: out.epoch,
	})
	if err != nil {
		return layers{}, "", err
	}
	out.all = append(out.all, last)
	if err := b.addFiles(ctx, cache, in, env, &out); err != nil {
		return layers{}, "", err
	}
	return out, fmt.Sprintf("%s; %d segments made, %d layers%s", fetched, made, len(out.all), left+lockWritten), nil
}

// fetchArchives has the packages' archives in the cache, verified, and says how much there was to do.
func (b *build) fetchArchives(ctx context.Context, s *stage, env resolved) ([]fetch.Archive, string, error) {
	archives := fetch.Archives{Client: env.client, Dir: filepath.Join(b.settings.Cache.Dir, "archives"), Verify: true}
	var fetched, cached int64
	got, err := archives.FetchAll(ctx, env.records, 0, func(p fetch.Progress) {
		if p.Done && p.Cached {
			cached += p.Bytes
		} else if p.Done {
			fetched += p.Bytes
		}
		s.show(fmt.Sprintf("%s %s", p.Record.Dist(), bytesize(p.Bytes)))
	})
	return got, fmt.Sprintf("%s fetched, %s cached", bytesize(fetched), bytesize(cached)), err
}

func (b *build) openLayers(in input) (*layer.Cache, error) {
	linker, err := b.settings.linker(in.conda)
	if err != nil {
		return nil, err
	}
	return layer.Open(layer.Options{Dir: b.settings.Cache.Dir, Compression: b.options.Compression, Verify: true, Linker: linker})
}

// linkTarget is what packages are linked for.
func (b *build) linkTarget(env resolved) link.Target {
	return link.Target{Prefix: prefix, Subdir: b.options.Subdir, Python: pythonOf(env.records)}
}

// makeSegments turns each archive into a segment, and says how many were not there before.
func (b *build) makeSegments(ctx context.Context, s *stage, cache *layer.Cache, env resolved, archives []fetch.Archive) ([]layer.Segment, int, error) {
	target := b.linkTarget(env)
	inputs := make([]layer.Input, len(archives))
	for i, a := range archives {
		inputs[i] = layer.Input{Record: env.records[i], ArchivePath: a.Path, ArchiveSHA256: a.SHA256, Target: target}
	}
	made := 0
	segments, err := cache.Segments(ctx, inputs, 0, func(e layer.Event) {
		if !e.Cached {
			made++
		}
		s.show(fmt.Sprintf("layer segments %d/%d: %s", e.Done, e.Total, e.Segment.Dist))
	})
	return segments, made, err
}

// epoch is the time that the image says it was made: SOURCE_DATE_EPOCH, else that of the newest package in it, so that the same
// packages make the same image.
func (b *build) epoch(records []*conda.Record) time.Time {
	if b.options.Epoch != nil {
		return *b.options.Epoch
	}
	var newest int64
	for _, r := range records {
		newest = max(newest, r.Timestamp)
	}
	return time.UnixMilli(newest).UTC().Truncate(time.Second)
}

// pythonOf is the environment's python.
func pythonOf(records []*conda.Record) *link.Python {
	for _, r := range records {
		if r.Name != "python" {
			continue
		}
		parts := strings.SplitN(r.Version.String(), ".", 3)
		if len(parts) < 2 {
			return nil
		}
		return &link.Python{Version: parts[0] + "." + parts[1], SitePackages: r.PythonSitePackagesPath}
	}
	return nil
}

// environmentFilesOf are the files that depend on the whole environment: conda's records of what is installed, and the user's account.
func environmentFilesOf(in input, env resolved, ls layers) ([]layer.File, error) {
	meta := prefix + "/conda-meta/"
	requested := map[conda.PackageName]string{}
	var specs []string
	for _, d := range in.env.Dependencies {
		requested[d.Spec.Name] = d.Spec.String()
		specs = append(specs, d.Spec.String())
	}
	var files []layer.File
	for i, r := range env.records {
		body, err := link.MetaRecord(ls.recorded(i), r, requested[r.Name])
		if err != nil {
			return nil, err
		}
		files = append(files, layer.File{Path: meta + r.Dist() + ".json", Body: body})
	}
	files = append(files, layer.File{Path: meta + "history", Body: link.History(link.Revision{
		Time: ls.epoch, Command: "conda2docker build", Tool: "conda2docker", Records: env.records, Specs: specs,
	})})
	if len(in.env.Variables) > 0 {
		body, err := stateFile(in.env.Variables)
		if err != nil {
			return nil, err
		}
		files = append(files, layer.File{Path: meta + "state", Body: body})
	}
	return append(files, ls.user.files(env.target.base)...), nil
}
