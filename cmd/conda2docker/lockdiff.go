package main

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/lock"
)

func lockDiffCommand(env environment) *cli.Command {
	return &cli.Command{
		Name: "diff", Usage: "say what is different in lock B", ArgsUsage: "A B",
		Description: "Prints the packages that were added (+), removed (-) and changed (~), by platform. The locks may be of any format that can be read:\nconda-lock, @EXPLICIT, pixi.lock. Nothing is printed where the packages are the same.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "exit-code", Usage: "exit with 1 when there is a difference, as git diff has it (default: always with 0)"},
			&cli.StringFlag{Name: "lock-environment", Usage: "`NAME` of the environment that is meant of a pixi.lock"},
			&cli.StringFlag{Name: "platform", Usage: "look at one conda `SUBDIR` only"},
		},
		Action: func(c *cli.Context) error {
			if c.NArg() != 2 {
				return usageError{fmt.Errorf("lock diff needs two locks, for example: conda2docker lock diff old.yml new.yml")}
			}
			var locks [2]*lock.Lock
			only := conda.Subdir(c.String("platform"))
			if _, err := conda.ParseSubdir(string(only)); err != nil && only != "" {
				return usageError{fmt.Errorf("--platform: %w", err)}
			}
			for i, path := range c.Args().Slice() {
				var err error
				if locks[i], err = readForDiff(path, c.String("lock-environment")); err != nil {
					return usageError{err}
				}
				for _, s := range locks[i].Subdirs() {
					if _, err := locks[i].Platform(s); err != nil && (only == "" || s == only) {
						_, _ = fmt.Fprintf(env.Stderr, "note: %s is compared without what cannot be had: %v\n", s, err)
					}
				}
			}
			changes := lock.Diff(locks[0], locks[1])
			changes = slices.DeleteFunc(changes, func(d lock.Change) bool { return only != "" && d.Subdir != only })
			for _, line := range diffLines(changes) {
				if _, err := fmt.Fprintln(env.Stdout, line); err != nil {
					return fmt.Errorf("writing the difference: %w", err)
				}
			}
			if c.Bool("exit-code") && len(changes) > 0 {
				return fmt.Errorf("%s and %s differ", c.Args().Get(0), c.Args().Get(1))
			}
			return nil
		},
	}
}

// readForDiff reads a lock; only a pixi.lock has environments to choose from.
func readForDiff(path, environment string) (*lock.Lock, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the lock: %w", err)
	}
	var o lock.Options
	if lock.Detect(data) == lock.Pixi {
		o.Environment = environment
	}
	return lock.Read(bytes.NewReader(data), path, o)
}

// diffLines are changes for people to read, below a line for each platform.
func diffLines(changes []lock.Change) []string {
	var out []string
	var last conda.Subdir
	for i, c := range changes {
		if i == 0 || c.Subdir != last {
			out = append(out, string(c.Subdir)+":")
		}
		last = c.Subdir
		name := c.Name
		if c.Manager != "conda" {
			name += " (" + c.Manager + ")"
		}
		if c.Category != lock.Main {
			name += " [" + c.Category + "]"
		}
		switch {
		case c.Old == nil:
			out = append(out, "  + "+name+" "+itemText(c.New))
		case c.New == nil:
			out = append(out, "  - "+name+" "+itemText(c.Old))
		case itemText(c.Old) != itemText(c.New):
			out = append(out, "  ~ "+name+" "+itemText(c.Old)+" -> "+itemText(c.New))
		case c.Old.Channel != c.New.Channel:
			out = append(out, "  ~ "+name+" "+itemText(c.Old)+": from "+c.New.Channel+", was from "+c.Old.Channel)
		default:
			out = append(out, "  ~ "+name+" "+itemText(c.Old)+": another file, "+c.New.URL)
		}
	}
	return out
}

func itemText(i *lock.Item) string { return strings.TrimSpace(i.Version + " " + i.Build) }
