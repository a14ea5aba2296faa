package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/datalayer/conda2docker/conda/condatest"
)

// packageGroup is packages that are measured together.
type packageGroup struct {
	name  string // with %d for how many there are, until that is known
	paths []string
}

// contest is how long each took for the packages of a group.
type contest struct {
	ours, each, once []time.Duration // each is a process for each package, once is one that goes on
	tarSize          int64           // bytes of the packages' layer segments, unpacked
	peak             int64           // bytes that conda2docker's process had in memory at most
}

// benchLayers makes layer segments of packages: linked, and compressed again. The rival only unpacks them to disk.
func benchLayers(ctx context.Context, b *bench) error {
	rival, err := findUnpacker(ctx)
	if err != nil {
		return err
	}
	groups, err := b.packageGroups(ctx)
	if err != nil {
		return err
	}
	b.heading("Layers", fmt.Sprintf("`make bench` → `bench layers`: from packages on disk to layer segments on disk: decompressed, linked, summed, and compressed again with gzip. "+
		"The rival, conda-package-handling %s, decompresses the same packages to files: `cph extract`, a process for each package, and its own function in a loop inside of Python that is "+
		"running (with two cores: two processes at a time, in both). MB are those of the unpacked tars. One core is `taskset`'s. Medians of %d, in turn.", rival.version, b.runs))
	rows := [][]string{{"packages", "cores", "conda2docker", "peak", "`cph extract`", "cph / it", "cph in a loop", "cph in a loop / it"}}
	for _, g := range groups {
		for _, cores := range []int{1, 2} {
			say("%s with %d cores", g.name, cores)
			c, err := b.contest(ctx, rival, g.paths, cores)
			if err != nil {
				return fmt.Errorf("%s: %w", g.name, err)
			}
			ours, each, once := median(c.ours), median(c.each), median(c.once)
			rows = append(rows, []string{
				g.name, fmt.Sprint(cores), c.speed(ours), megabytes(c.peak), c.speed(each), times(each, ours), c.speed(once), times(once, ours),
			})
		}
	}
	b.table(rows)
	return nil
}

func (c contest) speed(took time.Duration) string {
	return fmt.Sprintf("%.0f MB/s (%s)", float64(c.tarSize)/1e6/took.Seconds(), shown(took))
}

// contest has each do the same in turn.
func (b *bench) contest(ctx context.Context, rival unpacker, paths []string, cores int) (contest, error) {
	var c contest
	for range b.runs {
		dir, err := os.MkdirTemp(b.dir, "layers-")
		if err != nil {
			return c, err
		}
		ours, err := runSegments(ctx, filepath.Join(dir, "segments"), paths, cores)
		c.ours, c.tarSize, c.peak = append(c.ours, ours.Took), ours.TarSize, max(c.peak, ours.Peak)
		if err == nil {
			err = rival.measure(ctx, dir, paths, cores, &c)
		}
		if err := errors.Join(err, os.RemoveAll(dir)); err != nil {
			return c, err
		}
	}
	return c, nil
}

// packageGroups are the sandbox's channel and the corpus's packages, by format, without those that are broken on purpose.
func (b *bench) packageGroups(ctx context.Context) ([]packageGroup, error) {
	channel := filepath.Join(filepath.Dir(b.dir), "sandbox", "channel")
	groups := []packageGroup{{"%d .conda of the sandbox's channel", find(channel, ".conda")}}
	if len(groups[0].paths) == 0 {
		return nil, fmt.Errorf("%s holds no packages: `make sandbox` makes them", channel)
	}
	if corpus := os.Getenv(condatest.CorpusVariable); corpus != "" {
		for _, format := range []string{".conda", ".tar.bz2"} {
			groups = append(groups, packageGroup{"%d real " + format, find(filepath.Join(corpus, "packages"), format)})
		}
	}
	for i, g := range groups {
		var sound []string
		for _, path := range g.paths {
			if _, err := makeSegments(ctx, filepath.Join(b.dir, "probe"), []string{path}, 1); err != nil {
				say("left out: %v", err)
				continue
			}
			sound = append(sound, path)
		}
		if len(sound) == 0 {
			return nil, fmt.Errorf("none of "+g.name+" can be linked", len(g.paths))
		}
		groups[i] = packageGroup{fmt.Sprintf(g.name, len(sound)), sound}
	}
	return groups, os.RemoveAll(filepath.Join(b.dir, "probe"))
}

// find is the packages of a channel's folder.
func find(dir, suffix string) []string {
	all, _ := filepath.Glob(filepath.Join(dir, "*", "*"+suffix)) // the pattern is sound
	return all
}
