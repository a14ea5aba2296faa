// Command preflight says within two seconds whether the examples and tests can run on this machine, how long they take and how much room they
// need, and installs what Debian has and the machine lacks. It stands on the standard library alone, so that it comes before everything that
// takes time to compile.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

func main() {
	var o options
	flag.StringVar(&o.cache, "cache", os.Getenv("CONDA2DOCKER_CACHE"), "cache `folder`")
	flag.BoolVar(&o.online, "online", false, "the examples will use the real conda-forge, Docker Hub and Grype database")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := preflight(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "preflight:", err)
		os.Exit(1)
	}
}

type options struct {
	cache  string
	online bool
}

// tools are the programs that the sandbox, the engine and the checks need, and the Debian packages that have them.
func tools() [][2]string {
	return [][2]string{
		{"mmdebstrap", "mmdebstrap"},
		{"patchelf", "patchelf"},
		{"python3", "python3-minimal"},
		{"runc", "runc"},
		{"skopeo", "skopeo"},
		{"/usr/share/keyrings/debian-archive-keyring.gpg", "debian-archive-keyring"},
	}
}

// needsBytes is what the examples take on disk, with what is compiled for them.
const needsBytes = 10 << 30

// preflight checks that the examples can run here.
func preflight(ctx context.Context, o options) error {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return fmt.Errorf("the sandbox is made of Debian's amd64 packages: it needs linux/amd64, this is %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	var missing []string
	for _, t := range tools() {
		if _, err := exec.LookPath(t[0]); err != nil && !exists(t[0]) {
			missing = append(missing, t[1])
		}
	}
	if len(missing) > 0 {
		if err := install(ctx, missing); err != nil {
			return err
		}
	}
	if os.Geteuid() != 0 {
		return errors.New("bootstrapping a base image and running the checks needs root: run make as root (sudo make examples)")
	}
	sandbox := filepath.Join(o.cache, "sandbox")
	if exists(filepath.Join(sandbox, "wheels.done")) && exists(filepath.Join(sandbox, "bases.done")) {
		say("the sandbox in %s is there: the examples take about half a minute", sandbox)
		return nil
	}
	say("this machine can run the examples: up to 15 minutes and 10 GB of disk the first time, half a minute afterwards")
	if err := enoughDisk(o.cache); err != nil {
		return err
	}
	if o.online {
		return nil
	}
	return mirrorAnswers(ctx)
}

// say prints a line.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "preflight: "+format+"\n", args...) }

// install installs Debian packages: as root it does so and says it, otherwise it says how.
func install(ctx context.Context, packages []string) error {
	args := append([]string{"install", "-y", "--no-install-recommends"}, packages...)
	command := "apt-get " + strings.Join(args, " ")
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("missing on this machine: %s (it has no apt-get: install them by its own means)", strings.Join(packages, ", "))
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("missing on this machine: %s; install with: sudo %s", strings.Join(packages, ", "), command)
	}
	say("installing what is missing: %s", command)
	var last error
	for _, a := range [][]string{args, {"update", "-q"}, args} { // the lists are fetched only where they are too old
		cmd := exec.CommandContext(ctx, "apt-get", a...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if last = cmd.Run(); last == nil && a[0] == "install" {
			return nil
		}
		if last != nil {
			last = fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), last, strings.TrimSpace(out.String()))
		}
	}
	return last
}

// enoughDisk checks the room where the cache is or will be.
func enoughDisk(dir string) error {
	for !exists(dir) && dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir)
	}
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return fmt.Errorf("looking at the disk of %s: %w", dir, err)
	}
	if free := int64(st.Bavail) * st.Bsize; free < needsBytes {
		return fmt.Errorf("%s has %.1f GB left, the examples need %.0f GB: make room, or put the cache elsewhere (CACHE=DIR make examples)", dir, float64(free)/1e9, float64(needsBytes)/1e9)
	}
	return nil
}

// mirrorAnswers asks Debian's archive for a small file, through apt's own proxy where it has one.
func mirrorAnswers(ctx context.Context) error {
	mirror := os.Getenv("DEBIAN_MIRROR")
	if mirror == "" {
		mirror = "http://deb.debian.org/debian"
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, mirror+"/dists/bookworm/Release", nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment}
	if out, err := exec.CommandContext(ctx, "apt-config", "shell", "p", "Acquire::http::Proxy").Output(); err == nil {
		if p, err := url.Parse(strings.Trim(strings.TrimPrefix(strings.TrimSpace(string(out)), "p="), "'")); err == nil && p.Host != "" {
			transport.Proxy = http.ProxyURL(p)
		}
	}
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return fmt.Errorf("debian's archive does not answer (another one can be named by DEBIAN_MIRROR): %w", err)
	}
	if err := res.Body.Close(); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("debian's archive answers %s for %s (another one can be named by DEBIAN_MIRROR)", res.Status, req.URL)
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
