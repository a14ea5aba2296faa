package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/datalayer/conda2docker/examples/container"
)

// check runs the example's check.py inside the image: as its user, on a read-only root, without a network.
func check(ctx context.Context, o options, example, bundle string, image v1.Image) error {
	script, err := os.ReadFile(filepath.Join(o.examples, example, "check.py"))
	if err != nil {
		return err
	}
	if err := unpackOnce(image, bundle); err != nil {
		return err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return err
	}
	cmd, err := container.Command(ctx, bundle, config.Config, container.Options{
		Name: "conda2docker-" + example + "-" + strconv.Itoa(os.Getpid()), Args: []string{"python", "-c", string(script)},
	})
	if err != nil {
		return err
	}
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
	}
	if strings.TrimSpace(out.String()) == "" {
		return errors.New("check.py printed no result")
	}
	say("inside the image as %s: %s", config.Config.User, strings.TrimSpace(out.String()))
	return nil
}

// bundle is the folder below dir that an image is unpacked in.
func bundle(dir string, image name.Digest) string {
	_, hex, _ := strings.Cut(image.DigestStr(), ":")
	return filepath.Join(dir, "bundle-"+hex[:16])
}

// unpackOnce unpacks an image into an empty folder, and removes what other images left beside it.
func unpackOnce(image v1.Image, bundle string) error {
	root := filepath.Join(bundle, "rootfs")
	if exists(root + ".done") {
		return nil
	}
	old, err := filepath.Glob(filepath.Join(filepath.Dir(bundle), "bundle-*"))
	if err != nil {
		return err
	}
	for _, b := range old {
		if err := unmountBelow(b); err != nil {
			return err
		}
		if err := os.RemoveAll(b); err != nil {
			return err
		}
	}
	if err := container.Unpack(image, bundle); err != nil {
		return err
	}
	return os.WriteFile(root+".done", nil, 0o644)
}

// unmountBelow unmounts what is mounted at dir or below, so that removing it cannot reach anything else.
func unmountBelow(dir string) error {
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	if err != nil {
		return err
	}
	for _, m := range slices.Backward(mounts) {
		if err := unix.Unmount(m.Mountpoint, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("unmounting %s: %w", m.Mountpoint, err)
		}
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
