// Command tool is all the userland that the images of the tests have.
package main

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

func main() {
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "tool:", err)
		os.Exit(1)
	}
}

func run(verb string, args []string) error {
	switch verb {
	case "write": // write PATH TEXT
		if err := os.MkdirAll(filepath.Dir(args[0]), 0o755); err != nil {
			return err
		}
		return os.WriteFile(args[0], []byte(args[1]), 0o644)
	case "try": // try PATH TEXT TO: whether PATH can be written, and this machine's name, to TO
		name, err := os.Hostname()
		if err != nil {
			return err
		}
		return os.WriteFile(args[2], fmt.Appendf(nil, "%v on %s", os.WriteFile(args[0], []byte(args[1]), 0o644), name), 0o644)
	case "env": // env NAME PATH
		return os.WriteFile(args[1], []byte(os.Getenv(args[0])), 0o644)
	case "sum": // sum FROM PATH
		b, err := os.ReadFile(args[0])
		if err != nil {
			return err
		}
		return os.WriteFile(args[1], fmt.Appendf(nil, "%x", sha256.Sum256(b)), 0o644)
	case "list": // list FOLDER PATH: what is in the folder, a line each
		return list(args[0], args[1])
	case "dial": // dial ADDRESS
		c, err := net.DialTimeout("tcp", args[0], 5*time.Second)
		if err != nil {
			return err
		}
		return c.Close()
	case "hang": // hang ADDRESS: says that it runs, and sleeps
		if err := run("dial", args); err != nil {
			return err
		}
		time.Sleep(10 * time.Minute)
		return nil
	case "litter": // leaves files where nothing may stay
		for _, dir := range []string{"/tmp", "/root"} {
			if err := os.WriteFile(filepath.Join(dir, "litter"), []byte(strconv.Itoa(os.Getpid())), 0o644); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("no verb %q", verb)
}

// list writes PATH, "PATH -> TARGET" and "PATH = CONTENT" for directories, symlinks and files.
func list(root, out string) error {
	var text []byte
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		text = append(text, path[len(root)+1:]...)
		switch {
		case e.Type() == fs.ModeSymlink:
			to, err := os.Readlink(path)
			if err != nil {
				return err
			}
			text = append(text, " -> "+to...)
		case !e.IsDir():
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text = fmt.Appendf(text, " = %s", b)
		}
		text = append(text, '\n')
		return nil
	})
	if err != nil {
		return err
	}
	return os.WriteFile(out, text, 0o644)
}
