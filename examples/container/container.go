// Package container runs a command in an image as a strict cluster would: with the image's own entrypoint and environment, as any user,
// on a root that cannot be written, without a network and without capabilities. It needs runc, and root.
package container

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Options says how a container is run.
type Options struct {
	Name     string   // of the container; no other that runs has it
	Args     []string // the command, behind the image's entrypoint; the image's own where there is none
	User     string   // in numbers; default the image's
	Env      []string // "NAME=value", besides the image's
	Writable []string // folders that are the user's, and empty, besides /tmp
	Bare     bool     // without the entrypoint, as "kubectl exec" and probes are run
}

// Command is the command that runs a container of the image that was unpacked into the bundle.
func Command(ctx context.Context, bundle string, c v1.Config, o Options) (*exec.Cmd, error) {
	spec, err := o.spec(c)
	if err != nil {
		return nil, fmt.Errorf("running %s: %w", o.Name, err)
	}
	body, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(bundle, "config.json"), body, 0o644); err != nil {
		return nil, err
	}
	return exec.CommandContext(ctx, "runc", "run", "--bundle", bundle, o.Name), nil
}

// spec is the container's configuration (OCI runtime specification).
func (o Options) spec(c v1.Config) (map[string]any, error) {
	uid, gid, _ := strings.Cut(cmp.Or(o.User, c.User), ":")
	u, err := strconv.Atoi(uid)
	if err != nil {
		return nil, fmt.Errorf("user %q is no number", uid)
	}
	g, err := strconv.Atoi(gid)
	if err != nil {
		return nil, fmt.Errorf("group %q is no number", gid)
	}
	args := o.Args
	if len(args) == 0 {
		args = c.Cmd
	}
	if !o.Bare {
		args = slices.Concat(c.Entrypoint, args)
	}
	mount := func(kind, at string, options ...string) map[string]any {
		return map[string]any{"destination": at, "type": kind, "source": kind, "options": options}
	}
	mounts := []map[string]any{
		mount("proc", "/proc"), mount("tmpfs", "/tmp", "nosuid", "nodev", "mode=1777"),
		mount("tmpfs", "/dev", "nosuid", "strictatime", "mode=755", "size=65536k"),
	}
	for _, at := range o.Writable {
		mounts = append(mounts, mount("tmpfs", at, "nosuid", "nodev", fmt.Sprintf("uid=%d", u))) // runc keeps the mode of what is there
	}
	namespaces := []map[string]string{}
	for _, n := range []string{"pid", "network", "ipc", "uts", "mount"} {
		namespaces = append(namespaces, map[string]string{"type": n})
	}
	return map[string]any{
		"ociVersion": "1.0.2",
		"process": map[string]any{
			"user": map[string]int{"uid": u, "gid": g}, "args": args, "cwd": cmp.Or(c.WorkingDir, "/"), "env": slices.Concat(c.Env, o.Env), "noNewPrivileges": true,
		},
		"root":     map[string]any{"path": rootName, "readonly": true},
		"hostname": "check",
		"mounts":   mounts,
		"linux":    map[string]any{"namespaces": namespaces},
	}, nil
}
