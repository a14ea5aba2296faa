package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"time"

	"github.com/datalayer/conda2docker/conda/lock"
	"github.com/datalayer/conda2docker/sbom"
	"github.com/datalayer/conda2docker/scan"
)

// evidence is what was found out about an image.
type evidence struct {
	sbom   *sbom.Document
	report *scan.Report
	steps  []stepChanges
	dir    string // where it is written
}

// list makes the SBOM from the image's bytes, in which the conda packages must be those that were resolved.
func (b *build) list(ctx context.Context, in input, env resolved, img built) (evidence, string, error) {
	epoch := img.Config.Created
	request := sbom.Request{
		Layout: img.Layout, Digest: img.Digest.String(), Records: env.records, Prefix: prefix, Version: version, Files: changedFiles(img.changes),
		CacheDir: filepath.Join(b.settings.Cache.Dir, "sbom"),
	}
	if epoch != nil {
		request.Epoch = *epoch
	}
	for _, w := range env.wheels {
		request.Python = append(request.Python, sbom.Distribution{Name: w.Name, Version: w.Version})
	}
	if len(in.targets) > 0 {
		request.Name = in.targets[0].Name()
	}
	doc, err := sbom.Generate(ctx, request)
	if err != nil {
		return evidence{}, "", err
	}
	ev := evidence{sbom: doc, steps: img.changes, dir: b.options.Evidence}
	if ev.dir == "" {
		ev.dir = filepath.Join(b.settings.Cache.Dir, "evidence", img.Digest.Encoded())
	}
	c := doc.Counts()
	return ev, fmt.Sprintf("%d packages: %d conda, %d python, %d deb", c.Total(), c.Conda, c.Python, c.Deb), nil
}

// scanOptions say which database is asked, and what the gate refuses.
func (b *build) scanOptions() scan.Options {
	update := b.settings.Scan.Update == nil || *b.settings.Scan.Update
	age := time.Duration(0) // Grype's own bound
	if !update {
		age = -1 // who keeps the database himself decides about its age
	}
	return scan.Options{
		DBDir: b.settings.Scan.DB, Update: update && !b.options.Offline, MaxAge: age, FailOn: b.options.FailOn, OnlyFixed: b.options.OnlyFixed, Version: version,
	}
}

// scan looks the packages up. Lock, SBOMs and report are written also when the gate refuses: they say why.
func (b *build) scan(ctx context.Context, env resolved, ev *evidence) (string, error) {
	var err error
	ev.report, err = scan.Scan(ctx, ev.sbom, b.scanOptions())
	var gate *scan.GateError
	if err != nil && !errors.As(err, &gate) {
		return "", err
	}
	for _, w := range ev.report.Warnings {
		b.console.say("warning: %s", w)
	}
	if werr := ev.write(env); werr != nil {
		return "", errors.Join(err, werr)
	}
	if gate != nil {
		b.console.say("the evidence is in %s", ev.dir)
	}
	return describeCounts(ev.report.Counts), err
}

func describeCounts(c scan.Counts) string {
	return fmt.Sprintf("%d critical, %d high, %d medium, %d low vulnerabilities", c.Critical, c.High, c.Medium, c.Low)
}

// evidenceLock is the lock as the evidence has it, and as the image's label speaks of it: which files were locked is said by their
// names alone, and the same wherever they lie.
func (r resolved) evidenceLock() *lock.Lock {
	out := *r.lock
	out.Sources = make([]string, len(r.lock.Sources))
	for i, s := range r.lock.Sources {
		out.Sources[i] = path.Base(s)
	}
	return &out
}

// write writes lock, SBOMs and report, each whole.
func (e evidence) write(env resolved) error {
	document := func(f sbom.Format) func(io.Writer) error {
		return func(w io.Writer) error { return e.sbom.Write(w, f) }
	}
	for _, f := range []struct {
		name  string
		write func(io.Writer) error
	}{
		{"conda-lock.yml", env.evidenceLock().WriteCondaLock},
		{sbom.SPDX.FileName(), document(sbom.SPDX)},
		{sbom.CycloneDX.FileName(), document(sbom.CycloneDX)},
		{sbom.Syft.FileName(), document(sbom.Syft)},
		{stepsFile, func(w io.Writer) error { return writeSteps(w, e.steps) }},
		{"grype.json", e.report.WriteJSON},
		{"grype.txt", e.report.WriteTable},
	} {
		var body bytes.Buffer
		if err := f.write(&body); err != nil {
			return fmt.Errorf("writing %s: %w", f.name, err)
		}
		if err := writeWhole(filepath.Join(e.dir, f.name), body.Bytes()); err != nil {
			return err
		}
	}
	return nil
}
