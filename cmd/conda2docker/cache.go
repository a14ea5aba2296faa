package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/urfave/cli/v2"

	"github.com/datalayer/conda2docker/builder/engine"
)

// cacheLock is held shared by builds and alone by what takes things away.
const cacheLock = "cache.lock"

// cacheKinds are the cache's folders whose entries may vanish at any time, and what they hold. An entry's modification time is
// that of its last use.
func cacheKinds() [][2]string {
	return [][2]string{
		{"archives", "package archives"},
		{"repodata", "channel indexes"},
		{"wheels", "wheels built from source"},
		{"segments", "layer segments"},
		{"layers", "layers"},
		{"bases", "base images"},
		{"images", "built images"},
		{"sbom", "SBOMs"},
		{"evidence", "evidence of builds"},
	}
}

// defaultCacheLimit is settings.Cache.Limit's default.
const defaultCacheLimit = 50e9

func cacheCommand(env environment) *cli.Command {
	return &cli.Command{
		Name:   "cache",
		Usage:  "show or shrink what is kept between builds",
		Action: noCommand,
		Subcommands: []*cli.Command{
			{
				Name: "du", Usage: "show what the cache holds",
				Action: func(c *cli.Context) error {
					s, err := cacheSettings(c, env)
					if err != nil {
						return err
					}
					return diskUsage(env, s.Cache.Dir)
				},
			},
			{
				Name: "prune", Usage: "remove what was not used for longest, built images and their evidence included",
				Flags: []cli.Flag{&cli.StringFlag{Name: "keep", Usage: "`SIZE` that may stay, such as 10GB; 0 removes everything (default: the limit of the settings)"}},
				Action: func(c *cli.Context) error {
					s, err := cacheSettings(c, env)
					if err != nil {
						return err
					}
					keep, err := s.cacheLimit()
					if err != nil {
						return err
					}
					if c.IsSet("keep") {
						if keep, err = parseSize(c.String("keep")); err != nil {
							return usageError{fmt.Errorf("--keep: %w", err)}
						}
					}
					return prune(c.Context, env, s, keep)
				},
			},
		},
	}
}

// cacheSettings are the settings of a command that has no arguments.
func cacheSettings(c *cli.Context, env environment) (settings, error) {
	if c.Args().Present() {
		return settings{}, usageError{fmt.Errorf("%s has no arguments: what is %q?", c.Command.HelpName, c.Args().First())}
	}
	return loadSettings(env.Getenv)
}

// diskUsage prints the size of each kind; a file with several names counts once.
func diskUsage(env environment, dir string) error {
	seen := map[uint64]bool{}
	var total int64
	kinds := append(cacheKinds(), [2]string{"buildkit", "BuildKit's own"}, [2]string{"grype", "vulnerability database"})
	for _, k := range kinds {
		n, err := size(filepath.Join(dir, k[0]), seen)
		if err != nil {
			return err
		}
		total += n
		if _, err := fmt.Fprintf(env.Stdout, "%-10s %12s  %s\n", k[0], bytesize(n), k[1]); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(env.Stdout, "%-10s %12s  %s\n", "total", bytesize(total), dir)
	return err
}

// size adds up what is below path, counting each inode once.
func size(path string, seen map[uint64]bool) (int64, error) {
	var n int64
	err := filepath.WalkDir(path, func(_ string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return nil //nolint:nilerr // it vanished meanwhile
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			if seen[st.Ino] {
				return nil
			}
			seen[st.Ino] = true
			n += st.Blocks * 512
			return nil
		}
		n += info.Size()
		return nil
	})
	return n, err
}

// prune waits until no build uses the cache, then removes the least recently used entries until no more than keep bytes are left.
func prune(ctx context.Context, env environment, s settings, keep int64) error {
	removed, err := shrink(ctx, s.Cache.Dir, keep)
	if err != nil {
		return err
	}
	freed := int64(0)
	if _, err := os.Stat(filepath.Join(s.Cache.Dir, "buildkit")); err == nil && s.Builder == "" {
		opts, err := s.engine(func(text string) { _, _ = fmt.Fprintln(env.Stderr, text) })
		if err != nil {
			return err
		}
		if freed, err = pruneEngine(ctx, opts, keep); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(env.Stdout, "removed %s, and %s of BuildKit's\n", bytesize(removed), bytesize(freed))
	return err
}

// pruneEngine prunes what the embedded BuildKit keeps. State that is damaged is removed whole, if nothing may stay.
func pruneEngine(ctx context.Context, o engine.Options, keep int64) (freed int64, err error) {
	eng, err := engine.Open(ctx, o)
	if err == nil {
		freed, err = eng.Prune(ctx, keep)
		err = errors.Join(err, eng.Close())
	}
	if err == nil || keep > 0 || ctx.Err() != nil {
		return freed, err
	}
	rest, err := size(o.Root, map[uint64]bool{})
	return freed + rest, errors.Join(err, engine.Remove(ctx, o))
}

// entry is one thing of the cache that can be removed.
type entry struct {
	path string
	used time.Time
	size int64
}

// shrink waits until no build uses the cache, then removes what was not used for longest.
func shrink(ctx context.Context, dir string, keep int64) (int64, error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	lock := flock.New(filepath.Join(dir, cacheLock))
	if _, err := lock.TryLockContext(ctx, 200*time.Millisecond); err != nil {
		return 0, fmt.Errorf("waiting until no build uses the cache %s: %w", dir, err)
	}
	defer lock.Unlock() //nolint:errcheck // the process's end unlocks too
	return removeOldest(dir, keep)
}

// removeOldest removes entries, those that were not used for longest first, until no more than keep bytes are left. The caller
// holds the cache's lock.
func removeOldest(dir string, keep int64) (int64, error) {
	entries, total, err := cacheEntries(dir)
	if err != nil {
		return 0, err
	}
	slices.SortFunc(entries, func(a, b entry) int { return a.used.Compare(b.used) })
	var removed int64
	for _, e := range entries {
		if total-removed <= keep {
			break
		}
		if err := os.RemoveAll(e.path); err != nil {
			return removed, fmt.Errorf("shrinking the cache: %w", err)
		}
		removed += e.size
	}
	return removed, nil
}

func cacheEntries(dir string) (entries []entry, total int64, err error) {
	seen := map[uint64]bool{}
	for _, k := range cacheKinds() {
		children, err := os.ReadDir(filepath.Join(dir, k[0]))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		for _, c := range children {
			info, err := c.Info()
			if err != nil {
				continue
			}
			path := filepath.Join(dir, k[0], c.Name())
			n, err := size(path, seen)
			if err != nil {
				return nil, 0, err
			}
			entries = append(entries, entry{path: path, used: info.ModTime(), size: n})
			total += n
		}
	}
	return entries, total, nil
}

// clearUnfinished removes what is not whole and never will be: the caller holds the cache's lock, so nobody works on it. It is
// called ".tmp-*", in a kind's folder or one below.
func clearUnfinished(dir string) error {
	cache := os.DirFS(dir)
	for _, k := range cacheKinds() {
		for _, pattern := range []string{"/.tmp-*", "/*/.tmp-*"} {
			left, err := fs.Glob(cache, k[0]+pattern)
			if err != nil {
				return err
			}
			for _, name := range left {
				if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
					return fmt.Errorf("clearing away what a killed build left: %w", err)
				}
			}
		}
	}
	return nil
}

// cacheLimit is how large the cache may be when a build is done: half of it for BuildKit, half for the rest.
func (s settings) cacheLimit() (int64, error) {
	if s.Cache.Limit == "" {
		return defaultCacheLimit, nil
	}
	limit, err := parseSize(s.Cache.Limit)
	if err != nil {
		return 0, usageError{fmt.Errorf("settings: cache.limit: %w", err)}
	}
	return limit, nil
}

// trimCache keeps the cache below its limit, unless another build is using it: then that one will.
func (b *build) trimCache() error {
	limit, err := b.settings.cacheLimit()
	if err != nil {
		return err
	}
	lock := flock.New(filepath.Join(b.settings.Cache.Dir, cacheLock))
	if free, err := lock.TryLock(); err != nil || !free {
		return err
	}
	defer lock.Unlock() //nolint:errcheck // the process's end unlocks too
	removed, err := removeOldest(b.settings.Cache.Dir, limit/2)
	if removed > 0 {
		b.console.say("removed %s from the cache, what was not used for longest", bytesize(removed))
	}
	return err
}

// parseSize reads a number of bytes such as "10GB" or "512MiB".
func parseSize(s string) (int64, error) {
	number := strings.TrimRight(s, "BKMGTikmgtb ")
	factors := map[string]float64{
		"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12,
		"KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40,
	}
	factor, ok := factors[strings.ToUpper(strings.TrimSpace(s[len(number):]))]
	n, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || !(n >= 0 && n*factor < 1e18) {
		return 0, fmt.Errorf("size %q: want a number with a unit, such as 10GB", s)
	}
	return int64(n * factor), nil
}
