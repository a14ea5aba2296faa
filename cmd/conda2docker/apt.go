package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/datalayer/conda2docker/builder"
	"github.com/datalayer/conda2docker/builder/base"
	"github.com/datalayer/conda2docker/builder/graph"
)

//go:embed apt.sh
var aptScript []byte

const aptPath = "/run/conda2docker/apt.sh"

// aptName is a package as apt-get is told of it: Debian policy's name, perhaps with an architecture, and a version or a release. A name
// that ends with "-" would be removed.
var aptName = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]*[a-z0-9+.](:[a-z0-9-]+)?([=/][A-Za-z0-9][A-Za-z0-9.+:~_-]*)?$`)

// aptPackages are the packages that are named, each by itself or in a file as repo2docker's apt.txt: a name a line, or several; "#"
// begins a comment. They are sorted: the order is of no meaning, and the step is recognised by them.
func aptPackages(args []string) ([]string, error) {
	var out []string
	for _, arg := range args {
		if !isAptFile(arg) {
			if !aptName.MatchString(arg) {
				return nil, fmt.Errorf("%q: want a package as NAME, NAME=VERSION or NAME/RELEASE, or a file as FILE.txt or ./FILE", arg)
			}
			out = append(out, arg)
			continue
		}
		body, err := os.ReadFile(arg)
		if err != nil {
			return nil, err
		}
		number := 0
		for line := range strings.Lines(string(body)) {
			number++
			line, _, _ = strings.Cut(line, "#")
			for _, name := range strings.Fields(line) {
				if !aptName.MatchString(name) {
					return nil, fmt.Errorf("%s:%d: %q: want a package as NAME, NAME=VERSION or NAME/RELEASE", arg, number, name)
				}
				out = append(out, name)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// isAptFile tells files from packages, whatever there is in the folder.
func isAptFile(arg string) bool {
	return strings.HasSuffix(arg, ".txt") || strings.HasPrefix(arg, "/") || strings.HasPrefix(arg, "./") || strings.HasPrefix(arg, "../")
}

// withApt is the base image with Debian packages installed in it: an image of its own, which all that follows is put on. Which versions
// those are, the sources that the base has decide when the step first runs.
func (b *build) withApt(ctx context.Context, s *stage, original base.Image, o base.Options) (base.Image, error) {
	packages := b.options.Apt
	if len(packages) == 0 || b.locks {
		return original, nil
	}
	what := aptStep(packages)
	switch {
	case !original.Facts.Apt:
		return original, fmt.Errorf("%s: base image %s has no apt-get: choose one of Debian's family, or find the packages in a conda channel", what, original.Ref)
	case b.options.Offline:
		return original, usageError{fmt.Errorf("%s: they are installed from the network: leave them out, or build without --offline", what)}
	}
	if err := b.needRuntime(); err != nil {
		return original, fmt.Errorf("%s: %w", what, err)
	}
	eng, err := b.openEngine(ctx)
	if err != nil {
		return original, err
	}
	step := graph.Step{
		Name: what, Args: append([]string{"/bin/sh", aptPath}, packages...), Env: append(slices.Clone(original.Config.Config.Env), "LC_ALL=C"),
		Files: []graph.File{{Path: aptPath, Body: aptScript}}, Network: true,
	}
	s.pause()
	img, err := builder.Build(ctx, eng, builder.Request{
		Base: original, Steps: []graph.Step{step}, Proxy: proxy(b.env.Getenv), Epoch: b.baseEpoch(original),
		Dir: b.settings.Cache.Dir, Progress: builder.Progress{Out: b.env.Stderr, Mode: b.options.Progress},
	})
	if err != nil {
		return original, fmt.Errorf("installing the %s: %w\nthe base's own sources (/etc/apt) say which packages there are: a name that they lack is for another release or component", what, err)
	}
	out, err := base.Open(ctx, fmt.Sprintf("oci-layout:%s@%s", img.Layout, img.Digest), o)
	out.Ref = original.Ref // to people, it is the same
	return out, err
}

// aptStep is what the step is called.
func aptStep(packages []string) string { return "apt packages " + strings.Join(packages, ", ") }

// baseEpoch is the time of what is added to a base before the environment is known: SOURCE_DATE_EPOCH, else the base's own.
func (b *build) baseEpoch(img base.Image) time.Time {
	switch {
	case b.options.Epoch != nil:
		return *b.options.Epoch
	case img.Config.Created != nil:
		return *img.Config.Created
	}
	return time.Unix(0, 0)
}
