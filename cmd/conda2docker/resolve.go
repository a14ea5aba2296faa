package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/datalayer/conda2docker/cmd/internal/largepages"
	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/condarc"
	"github.com/datalayer/conda2docker/conda/fetch"
	"github.com/datalayer/conda2docker/conda/lock"
	"github.com/datalayer/conda2docker/conda/repodata"
	"github.com/datalayer/conda2docker/conda/solve"
)

// resolved is the environment as it will be in the image.
type resolved struct {
	target  target
	subdir  conda.Subdir
	records []*conda.Record // in link order
	lock    *lock.Lock
	locked  bool    // the lock was there
	wheels  []wheel // what pip installs, once they are there
	client  *fetch.Client
	favored []*conda.Record // those that the solver shall keep where it can
}

// resolve opens the base, and finds the packages: those of the lock, where it was made from the same input, else those that the
// solver chooses from the channels.
func (b *build) resolve(ctx context.Context, s *stage, in input) (resolved, string, error) {
	out := resolved{subdir: b.options.Subdir}
	var err error
	if out.target, err = b.chooseTarget(ctx, s, in); err != nil {
		return out, "", err
	}
	in = b.withInit(in, out.target.base.Facts.Tini != "")
	if out.client, err = b.client(in); err != nil {
		return out, "", err
	}
	locked, name, err := b.usableLock(in, out.target)
	if err != nil {
		return out, "", err
	}
	var records []*conda.Record
	from := "resolved"
	if locked != nil {
		from = "locked in " + name
		records, err = locked.Records(b.options.Subdir)
	} else {
		records, err = b.solve(ctx, s, in, out)
	}
	if err != nil {
		return out, "", err
	}
	if err := b.checkAccelerator(in, out.target, records); err != nil {
		return out, "", err
	}
	out.lock, out.locked = locked, locked != nil
	if !out.locked {
		if out.lock, err = b.newLock(in, out, records); err != nil {
			return out, "", err
		}
	}
	// What was just resolved is taken from the lock too: the image is the same when it is built from the file.
	if out.records, err = out.lock.Records(b.options.Subdir); err != nil {
		return out, "", err
	}
	if err := b.checkProfile(in, out); err != nil {
		return out, "", err
	}
	if err := b.checkPip(in, out); err != nil {
		return out, "", err
	}
	var size int64
	for _, r := range out.records {
		size += r.Size
	}
	return out, fmt.Sprintf("%d packages %s, %s; base %s (%s: %s)", len(out.records), from, bytesize(size), out.target.base.Ref, out.target.accelerator, out.target.reason), nil
}

// client is how channels are reached: conda's configuration, and this program's settings on top of it.
func (b *build) client(in input) (*fetch.Client, error) { return fetch.New(b.fetchOptions(in)) }

func (b *build) fetchOptions(in input) fetch.Options {
	o := in.conda.Fetch()
	maps.Copy(o.Mirrors, b.settings.Mirrors)
	o.Offline = o.Offline || b.options.Offline
	o.UserAgent = "conda2docker/" + version
	o.Waiting = b.console.waiting
	o.Retrying = func(err error, pause time.Duration) {
		b.console.say("warning: %v: it is tried again in %s", err, seconds(pause))
	}
	return o
}

// priorityOf is the channel priority that conda's configuration names; it has checked it.
func priorityOf(s string) solve.Priority {
	switch s {
	case condarc.Flexible:
		return solve.Flexible
	case condarc.Disabled:
		return solve.Disabled
	}
	return solve.Strict
}

// What an index can do beyond answering is found out by the solver: it is not to be lost unseen.
var (
	_ solve.Prefetcher = (*repodata.Index)(nil)
	_ solve.Namer      = (*repodata.Index)(nil)
	_ solve.Elsewherer = (*repodata.Index)(nil)
)

// solve asks the channels and the solver.
func (b *build) solve(ctx context.Context, s *stage, in input, env resolved) ([]*conda.Record, error) {
	s.show("channel indexes")
	largepages.Ask()
	index, err := repodata.Open(ctx, repodata.Options{
		Channels: in.channels, Subdirs: []conda.Subdir{b.options.Subdir, conda.NoArchSubdir}, Client: env.client,
		Dir: filepath.Join(b.settings.Cache.Dir, "repodata"), Warn: func(w string) { b.console.say("warning: %s", w) },
		Current: b.options.Refresh, Others: in.conda.Channels(),
	})
	var unknown *repodata.UnknownChannelError
	if errors.As(err, &unknown) {
		return nil, blameFile(in, unknown.Channel.URL, err)
	}
	if err != nil {
		return nil, err
	}
	s.show("solving")
	if err := checkForeign(ctx, index, in.env, b.options.Subdir); err != nil {
		return nil, err
	}
	favored, err := indexed(ctx, index, env.favored)
	if err != nil {
		return nil, err
	}
	solution, err := solve.Solve(ctx, index, solve.Request{
		Specs: in.env.Specs(), Virtual: env.target.virtual, Channels: in.channels, Priority: priorityOf(in.conda.Priority),
		Favored: favored, Hints: hints(env.target.virtual, b.locks),
	})
	return solution.Records, err
}

// indexed are records as the channels have them now; those that they do not have are left out: they are of another channel, or were
// taken back.
func indexed(ctx context.Context, index *repodata.Index, records []*conda.Record) ([]*conda.Record, error) {
	var out []*conda.Record
	for _, r := range records {
		all, err := index.Records(ctx, r.Name)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(all, func(o *conda.Record) bool {
			return o.FileName == r.FileName && o.Subdir == r.Subdir && (r.SHA256 == "" || o.SHA256 == r.SHA256) && (r.MD5 == "" || o.MD5 == r.MD5)
		})
		if i >= 0 {
			out = append(out, all[i])
		}
	}
	return out, nil
}

// newLock makes the lock of what was resolved.
func (b *build) newLock(in input, env resolved, records []*conda.Record) (*lock.Lock, error) {
	return lock.New(in.channels, sources(in.env.Files, b.options.Lock), lock.Platform{
		Subdir: env.subdir, Request: in.request(env.subdir), Virtual: env.target.virtual, Packages: lock.Packages(records),
	})
}

// writeLock writes a new lock where the flags name a file. It is called when the packages have been fetched and verified: no lock
// speaks of what cannot be had.
func (b *build) writeLock(env resolved) error {
	if b.options.Lock == "" || env.locked {
		return nil
	}
	// A list of URLs stays one.
	format := lock.CondaLock
	if old, err := os.ReadFile(b.options.Lock); err == nil && lock.Detect(old) == lock.Explicit {
		format = lock.Explicit
	}
	body, err := lockBody(env.lock, format)
	if err != nil {
		return err
	}
	return writeWhole(b.options.Lock, body)
}

// lockWritten says so.
func (b *build) lockWritten(env resolved) string {
	if b.options.Lock == "" || env.locked {
		return ""
	}
	return ", " + b.options.Lock + " written"
}
