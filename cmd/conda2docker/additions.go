package main

import (
	"context"
	"errors"
	"fmt"
	"path"

	"github.com/urfave/cli/v2"

	"github.com/datalayer/conda2docker/builder/layer"
)

// additions are what an image gets beside the packages of the environment, and how it is looked at when all is in it.
type additions struct {
	Apt          []string   // Debian packages for the base, sorted
	Copies       []copySpec // files and folders of this disk
	PostBuild    string     // a script that is run last
	PostBuildNet bool
	Verify       bool
	VerifyExcept []string // globs
	notes        []string // what a folder's files come to
}

func additionFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "apt", Usage: "Debian `PACKAGE` for the base, as NAME, NAME=VERSION or NAME/RELEASE, or a file of such names (*.txt, or with a folder: ./FILE); may be repeated"},
		&cli.StringSliceFlag{Name: "copy", Usage: "`SRC:DEST[:MODE]`, a file or folder of this disk that the image gets at DEST, root's; may be repeated"},
		&cli.StringFlag{Name: "post-build", Usage: "executable `FILE` that is run in the image last, as root, in the activated environment"},
		&cli.BoolFlag{Name: "post-build-network", Usage: "let the --post-build script reach the network"},
		&cli.BoolFlag{Name: "verify", Usage: "look, inside the image, whether python starts, every module can be imported, and every program and library finds what it is linked to"},
		&cli.StringSliceFlag{Name: "verify-except", Usage: "`GLOB` of modules' names or files' paths that --verify leaves out; may be repeated"},
	}
}

// parseAdditions checks the flags of additionFlags, and adds to them what the build's folder has.
func parseAdditions(c *cli.Context, folder projectFolder) (additions, error) {
	a := additions{
		PostBuild: c.String("post-build"), notes: folder.notes, PostBuildNet: c.Bool("post-build-network"), Verify: c.Bool("verify"), VerifyExcept: c.StringSlice("verify-except"),
	}
	apt := c.StringSlice("apt")
	if folder.apt != "" {
		apt = append(apt, folder.apt)
	}
	var err error
	if a.Apt, err = aptPackages(apt); err != nil {
		return a, fmt.Errorf("--apt: %w", err)
	}
	if a.PostBuild == "" {
		a.PostBuild = folder.postBuild
	}
	if a.PostBuild != "" {
		if err := checkPostBuild(a.PostBuild); err != nil {
			return a, fmt.Errorf("--post-build: %w", err)
		}
	}
	if a.PostBuildNet && a.PostBuild == "" {
		return a, errors.New("--post-build-network: there is no script to run: give one with --post-build")
	}
	for _, s := range c.StringSlice("copy") {
		spec, err := parseCopy(s)
		if err != nil {
			return a, fmt.Errorf("--copy %s: %w", s, err)
		}
		a.Copies = append(a.Copies, spec)
	}
	if len(a.VerifyExcept) > 0 && !a.Verify {
		return a, errors.New("--verify-except: nothing is verified without --verify")
	}
	for _, g := range a.VerifyExcept {
		if _, err := path.Match(g, ""); err != nil {
			return a, fmt.Errorf("--verify-except %q: %w", g, err)
		}
	}
	return a, nil
}

// add completes the options of a build with its additions and the image's configuration, where a folder may stand for environment files.
func (o *buildOptions) add(c *cli.Context) error {
	folder, err := folderOf(o.Files, o.Subdir)
	if err != nil {
		return err
	}
	o.Files = folder.files
	if o.PostLink, err = parseEither(c.String("post-link"), postLinkRun, postLinkSkip); err != nil {
		return fmt.Errorf("--post-link: %w", err)
	}
	if o.additions, err = parseAdditions(c, folder); err != nil {
		return err
	}
	o.configuration, err = parseConfiguration(c)
	return err
}

// addFiles adds what is copied into the image, as a layer of its own, and the step that is run last.
func (b *build) addFiles(ctx context.Context, cache *layer.Cache, in input, env resolved, ls *layers) error {
	files, err := copiedFiles(b.options.Copies, env.target.base)
	if err != nil {
		return err
	}
	if len(files) > 0 {
		copied, err := cache.Environment(ctx, layer.Environment{Prefix: prefix, Files: files, Epoch: ls.epoch, Name: copiedName})
		if err != nil {
			return err
		}
		ls.all = append(ls.all, copied)
	}
	paths := make([]string, len(files))
	for i, f := range files {
		paths[i] = f.Path
	}
	if err := b.checkPlaces("copied files", paths, ls.user.Home); err != nil {
		return err
	}
	ls.last, err = b.postBuildStep(in, env)
	return err
}
