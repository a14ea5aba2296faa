package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// unpacker is conda-package-handling, as Debian has it.
type unpacker struct {
	cph, python, version string
}

// loop unpacks packages in Python that is running, in several processes where it is told so, and says the seconds.
const loop = `
import multiprocessing, os, sys, time
from conda_package_handling.api import extract

def one(package):
    extract(package, os.path.join(sys.argv[2], os.path.basename(package)))

start = time.perf_counter()
if sys.argv[1] == "1":
    for p in sys.argv[3:]:
        one(p)
else:
    with multiprocessing.Pool(int(sys.argv[1])) as pool:
        pool.map(one, sys.argv[3:], chunksize=1)
print(time.perf_counter() - start)
`

// findUnpacker finds the rival where apt installs it; a python that comes first in PATH may not be the one that has it.
func findUnpacker(ctx context.Context) (unpacker, error) {
	u := unpacker{cph: "/usr/bin/cph", python: "/usr/bin/python3"}
	out, _, err := timed(pinned(ctx, 1, u.python, "-c", "import conda_package_handling; print(conda_package_handling.__version__)"))
	if err == nil {
		_, err = os.Stat(u.cph)
	}
	if err != nil {
		return u, fmt.Errorf("looking for conda-package-handling, the rival; `apt-get install conda-package-handling` has it: %w", err)
	}
	u.version = strings.TrimSpace(string(out))
	return u, nil
}

// measure unpacks the packages in both ways, in folders of their own below dir.
func (u unpacker) measure(ctx context.Context, dir string, paths []string, cores int, c *contest) error {
	each, err := u.each(ctx, filepath.Join(dir, "each"), paths, cores)
	if err != nil {
		return err
	}
	once, err := u.once(ctx, filepath.Join(dir, "once"), paths, cores)
	c.each, c.once = append(c.each, each), append(c.once, once)
	return err
}

// each runs a process for each package, as many at a time as there are cores.
func (u unpacker) each(ctx context.Context, dir string, paths []string, cores int) (time.Duration, error) {
	start := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(cores)
	for _, path := range paths {
		g.Go(func() error {
			_, _, err := timed(pinned(ctx, cores, u.cph, "extract", "--dest", filepath.Join(dir, filepath.Base(path)), path))
			return err
		})
	}
	err := g.Wait()
	took := time.Since(start)
	return took, errors.Join(err, unpackedAll(dir, paths))
}

// once unpacks all packages without starting Python anew.
func (u unpacker) once(ctx context.Context, dir string, paths []string, cores int) (time.Duration, error) {
	out, _, err := timed(pinned(ctx, cores, append([]string{u.python, "-c", loop, strconv.Itoa(cores), dir}, paths...)...))
	if err != nil {
		return 0, fmt.Errorf("unpacking in Python: %w", err)
	}
	seconds, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	if err != nil {
		return 0, fmt.Errorf("unpacking in Python: %w", err)
	}
	return time.Duration(seconds * float64(time.Second)), unpackedAll(dir, paths)
}

// unpackedAll holds the rival to have done it.
func unpackedAll(dir string, paths []string) error {
	for _, path := range paths {
		if _, err := os.Stat(filepath.Join(dir, filepath.Base(path), "info", "index.json")); err != nil {
			return fmt.Errorf("the rival did not unpack %s: %w", filepath.Base(path), err)
		}
	}
	return nil
}
