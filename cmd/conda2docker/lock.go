package main

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/lock"
)

// lockOptions is what the flags of lock say, checked.
type lockOptions struct {
	build   buildOptions   // what resolving is given, without the platform
	Subdirs []conda.Subdir // empty: those that the environment names
	Output  string         // file, "-" for stdout
	Format  lock.Format
	Glibc   string
	Lock    string // the file that is checked or updated; the output where it is not named
	Check   bool
	Update  []string // packages; empty: everything is chosen anew
}

const lockDescription = `Chooses the exact packages of an environment, and writes them to a file, with checksums: whoever builds from it gets the same packages.
No base image is needed: what packages may expect of the system that they will run on is assumed, and is noted in the lock.
A build accepts the lock for every base image that has at least that. A pip section is the exception: its packages are chosen by the
pip of these packages, run in the base image that a build would take.

   conda2docker lock environment.yml --output conda-lock.yml            # for this to be built: build --lock conda-lock.yml environment.yml
   conda2docker lock environment.yml -o - --format explicit             # a list of URLs, for conda create --file
   conda2docker lock environment.yml -o conda-lock.yml --check          # exit code 5 when the environment has changed since
   conda2docker lock environment.yml -o conda-lock.yml --update numpy   # a newer numpy; all else stays, as far as it can
   conda2docker lock diff old.yml conda-lock.yml                        # what is different`

func lockCommand(env environment) *cli.Command {
	return &cli.Command{
		Name: "lock", Usage: "write down the exact packages of an environment",
		ArgsUsage: "ENVIRONMENT.yml...", Description: lockDescription,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: "-", Usage: "`FILE` for the lock, - for standard output"},
			&cli.StringFlag{Name: "format", Value: string(lock.CondaLock), Usage: "conda-lock (any number of platforms), or explicit (a list of URLs for one), which an --output that is one stays"},
			&cli.StringSliceFlag{Name: "platform", Usage: "conda `SUBDIR` to lock for, linux-64 or linux-aarch64; may be repeated (default: the platforms of the environment, else linux-64)"},
			&cli.BoolFlag{Name: "check", Usage: "only see whether the lock is still one of the environment: exit code 0 if so, else 5; nothing is written"},
			&cli.StringSliceFlag{Name: "update", Usage: "choose package `NAME` anew, and keep all others of the lock as far as that allows; may be repeated"},
			&cli.StringFlag{Name: "lock", Usage: "`FILE` that --check and --update read (default: that of --output)"},
			&cli.StringFlag{Name: "lock-environment", Usage: "`NAME` of the environment that is meant where that is a pixi.lock"},
			&cli.StringFlag{Name: "base", Usage: "read from base image `REFERENCE` what packages may expect"},
			&cli.StringFlag{Name: "glibc", Usage: "`VERSION` of the C library that packages may expect (default: " + assumedGlibc + ")"},
			&cli.StringFlag{Name: "accelerator", Value: "auto", Usage: "auto, cpu or cuda: whether there is a GPU driver"},
			&cli.StringFlag{Name: "cuda", Usage: "`VERSION` of CUDA that the driver will support, such as 12.4"},
			&cli.StringFlag{Name: "cuda-arch", Usage: "compute `CAPABILITY` of the GPU, such as 8.6"},
			&cli.StringFlag{Name: "archspec", Usage: "`MICROARCHITECTURE` of the processor, such as x86_64_v3"},
			&cli.StringSliceFlag{Name: "channel", Aliases: []string{"c"}, Usage: "`CHANNEL` to search before those of the environment; may be repeated"},
			&cli.StringFlag{Name: "profile", Usage: profileUsage},
			&cli.BoolFlag{Name: "refresh", Usage: refreshUsage},
			&cli.BoolFlag{Name: "offline", Usage: "use only what the cache has"},
			&cli.StringFlag{Name: "progress", Value: "auto", Usage: "auto, tty, plain or quiet"},
		},
		Action: func(c *cli.Context) error {
			o, err := parseLock(c)
			if err != nil {
				return err
			}
			return runLock(c.Context, env, o)
		},
		Subcommands: []*cli.Command{lockDiffCommand(env)},
	}
}

// parseLock checks the flags, all of them before anything is done.
func parseLock(c *cli.Context) (lockOptions, error) {
	files, err := environmentFiles(c)
	if err != nil {
		return lockOptions{}, err
	}
	o := lockOptions{
		build: buildOptions{
			Files: files, Base: c.String("base"), CUDA: c.String("cuda"), CUDAArch: c.String("cuda-arch"), Archspec: c.String("archspec"),
			configuration: configuration{Profile: c.String("profile")}, Channels: c.StringSlice("channel"), Refresh: c.Bool("refresh"), Offline: c.Bool("offline"), LockEnv: c.String("lock-environment"), Progress: c.String("progress"),
		},
		Output: c.String("output"), Format: lock.Format(c.String("format")), Glibc: c.String("glibc"), Lock: c.String("lock"),
		Check: c.Bool("check"), Update: c.StringSlice("update"),
	}
	fail := func(flag string, err error) (lockOptions, error) {
		return lockOptions{}, usageError{fmt.Errorf("--%s: %w", flag, err)}
	}
	for _, p := range c.StringSlice("platform") {
		s, err := conda.ParseSubdir(p)
		if err == nil {
			_, err = ociPlatform(s)
		}
		if err != nil {
			return fail("platform", err)
		}
		if !slices.Contains(o.Subdirs, s) {
			o.Subdirs = append(o.Subdirs, s)
		}
	}
	slices.Sort(o.Subdirs) // in whatever order they are named, the lock is the same
	if o.Format != lock.CondaLock && o.Format != lock.Explicit {
		return fail("format", fmt.Errorf("%q: want conda-lock or explicit", o.Format))
	}
	if o.build.Accelerator, err = parseAccelerator(c.String("accelerator")); err != nil {
		return fail("accelerator", err)
	}
	if err := o.checkSystem(); err != nil {
		return lockOptions{}, usageError{err}
	}
	if err := checkRefresh(o.build); err != nil {
		return fail("refresh", err)
	}
	if err := checkProgress(o.build.Progress); err != nil {
		return fail("progress", err)
	}
	if err := o.checkFiles(c.IsSet("format")); err != nil {
		return lockOptions{}, usageError{err}
	}
	return o, nil
}

// checkSystem checks the flags about the system that packages will run on.
func (o lockOptions) checkSystem() error {
	b := o.build
	switch {
	case b.CUDA != "" && !cudaNumber.MatchString(b.CUDA):
		return fmt.Errorf("--cuda: %q: want a version such as 12.4", b.CUDA)
	case b.CUDA != "" && b.Accelerator == acceleratorCPU:
		return errors.New("--cuda says that there is a CUDA driver, and --accelerator cpu that there is none")
	case o.Glibc != "" && !cudaNumber.MatchString(o.Glibc):
		return fmt.Errorf("--glibc: %q: want a version such as 2.36", o.Glibc)
	case o.Glibc != "" && b.Base != "":
		return errors.New("--glibc and --base both say which C library there is: give one of them")
	}
	if err := checkCUDAArch(b.CUDAArch, b.CUDA, b.Accelerator); err != nil {
		return fmt.Errorf("--cuda-arch: %w", err)
	}
	return nil
}

// checkFiles refuses to read what is not there, and to write over what is no lock. A list of URLs stays one unless a format was named.
func (o *lockOptions) checkFiles(named bool) error {
	reads := o.Check || len(o.Update) > 0
	switch {
	case o.Output == "":
		return errors.New("--output: the name is empty: want a FILE, or - for standard output")
	case o.Lock != "" && !reads:
		return errors.New("--lock names the lock that --check or --update reads: add one of them, or name the file that is written with --output")
	case o.build.LockEnv != "" && !reads:
		return errors.New("--lock-environment says what of a pixi.lock --check or --update reads: add one of them")
	}
	if o.Lock == "" && o.Output != "-" {
		o.Lock = o.Output
	}
	if reads && o.Lock == "" {
		return errors.New("--check and --update need a lock: name it with --output FILE, or with --lock FILE")
	}
	if o.Check && len(o.Update) > 0 {
		return errors.New("--check and --update cannot go together: one writes nothing, and the other does")
	}
	if o.Output == "-" || o.Check {
		return nil
	}
	for _, f := range o.build.Files {
		if sameFile(f, o.Output) {
			return fmt.Errorf("--output %s would be written over %s, which is read: name another file", o.Output, f)
		}
	}
	info, err := os.Stat(o.Output)
	switch {
	case err != nil || !info.Mode().IsRegular() && !info.IsDir():
		return nil // what is wrong with it is said when it is written
	case info.IsDir():
		return fmt.Errorf("--output %s is a folder: name a file", o.Output)
	}
	old, err := os.ReadFile(o.Output)
	switch format := lock.Detect(old); {
	case err != nil:
		return err
	case format == lock.Explicit && !named:
		o.Format = lock.Explicit
	case format == lock.Pixi:
		return fmt.Errorf("--output %s is pixi's own lock, and would be written over: name another file", o.Output)
	case format == "" && len(old) > 0:
		return fmt.Errorf("--output %s is there, and is no lock: remove it, or name another file", o.Output)
	}
	return nil
}
