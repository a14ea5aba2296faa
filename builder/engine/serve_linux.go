package engine

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
)

// ChildMain is called first thing in main. In the process that the program started as its embedded engine it
// serves until its parent is done with it or has ended, and does not return; in any other it returns at once.
func ChildMain() {
	if len(os.Args) == 0 || os.Args[0] != childName {
		return
	}
	err := awaitMapping()
	if err == nil {
		err = serveChild()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// awaitMapping waits, in a new user namespace, until its ids are mapped, and starts over with the capabilities
// that only a mapped root is given.
func awaitMapping() error {
	fd, err := strconv.Atoi(os.Getenv(mappedEnv))
	if err != nil {
		return nil //nolint:nilerr // not in a new user namespace
	}
	mapped := os.NewFile(uintptr(fd), "mapped")
	if _, err := io.Copy(io.Discard, mapped); err != nil {
		return err
	}
	_ = mapped.Close()
	if err := os.Unsetenv(mappedEnv); err != nil {
		return err
	}
	return unix.Exec("/proc/self/exe", os.Args, os.Environ())
}

// serveChild is all of the child's life.
func serveChild() error {
	unix.CloseOnExec(connFD)
	unix.CloseOnExec(lockFD)
	stdin := bufio.NewReader(os.Stdin)
	line, err := stdin.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	var cfg childConfig
	if err := json.Unmarshal(line, &cfg); err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	logrus.SetOutput(os.Stderr)
	logrus.SetLevel(logrus.ErrorLevel)
	if cfg.Verbose {
		logrus.SetLevel(logrus.DebugLevel)
	}
	if err := ownMounts(); err != nil {
		return err
	}
	conn, err := net.FileConn(os.NewFile(connFD, "connection"))
	if err != nil {
		return fmt.Errorf("opening the inherited connection: %w", err)
	}
	w, err := newWorker(context.Background(), cfg)
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- w.server.Serve(&oneConn{conn: conn, closed: make(chan struct{})}) }()
	if _, err := os.Stdout.WriteString(readyLine); err != nil {
		return err
	}
	wanted := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, stdin)
		close(wanted)
	}()
	select {
	case err = <-served:
	case <-wanted:
	}
	return errors.Join(err, w.close())
}

// ownMounts makes what is mounted here invisible to the host, and /proc that of the own process namespace. It
// does nothing in a child that got no namespaces.
func ownMounts() error {
	if os.Getpid() != 1 {
		return nil
	}
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("separating the mounts: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	return nil
}

// oneConn is a listener with a single connection.
type oneConn struct {
	conn   net.Conn
	given  bool
	closed chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	if l.given {
		<-l.closed
		return nil, net.ErrClosed
	}
	l.given = true
	return l.conn, nil
}

func (l *oneConn) Close() error {
	close(l.closed)
	return nil
}

func (l *oneConn) Addr() net.Addr { return l.conn.LocalAddr() }
