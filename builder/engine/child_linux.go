package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/moby/buildkit/client"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	"github.com/datalayer/conda2docker/builder/registry"
)

// childName is the name (argv[0]) that the embedded engine's process goes by.
const childName = "conda2docker-engine"

// Files that the child inherits.
const (
	connFD = 3 // its end of the connection with its parent
	lockFD = 4 // the lock on the state folder, held until both processes are gone
)

// childConfig is what a child reads from its standard input, which then stays open for as long as it is wanted.
type childConfig struct {
	Root       string
	KeepBytes  int64
	Registries registry.Registries
	Verbose    bool
	Rootless   bool
}

const (
	readyLine    = "ready\n"
	closeTimeout = 30 * time.Second
)

// child is the embedded engine, seen from the process that started it.
type child struct {
	client  *client.Client
	canExec error

	root  string
	stdin io.Closer // closing it ends the child in an orderly way
	log   *tail
	kill  func()
	done  chan struct{} // closed when the process has ended
	err   error         // how it ended; valid after done
}

// startChild starts the engine in a process of its own, in namespaces of its own: however its parent ends, the
// kernel then ends it, its containers and its mounts.
func startChild(ctx context.Context, o Options) (_ *child, err error) {
	var lock *os.File
	if o.Root, lock, err = takeRoot(ctx, o); err != nil {
		return nil, err
	}
	defer lock.Close() // the child has it too
	if err := errors.Join(os.RemoveAll(tempDir(o.Root)), os.MkdirAll(tempDir(o.Root), 0o700)); err != nil {
		return nil, err
	}
	ours, theirs, err := connection()
	if err != nil {
		return nil, err
	}
	defer theirs.Close() // the child has it
	defer func() {
		if err != nil {
			_ = ours.Close()
		}
	}()

	c := &child{root: o.Root, log: &tail{also: o.Log}}
	cfg := childConfig{
		Root: o.Root, KeepBytes: o.KeepBytes, Verbose: o.Log != nil,
		Registries: o.Registries, Rootless: os.Geteuid() != 0,
	}
	if err := c.start(ctx, cfg, theirs, lock); err != nil {
		return nil, err
	}
	c.client, err = client.New(ctx, "unix:///embedded", client.WithContextDialer(dialOnce(ours)),
		client.WithGRPCDialOption(grpc.WithIdleTimeout(0)))
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// takeRoot locks the state folder, and clears away what a killed engine left of itself in the kernel.
func takeRoot(ctx context.Context, o Options) (root string, lock *os.File, err error) {
	if err := os.MkdirAll(o.Root, 0o700); err != nil {
		return "", nil, err
	}
	if root, err = realPath(o.Root); err != nil {
		return "", nil, err
	}
	if lock, err = lockRoot(ctx, root, o.Say); err != nil {
		return "", nil, err
	}
	if err := detachMounts(root); err != nil {
		return "", nil, errors.Join(err, lock.Close())
	}
	removeCgroups(root)
	return root, lock, nil
}

// Remove takes away all that the embedded engine keeps in o.Root, without starting it: also what it cannot read any more.
func Remove(ctx context.Context, o Options) error {
	root, lock, err := takeRoot(ctx, o)
	if err != nil {
		return fmt.Errorf("removing the embedded BuildKit's state: %w", err)
	}
	defer lock.Close()
	entries, err := os.ReadDir(root)
	errs := []error{err}
	for _, e := range entries {
		if path := filepath.Join(root, e.Name()); path != lockPath(root) {
			errs = append(errs, os.RemoveAll(path))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("removing the embedded BuildKit's state: %w", err)
	}
	return nil
}

// start runs the process and returns when it serves.
func (c *child) start(ctx context.Context, cfg childConfig, conn, lock *os.File) error {
	stdinR, stdinW, err := os.Pipe()
	if err != nil {
		return err
	}
	defer stdinR.Close() // the child has it
	stdoutR, stdoutW, err := os.Pipe()
	if err != nil {
		return err
	}
	defer stdoutR.Close()

	command := func() *exec.Cmd {
		return &exec.Cmd{
			Path: "/proc/self/exe", Args: []string{childName}, Env: childEnv(cfg),
			Stdin: stdinR, Stdout: stdoutW, Stderr: c.log, ExtraFiles: []*os.File{conn, lock},
		}
	}
	err = c.run(command)
	_ = stdoutW.Close()
	if err != nil {
		_ = stdinW.Close()
		return err
	}
	c.stdin = stdinW
	if err := json.NewEncoder(stdinW).Encode(cfg); err != nil {
		return errors.Join(c.explain(err), c.close())
	}
	return c.waitReady(ctx, stdoutR)
}

// run starts the process on a thread that lives as long as the process does: the kernel takes the end of the
// thread that started it for its parent's end.
func (c *child) run(command func() *exec.Cmd) error {
	started := make(chan error, 1)
	c.done = make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		cmd, limits, err := startInNamespaces(command)
		if err == nil {
			c.canExec = limits
			c.kill = func() { _ = cmd.Process.Kill() }
		}
		started <- err
		if err != nil {
			return
		}
		c.err = cmd.Wait()
		close(c.done)
	}()
	return <-started
}

// waitReady waits until the child says that it serves.
func (c *child) waitReady(ctx context.Context, stdout *os.File) error {
	said := make(chan string, 1)
	go func() {
		b := make([]byte, len(readyLine))
		n, _ := io.ReadFull(stdout, b)
		said <- string(b[:n])
	}()
	select {
	case s := <-said:
		if s == readyLine {
			return nil
		}
		_ = c.stdin.Close()
		<-c.done
		return c.explain(errors.New("it did not come up"))
	case <-ctx.Done():
		c.kill()
		<-c.done
		return ctx.Err()
	}
}

// explain adds to an error how the child ended, if it did.
func (c *child) explain(err error) error {
	select {
	case <-c.done:
	case <-time.After(100 * time.Millisecond): // a broken connection is seen before the exit
		return err
	}
	if c.err == nil {
		return fmt.Errorf("%w (the embedded BuildKit has ended)", err)
	}
	return fmt.Errorf("%w (the embedded BuildKit ended with %w%s)\nif its state in %s is damaged, \"conda2docker cache prune --keep 0\" removes it", err, c.err, c.log, c.root)
}

// close ends the child: orderly at first.
func (c *child) close() error {
	defer removeCgroups(c.root)
	_ = c.stdin.Close()
	select {
	case <-c.done:
	case <-time.After(closeTimeout):
		c.kill()
		<-c.done
		return fmt.Errorf("the embedded BuildKit did not end within %s and was killed%s", closeTimeout, c.log)
	}
	if c.err != nil {
		return fmt.Errorf("ending the embedded BuildKit: %w%s", c.err, c.log)
	}
	return nil
}

// connection is a pair of connected sockets: ours as a connection, theirs as a file to inherit. Having no name, it
// can be reached by nobody else.
func connection() (net.Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("making a socket pair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "engine"), os.NewFile(uintptr(fds[1]), "engine")
	defer ours.Close() // FileConn has its own
	conn, err := net.FileConn(ours)
	if err != nil {
		_ = theirs.Close()
		return nil, nil, err
	}
	return conn, theirs, nil
}

// dialOnce hands out the one connection.
func dialOnce(conn net.Conn) func(context.Context, string) (net.Conn, error) {
	var once sync.Once
	return func(context.Context, string) (net.Conn, error) {
		err := errors.New("the embedded BuildKit has ended")
		once.Do(func() { err = nil })
		if err != nil {
			return nil, err
		}
		return conn, nil
	}
}

// realPath is a path as the kernel lists it among the mounts.
func realPath(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path)
}

// tempDir is where the engine's temporary files are, so that those of a killed one are found and removed.
func tempDir(root string) string { return filepath.Join(root, "tmp") }

// childEnv is the child's environment. Rootless, runc wants a folder of its user's.
func childEnv(cfg childConfig) []string {
	env := append(os.Environ(), "TMPDIR="+tempDir(cfg.Root))
	if cfg.Rootless && os.Getenv("XDG_RUNTIME_DIR") == "" {
		env = append(env, "XDG_RUNTIME_DIR="+cfg.Root)
	}
	return env
}

// lockRoot takes the lock on a state folder, waiting for whoever has it.
func lockRoot(ctx context.Context, root string, say func(string)) (*os.File, error) {
	f, err := os.OpenFile(lockPath(root), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for waited := false; ; waited = true {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			_ = f.Close()
			return nil, fmt.Errorf("locking %s: %w", f.Name(), err)
		}
		if !waited && say != nil {
			say("waiting for another build that uses " + root)
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, fmt.Errorf("another build uses it: %w", ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// tail keeps the end of what is written to it.
type tail struct {
	also io.Writer
	mu   sync.Mutex
	buf  []byte
}

const tailBytes = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.also != nil {
		_, _ = t.also.Write(p)
	}
	t.buf = append(t.buf, p...)
	if n := len(t.buf); n > 2*tailBytes {
		t.buf = bytes.Clone(t.buf[n-tailBytes:])
	}
	return len(p), nil
}

// String is what was kept, as the continuation of an error message.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := strings.TrimSpace(string(t.buf))
	if s == "" {
		return ""
	}
	return ": " + s
}
