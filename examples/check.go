package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
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
	spec, err := json.Marshal(runtimeSpec(config.Config, []string{"python", "-c", string(script)}))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(bundle, "config.json"), spec, 0o644); err != nil {
		return err
	}
	id := "conda2docker-" + example + "-" + strconv.Itoa(os.Getpid())
	cmd := exec.CommandContext(ctx, "runc", "run", "--bundle", bundle, id)
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
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	flat := mutate.Extract(image)
	defer flat.Close()
	if err := unpack(tar.NewReader(flat), root); err != nil {
		return err
	}
	return os.WriteFile(root+".done", nil, 0o644)
}

// unpack writes a tar's files below root.
func unpack(tr *tar.Reader, root string) error {
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		to := filepath.Join(root, filepath.Clean("/"+h.Name))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		switch h.Typeflag {
		case tar.TypeDir:
			err = os.MkdirAll(to, 0o755)
		case tar.TypeSymlink:
			err = os.Symlink(h.Linkname, to)
		case tar.TypeLink:
			err = os.Link(filepath.Join(root, filepath.Clean("/"+h.Linkname)), to)
		case tar.TypeReg:
			err = unpackFile(tr, to)
		default:
			continue // devices: the runtime brings its own
		}
		if err != nil {
			return err
		}
		if err := os.Lchown(to, h.Uid, h.Gid); err != nil {
			return err
		}
		if h.Typeflag == tar.TypeDir || h.Typeflag == tar.TypeReg {
			if err := unix.Chmod(to, uint32(h.Mode)&0o7777); err != nil {
				return err
			}
		}
		if h.Typeflag == tar.TypeReg {
			if err := os.Chtimes(to, h.ModTime, h.ModTime); err != nil {
				return err
			}
		}
	}
}

func unpackFile(r io.Reader, to string) error {
	f, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

// runtimeSpec is the container's configuration (OCI runtime specification): the image's user and environment, nothing
// writable but a temporary folder, a network of its own with nothing in it, no capabilities.
func runtimeSpec(c v1.Config, args []string) map[string]any {
	uid, gid, _ := strings.Cut(c.User, ":")
	u, _ := strconv.Atoi(uid)
	g, _ := strconv.Atoi(gid)
	mount := func(kind, at string, options ...string) map[string]any {
		return map[string]any{"destination": at, "type": kind, "source": kind, "options": options}
	}
	namespaces := []map[string]string{}
	for _, n := range []string{"pid", "network", "ipc", "uts", "mount"} {
		namespaces = append(namespaces, map[string]string{"type": n})
	}
	return map[string]any{
		"ociVersion": "1.0.2",
		"process": map[string]any{
			"user": map[string]int{"uid": u, "gid": g}, "args": args, "cwd": "/", "env": slices.Clone(c.Env), "noNewPrivileges": true,
		},
		"root":     map[string]any{"path": "rootfs", "readonly": true},
		"hostname": "check",
		"mounts": []map[string]any{
			mount("proc", "/proc"), mount("tmpfs", "/tmp", "nosuid", "nodev", "mode=1777"),
			mount("tmpfs", "/dev", "nosuid", "strictatime", "mode=755", "size=65536k"),
		},
		"linux": map[string]any{"namespaces": namespaces},
	}
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
