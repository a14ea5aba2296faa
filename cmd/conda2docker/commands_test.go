package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/rogpeppe/go-internal/testscript"
)

type scriptCommand = func(ts *testscript.TestScript, neg bool, args []string)

// scriptCommands are what scripts can say besides testscript's own commands.
func scriptCommands() map[string]scriptCommand {
	return map[string]scriptCommand{
		"exits":     runExits,
		"unchanged": positive(isUnchanged),
		"remember":  positive(remember),
		"channel":   positive(channelCommand),
		"registry":  positive(registryCommand),
		"delete":    positive(deleteOne),
	}
}

// positive makes a command of a function; ! before it is a mistake.
func positive(run func(ts *testscript.TestScript, w *world, args []string) error) scriptCommand {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		w, ok := ts.Value(worldKey{}).(*world)
		if !ok || neg {
			ts.Fatalf("unsupported here: ! %s", strings.Join(args, " "))
		}
		ts.Check(run(ts, w, args))
	}
}

// runExits is "exits CODE PROGRAM ARGUMENT…": the program must end with that exit code.
func runExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGUMENT...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// isUnchanged is "unchanged": since the script began, or since "remember", nothing was written in its folder but in the cache.
func isUnchanged(ts *testscript.TestScript, w *world, _ []string) error {
	now, err := filesBelow(ts.Getenv("WORK"))
	if err != nil {
		return err
	}
	var errs []error
	for path, body := range now {
		if before, ok := w.files[path]; !ok {
			errs = append(errs, fmt.Errorf("%s was written", path))
		} else if before != body {
			errs = append(errs, fmt.Errorf("%s was changed", path))
		}
	}
	for path := range w.files {
		if _, ok := now[path]; !ok {
			errs = append(errs, fmt.Errorf("%s was removed", path))
		}
	}
	return errors.Join(errs...)
}

func remember(ts *testscript.TestScript, w *world, _ []string) (err error) {
	w.files, err = filesBelow(ts.Getenv("WORK"))
	return err
}

// channelCommand is about the channel: "requests" prints them, "forget" forgets them, "corrupt PATH" changes a byte of a file,
// "login USER PASSWORD" and "token TOKEN" make it private.
func channelCommand(ts *testscript.TestScript, w *world, args []string) error {
	switch {
	case slices.Equal(args, []string{"requests"}):
		for _, r := range w.channel.Requests() {
			fmt.Fprintf(ts.Stdout(), "%s %s %d\n", r.Method, r.Path, r.Status)
		}
		fmt.Fprint(ts.Stdout())
	case slices.Equal(args, []string{"forget"}):
		w.channel.Forget()
	case len(args) == 2 && args[0] == "corrupt":
		return corrupt(w, args[1])
	case len(args) == 3 && args[0] == "login":
		w.channel.RequireBasicAuth(args[1], args[2])
	case len(args) == 2 && args[0] == "token":
		w.channel.RequireToken(args[1])
	default:
		return errors.New("usage: channel requests|forget|corrupt PATH|login USER PASSWORD|token TOKEN")
	}
	return nil
}

// corrupt changes the last byte of a package's file.
func corrupt(w *world, path string) error {
	for _, p := range packages() {
		a := p.Archive(w.t)
		if string(a.Record.Subdir)+"/"+a.FileName == path {
			b := slices.Clone(a.Bytes)
			b[len(b)-1] ^= 1
			w.channel.Set(path, b)
			return nil
		}
	}
	return fmt.Errorf("the channel has no %s", path)
}

// registryCommand is about the image registry: "requests" prints them, "forget" forgets them, "digest REF" prints what it answers
// for a reference, "validate REF" checks all bytes of an image.
func registryCommand(ts *testscript.TestScript, w *world, args []string) error {
	switch {
	case slices.Equal(args, []string{"requests"}):
		_, err := fmt.Fprint(ts.Stdout(), w.registry.log())
		return err
	case slices.Equal(args, []string{"forget"}):
		w.registry.forget()
		return nil
	case len(args) != 2:
		return errors.New("usage: registry requests|forget|digest REF|validate REF")
	}
	ref, err := name.ParseReference(args[1])
	if err != nil {
		return err
	}
	if args[0] == "digest" {
		head, err := remote.Head(ref)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(ts.Stdout(), head.Digest)
		return err
	}
	img, err := remote.Image(ref)
	if err != nil {
		return err
	}
	return validate.Image(img)
}

// deleteOne is "delete GLOB": it removes the one file or folder of that name.
func deleteOne(ts *testscript.TestScript, _ *world, args []string) error {
	if len(args) != 1 {
		return errors.New("usage: delete GLOB")
	}
	found, err := filepath.Glob(ts.MkAbs(args[0]))
	if err != nil {
		return err
	}
	if len(found) != 1 {
		return fmt.Errorf("%s names %d files: %v", args[0], len(found), found)
	}
	return os.RemoveAll(found[0])
}
