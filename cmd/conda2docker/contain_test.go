package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/datalayer/conda2docker/examples/container"
)

// pulled is an image of the registry, and its configuration.
func pulled(ref string) (v1.Image, *v1.ConfigFile, error) {
	parsed, err := name.ParseReference(ref)
	if err != nil {
		return nil, nil, err
	}
	img, err := remote.Image(parsed)
	if err != nil {
		return nil, nil, err
	}
	config, err := img.ConfigFile()
	return img, config, err
}

// configCommand is "config REF": it prints how the image is run and what it says of itself, a line for each.
func configCommand(ts *testscript.TestScript, _ *world, args []string) error {
	if len(args) != 1 {
		return errors.New("usage: config REF")
	}
	img, file, err := pulled(args[0])
	if err != nil {
		return err
	}
	manifest, err := img.Manifest()
	if err != nil {
		return err
	}
	c := file.Config
	for _, v := range c.Env {
		fmt.Fprintln(ts.Stdout(), "env", v)
	}
	fmt.Fprintf(ts.Stdout(), "user %s\nfolder %s\nentrypoint %q\ncmd %q\nvolumes %v\nstop %q\n", c.User, c.WorkingDir, c.Entrypoint, c.Cmd, slices.Sorted(maps.Keys(c.Volumes)), c.StopSignal)
	for _, key := range slices.Sorted(maps.Keys(c.Labels)) {
		fmt.Fprintf(ts.Stdout(), "label %s=%s\n", key, c.Labels[key])
	}
	for _, key := range slices.Sorted(maps.Keys(manifest.Annotations)) {
		fmt.Fprintf(ts.Stdout(), "annotation %s=%s\n", key, manifest.Annotations[key])
	}
	return nil
}

// containCommand is "contain [--bare] [--user UID:GID] [--writable FOLDER] REF [COMMAND ARGUMENT…]": it runs the command in a container
// of the image, on a root that cannot be written; bare is without the entrypoint.
func containCommand(ts *testscript.TestScript, w *world, args []string) error {
	var o container.Options
	for len(args) > 1 && strings.HasPrefix(args[0], "--") {
		switch args[0] {
		case "--bare":
			o.Bare, args = true, args[1:]
		case "--user":
			o.User, args = args[1], args[2:]
		case "--writable":
			o.Writable, args = append(o.Writable, args[1]), args[2:]
		default:
			return fmt.Errorf("unknown option %s", args[0])
		}
	}
	if len(args) == 0 {
		return errors.New("usage: contain [--bare] [--user UID:GID] [--writable FOLDER] REF [COMMAND ARGUMENT...]")
	}
	img, file, err := pulled(args[0])
	if err != nil {
		return err
	}
	digest, err := img.Digest()
	if err != nil {
		return err
	}
	bundle := filepath.Join(ts.Getenv("CACHE"), "bundles", digest.Hex)
	if _, err := os.Stat(bundle); err != nil {
		if err := container.Unpack(img, bundle); err != nil {
			return err
		}
	}
	o.Args, o.Name = args[1:], fmt.Sprintf("script-%d-%s-%s", os.Getpid(), digest.Hex[:12], filepath.Base(ts.Getenv("WORK")))
	cmd, err := container.Command(w.t.Context(), bundle, file.Config, o)
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = ts.Stdout(), ts.Stderr()
	return cmd.Run()
}
