package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/urfave/cli/v2"

	"github.com/datalayer/conda2docker/builder"
	"github.com/datalayer/conda2docker/builder/layer"
	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/condarc"
	"github.com/datalayer/conda2docker/scan"
)

// buildOptions is what the flags of build say, checked.
type buildOptions struct {
	Files       []string // environment files
	Overlay     string
	Lock        string
	UpdateLock  bool
	LockEnv     string // which environment of a pixi.lock
	Tags        []name.Tag
	Push        bool
	Outputs     []builder.Output
	Manifest    string // file, "-" for stdout
	Evidence    string // folder
	Accelerator accelerator
	Base        string
	CUDA        string // version of __cuda
	CUDAArch    string // version of __cuda_arch
	Archspec    string // microarchitecture
	Subdir      conda.Subdir
	Channels    []string
	FailOn      scan.Severity
	OnlyFixed   bool
	Compression layer.Compression
	MaxLayers   int
	PostLink    postLinkMode
	PostLinkNet bool
	NoBytecode  bool // python files of noarch packages are not compiled
	configuration
	Builder  string
	Refresh  bool // the channels are asked, however new what the cache has of their indexes
	Offline  bool
	Progress string
	Epoch    *time.Time // SOURCE_DATE_EPOCH, where it is set
	additions
}

func buildCommand(env environment) *cli.Command {
	return &cli.Command{
		Name:      "build",
		Usage:     "resolve, build, list, scan and pin an environment",
		ArgsUsage: "ENVIRONMENT.yml... | LOCK | FOLDER",
		Flags: append(append(additionFlags(), configurationFlags()...), []cli.Flag{
			&cli.StringFlag{Name: "overlay", Usage: "RuntimeEnvironment `FILE`; its dockerImage is the image's name unless --tag says otherwise"},
			&cli.StringFlag{Name: "lock", Usage: "lock `FILE`: used when it is there, else written; also one of conda-lock or pixi, or an @EXPLICIT list"},
			&cli.StringFlag{Name: "lock-environment", Usage: "`NAME` of the environment that is meant of a pixi.lock (default: \"default\"); NAME@PLATFORM where it has several platforms for one system"},
			&cli.BoolFlag{Name: "update-lock", Usage: "resolve anew and write --lock, whatever it says"},
			&cli.StringSliceFlag{Name: "tag", Aliases: []string{"t"}, Usage: "`REFERENCE` that the image gets; may be repeated"},
			&cli.BoolFlag{Name: "push", Usage: "push to the registries of the tags"},
			&cli.StringSliceFlag{Name: "output", Aliases: []string{"o"}, Usage: "also write the image as oci-dir=`FOLDER` or oci=FILE.tar (oci=-: to standard output); may be repeated"},
			&cli.StringFlag{Name: "manifest", Value: "-", Usage: "`FILE` for the final RuntimeEnvironment, - for standard output"},
			&cli.StringFlag{Name: "evidence", Usage: "`FOLDER` for lock, SBOMs and scan report (default: in the cache)"},
			&cli.StringFlag{Name: "accelerator", Value: "auto", Usage: "auto, cpu or cuda: which base, and whether there is a GPU driver"},
			&cli.StringFlag{Name: "base", Usage: "base image: a `REFERENCE` or oci-layout:/FOLDER"},
			&cli.StringFlag{Name: "cuda", Usage: "`VERSION` of CUDA that the driver will support, such as 12.4"},
			&cli.StringFlag{Name: "cuda-arch", Usage: "compute `CAPABILITY` of the GPU, such as 8.6, for packages that ask for one"},
			&cli.StringFlag{Name: "archspec", Usage: "`MICROARCHITECTURE` of the processor, such as x86_64_v3, for packages that have builds for several (default: any of the platform)"},
			&cli.StringFlag{Name: "platform", Value: string(conda.Linux64), Usage: "conda `SUBDIR` to build for"},
			&cli.StringSliceFlag{Name: "channel", Aliases: []string{"c"}, Usage: "`CHANNEL` to search before those of the environment; may be repeated"},
			&cli.StringFlag{Name: "fail-on", Usage: "lowest `SEVERITY` that the gate refuses: negligible, low, medium, high or critical"},
			&cli.BoolFlag{Name: "only-fixed", Usage: "the gate refuses only what has a fixed version"},
			&cli.StringFlag{Name: "compression", Value: string(layer.Gzip), Usage: "gzip or zstd"},
			&cli.IntFlag{Name: "max-layers", Value: layer.DefaultBudget, Usage: "`NUMBER` of layers that packages take at most"},
			&cli.StringFlag{Name: "post-link", Value: string(postLinkRun), Usage: "run or skip: what becomes of the packages' post-link scripts"},
			&cli.BoolFlag{Name: "post-link-network", Usage: "let post-link scripts reach the network"},
			&cli.BoolFlag{Name: "no-bytecode", Usage: "do not compile the python files of noarch packages: nothing is executed for them, and python does it at each start"},
			&cli.StringFlag{Name: "builder", Usage: "`ADDRESS` of a BuildKit: unix://, tcp:// or docker-container:// (default: embedded, or $BUILDKIT_HOST)"},
			&cli.BoolFlag{Name: "refresh", Usage: refreshUsage},
			&cli.BoolFlag{Name: "offline", Usage: "use only what the cache has"},
			&cli.StringFlag{Name: "progress", Value: "auto", Usage: "auto, tty, plain or quiet"},
		}...),
		Action: func(c *cli.Context) error {
			opts, err := parseBuild(c, env.Getenv)
			if err != nil {
				return err
			}
			return runBuild(c.Context, env, opts)
		},
	}
}

// parseBuild checks the flags, all of them before anything is done.
func parseBuild(c *cli.Context, getenv func(string) string) (buildOptions, error) {
	files, err := environmentFiles(c)
	if err != nil {
		return buildOptions{}, err
	}
	o := buildOptions{
		Files: files, Overlay: c.String("overlay"), Lock: c.String("lock"), UpdateLock: c.Bool("update-lock"), LockEnv: c.String("lock-environment"), Push: c.Bool("push"),
		Manifest: c.String("manifest"), Evidence: c.String("evidence"), Base: c.String("base"), CUDA: c.String("cuda"), CUDAArch: c.String("cuda-arch"), Archspec: c.String("archspec"), Channels: c.StringSlice("channel"),
		OnlyFixed: c.Bool("only-fixed"), MaxLayers: c.Int("max-layers"), PostLinkNet: c.Bool("post-link-network"), NoBytecode: c.Bool("no-bytecode"), Builder: c.String("builder"),
		Refresh: c.Bool("refresh"), Offline: c.Bool("offline"), Progress: c.String("progress"),
	}
	fail := func(flag string, err error) (buildOptions, error) {
		return buildOptions{}, usageError{fmt.Errorf("--%s: %w", flag, err)}
	}
	if o.Accelerator, err = parseAccelerator(c.String("accelerator")); err != nil {
		return fail("accelerator", err)
	}
	if o.Subdir, err = conda.ParseSubdir(c.String("platform")); err != nil {
		return fail("platform", err)
	}
	if _, err := ociPlatform(o.Subdir); err != nil {
		return fail("platform", err)
	}
	if err := o.add(c); err != nil {
		return buildOptions{}, usageError{err}
	}
	if err := checkArchspec(o.Archspec, o.Subdir); err != nil {
		return fail("archspec", err)
	}
	if err := checkCUDAArch(o.CUDAArch, o.CUDA, o.Accelerator); err != nil {
		return fail("cuda-arch", err)
	}
	if o.FailOn, err = scan.ParseSeverity(c.String("fail-on")); err != nil {
		return fail("fail-on", err)
	}
	if o.Compression, err = parseEither(c.String("compression"), layer.Gzip, layer.Zstd); err != nil {
		return fail("compression", err)
	}
	if o.MaxLayers < 1 || o.MaxLayers > 120 {
		return fail("max-layers", fmt.Errorf("%d: want 1 to 120 (Docker stops at about 125 layers with the base's)", o.MaxLayers))
	}
	if err := checkRefresh(o); err != nil {
		return fail("refresh", err)
	}
	if err := checkProgress(o.Progress); err != nil {
		return fail("progress", err)
	}
	for _, t := range c.StringSlice("tag") {
		tag, err := parseTag(t)
		if err != nil {
			return fail("tag", err)
		}
		o.Tags = append(o.Tags, tag)
	}
	for _, s := range c.StringSlice("output") {
		out, err := parseOutput(s)
		if err != nil {
			return fail("output", err)
		}
		o.Outputs = append(o.Outputs, out)
	}
	if o.CUDA != "" && !cudaNumber.MatchString(o.CUDA) {
		return fail("cuda", fmt.Errorf("%q: want a version such as 12.4", o.CUDA))
	}
	if o.UpdateLock && o.Lock == "" {
		return fail("update-lock", fmt.Errorf("needs --lock FILE"))
	}
	if err := errors.Join(o.keepInputs(), o.checkPlaces()); err != nil {
		return buildOptions{}, usageError{err}
	}
	if o.Epoch, err = sourceDateEpoch(getenv); err != nil {
		return buildOptions{}, usageError{err}
	}
	return o, nil
}

// result is a file or folder that a build writes, and the flag that names it.
type result struct {
	flag, path string
	folder     bool
}

func (o buildOptions) results() []result {
	out := []result{{flag: "--lock", path: o.Lock}, {flag: "--evidence", path: o.Evidence, folder: true}}
	if o.Manifest != "-" {
		out = append(out, result{flag: "--manifest", path: o.Manifest})
	}
	for _, e := range o.Outputs {
		out = append(out, result{flag: "--output", path: e.Path, folder: e.Type == builder.OCIDir})
	}
	return slices.DeleteFunc(out, func(r result) bool { return r.path == "" })
}

// keepInputs refuses to write over a file that is read. The lock is both: only other results must not be written over it.
func (o buildOptions) keepInputs() error {
	for _, w := range o.results() {
		read := append([]string{o.Overlay, o.PostBuild}, o.Files...)
		if w.flag != "--lock" {
			read = append(read, o.Lock)
		}
		for _, r := range read {
			if r != "" && sameFile(r, w.path) {
				return fmt.Errorf("%s %s would be written over %s, which is read: name another file", w.flag, w.path, r)
			}
		}
	}
	return nil
}

// checkPlaces finds the results that could not be written where they shall be, before there are any.
func (o buildOptions) checkPlaces() error {
	var errs []error
	if o.Push && o.Manifest == "-" && slices.ContainsFunc(o.Outputs, toStdout) {
		errs = append(errs, errors.New("the image and the manifest would both be written to standard output: name a file with --manifest"))
	}
	for _, w := range o.results() {
		info, err := os.Stat(w.path)
		switch {
		case err != nil || info.IsDir() == w.folder:
		case w.folder:
			errs = append(errs, fmt.Errorf("%s %s is a file: name a folder", w.flag, w.path))
		default:
			errs = append(errs, fmt.Errorf("%s %s is a folder: name a file", w.flag, w.path))
		}
	}
	return errors.Join(errs...)
}

const standardOutput = "/dev/stdout"

func toStdout(o builder.Output) bool { return o.Path == standardOutput }

// sameFile reports whether two paths lead, or will lead, to one file.
func sameFile(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	if errA == nil && errB == nil {
		return os.SameFile(infoA, infoB)
	}
	absA, errA := filepath.Abs(a)
	absB, errB := filepath.Abs(b)
	return errA == nil && errB == nil && absA == absB
}

// parseOutput reads oci-dir=PATH, oci=PATH or, as other builders have it, type=oci-dir,dest=PATH.
func parseOutput(s string) (builder.Output, error) {
	var out builder.Output
	if rest, ok := strings.CutPrefix(s, "type="); ok {
		kind, dest, _ := strings.Cut(rest, ",")
		path, ok := strings.CutPrefix(dest, "dest=")
		if !ok {
			return out, fmt.Errorf("%q: want type=oci-dir,dest=FOLDER or type=oci,dest=FILE.tar", s)
		}
		out.Type, out.Path = kind, path
	} else {
		out.Type, out.Path, _ = strings.Cut(s, "=")
	}
	if (out.Type != builder.OCIDir && out.Type != builder.OCITar) || out.Path == "" {
		return out, fmt.Errorf("%q: want oci-dir=FOLDER or oci=FILE.tar", s)
	}
	if out.Path == "-" && out.Type == builder.OCITar {
		out.Path = standardOutput
	}
	if _, err := os.Lstat(out.Path); err == nil && out.Type == builder.OCIDir {
		entries, err := os.ReadDir(out.Path)
		if err != nil {
			return out, fmt.Errorf("%s is there and is no folder", out.Path)
		}
		if _, err := os.Stat(out.Path + "/oci-layout"); len(entries) > 0 && err != nil {
			return out, fmt.Errorf("folder %s holds something else than an OCI layout: name another", out.Path)
		}
	}
	return out, nil
}

const refreshUsage = "ask the channels what is new, even where what the cache has of their indexes has not expired"

func checkRefresh(o buildOptions) error {
	if o.Refresh && o.Offline {
		return errors.New("asks the channels, and --offline does not: give one of them")
	}
	return nil
}

// parseEither reads the value of a flag that has two.
func parseEither[T ~string](s string, one, other T) (T, error) {
	if v := T(s); v == one || v == other {
		return v, nil
	}
	return "", fmt.Errorf("%q: want %s or %s", s, one, other)
}

func runBuild(ctx context.Context, env environment, o buildOptions) error {
	s, err := loadSettings(env.Getenv)
	if err != nil {
		return err
	}
	if o.Builder != "" {
		s.Builder = o.Builder
	}
	if _, err := s.cacheLimit(); err != nil {
		return err
	}
	if _, err := s.linker(condarc.Config{}); err != nil {
		return err
	}
	if o.Apt, err = aptPackages(append(o.Apt, s.Apt...)); err != nil {
		return usageError{fmt.Errorf("settings: apt: %w", err)}
	}
	b := &build{options: o, settings: s, env: env, console: newConsole(env.Stderr, o.Progress)}
	for _, n := range o.notes {
		b.console.say("%s", n)
	}
	if b.profile, err = s.chooseProfile(o.Profile); err != nil {
		return err
	}
	return b.run(ctx)
}
