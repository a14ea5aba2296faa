package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/moby/sys/mountinfo"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

func lockPath(root string) string { return filepath.Join(root, "lock") }

func needPlatform() error { return nil }

// needRights reports what the user lacks to run containers.
func needRights() error {
	if os.Geteuid() == 0 {
		return nil
	}
	if _, err := idMaps(); err != nil {
		return fmt.Errorf("this build runs commands in the image, which needs root, or a user namespace: %w; "+
			"run it as root, install newuidmap (apt-get install uidmap), or name a BuildKit that runs elsewhere (--builder)", err)
	}
	return nil
}

// startInNamespaces starts the command with the most isolation that its user may have. Without any, the engine
// still puts layers together; limits then says why it runs no commands.
func startInNamespaces(command func() *exec.Cmd) (cmd *exec.Cmd, limits, err error) {
	if os.Geteuid() == 0 {
		cmd, err = startWith(command(), unix.CLONE_NEWNS|unix.CLONE_NEWPID)
		if !errors.Is(err, unix.EPERM) {
			return cmd, nil, err
		}
		limits = errors.New("this process may not make namespaces (a container without CAP_SYS_ADMIN?)")
	} else if maps, missing := idMaps(); missing != nil {
		limits = needRights()
	} else if cmd, err = startMapped(command(), maps); err == nil {
		return cmd, nil, nil
	} else {
		limits = err
	}
	cmd, err = startWith(command(), 0)
	return cmd, limits, err
}

func startWith(cmd *exec.Cmd, flags uintptr) (*exec.Cmd, error) {
	// A process group of its own: an interrupt from the terminal is for the parent, which then closes the engine.
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: unix.SIGKILL, Setpgid: true}
	return cmd, cmd.Start()
}

// idMap is one call of newuidmap or newgidmap.
type idMap struct {
	tool string
	args []string // after the process id
}

// idMaps says how the user becomes root of a user namespace, with all the subordinate ids that he has.
func idMaps() ([]idMap, error) {
	u, err := user.Current()
	if err != nil {
		return nil, err
	}
	var maps []idMap
	for _, m := range []struct{ tool, file, id string }{
		{"newuidmap", "/etc/subuid", u.Uid}, {"newgidmap", "/etc/subgid", u.Gid},
	} {
		path, err := exec.LookPath(m.tool)
		if err != nil {
			return nil, fmt.Errorf("%s is not installed", m.tool)
		}
		start, count, err := subordinate(m.file, u)
		if err != nil {
			return nil, err
		}
		maps = append(maps, idMap{path, []string{"0", m.id, "1", "1", start, count}})
	}
	return maps, nil
}

// subordinate finds a user's line in /etc/subuid or /etc/subgid: subuid(5).
func subordinate(file string, u *user.User) (start, count string, err error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", "", err
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) == 3 && (f[0] == u.Username || f[0] == u.Uid) {
			return f[1], f[2], nil
		}
	}
	return "", "", fmt.Errorf("%s has no line for %s", file, u.Username)
}

// mappedEnv tells a child to wait until it is root of its user namespace.
const mappedEnv = "CONDA2DOCKER_ENGINE_MAPPED"

// startMapped starts the command in a user namespace and maps its ids from outside; the child waits for that.
func startMapped(cmd *exec.Cmd, maps []idMap) (*exec.Cmd, error) {
	mapped, release, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer release.Close() // its end is the signal
	defer mapped.Close()  // the child has it
	cmd.ExtraFiles = append(cmd.ExtraFiles, mapped)
	cmd.Env = append(cmd.Env, mappedEnv+"="+strconv.Itoa(2+len(cmd.ExtraFiles)))
	if _, err := startWith(cmd, unix.CLONE_NEWUSER|unix.CLONE_NEWNS|unix.CLONE_NEWPID); err != nil {
		return nil, fmt.Errorf("making a user namespace: %w", err)
	}
	for _, m := range maps {
		args := append([]string{strconv.Itoa(cmd.Process.Pid)}, m.args...)
		if out, err := exec.Command(m.tool, args...).CombinedOutput(); err != nil { //nolint:gosec,noctx // found on the PATH; short
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			return nil, fmt.Errorf("%s: %w: %s", filepath.Base(m.tool), err, strings.TrimSpace(string(out)))
		}
	}
	return cmd, nil
}

// detachMounts lazily unmounts all that a killed engine without namespaces left below its root.
func detachMounts(root string) error {
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(root))
	if err != nil {
		return fmt.Errorf("looking for mounts below %s: %w", root, err)
	}
	for i := len(mounts) - 1; i >= 0; i-- {
		m := mounts[i].Mountpoint
		if m == root { // the folder itself may well be a mount
			continue
		}
		if err := unix.Unmount(m, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("unmounting %s, which an earlier build left: %w", m, err)
		}
	}
	return nil
}

// cgroupParent is the control group that the containers of one state folder are made in.
func cgroupParent(root string) string {
	return "conda2docker-" + digest.FromString(root).Encoded()[:12]
}

// removeCgroups removes the control groups of containers that have ended; those of a killed engine stay otherwise.
// The kernel refuses to remove one that is in use, and to users who may not.
func removeCgroups(root string) {
	for _, pattern := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} { // v2; v1 has one tree for each controller
		tops, err := filepath.Glob(filepath.Join(pattern, cgroupParent(root)))
		if err != nil {
			continue
		}
		for _, top := range tops {
			var dirs []string
			_ = filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
				if err == nil && e.IsDir() {
					dirs = append(dirs, path)
				}
				return nil
			})
			for _, dir := range slices.Backward(dirs) { // children first
				_ = unix.Rmdir(dir)
			}
		}
	}
}
