package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/datalayer/conda2docker/conda/condatest"
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
		"damage":    positive(damageOne),
		"secret":    positive(isSecret),
		"debian":    positive(debianCommand),
		"config":    positive(configCommand),
		"contain":   positive(containCommand),
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
// "login USER PASSWORD" and "token TOKEN" make it private, "mirror REPOSITORY" copies it into a registry, "sha256 PATH VARIABLE" keeps a package's checksum.
func channelCommand(ts *testscript.TestScript, w *world, args []string) error {
	switch {
	case slices.Equal(args, []string{"requests"}):
		for _, r := range w.channel.Requests() {
			fmt.Fprintf(ts.Stdout(), "%s %s %d\n", r.Method, r.Path, r.Status)
		}
		fmt.Fprint(ts.Stdout())
	case slices.Equal(args, []string{"forget"}):
		w.channel.Forget()
	case slices.Equal(args, []string{"lasting"}): // its answers hold for an hour
		w.channel.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Cache-Control", "max-age=3600")
			return false
		})
	case len(args) == 2 && args[0] == "mirror":
		return mirrorChannel(w.t, w.channel, args[1])
	case len(args) == 2 && args[0] == "corrupt":
		return corrupt(w, args[1])
	case len(args) == 3 && args[0] == "login":
		w.channel.RequireBasicAuth(args[1], args[2])
	case len(args) == 2 && args[0] == "token":
		w.channel.RequireToken(args[1])
	case len(args) == 3 && args[0] == "sha256":
		a, err := archiveAt(w, args[1])
		if err != nil {
			return err
		}
		ts.Setenv(args[2], a.Record.SHA256)
	default:
		return errors.New("usage: channel requests|forget|lasting|corrupt PATH|login USER PASSWORD|token TOKEN|sha256 PATH VARIABLE")
	}
	return nil
}

// archiveAt is the package that the channel has at a path.
func archiveAt(w *world, path string) (condatest.Archive, error) {
	for _, p := range packages() {
		a := p.Archive(w.t)
		if string(a.Record.Subdir)+"/"+a.FileName == path {
			return a, nil
		}
	}
	return condatest.Archive{}, fmt.Errorf("the channel has no %s", path)
}

// corrupt changes the last byte of a package's file.
func corrupt(w *world, path string) error {
	a, err := archiveAt(w, path)
	if err != nil {
		return err
	}
	b := slices.Clone(a.Bytes)
	b[len(b)-1] ^= 1
	w.channel.Set(path, b)
	return nil
}

// registryCommand is about the image registry: "requests" prints them, "forget" forgets them, "digest REF [VARIABLE]" prints what it
// answers for a reference, and keeps it, "validate REF" checks all bytes of an image, "cat REF FILE" prints a file of it, "list REF"
// what there is, with owners and modes.
func registryCommand(ts *testscript.TestScript, w *world, args []string) error {
	switch {
	case slices.Equal(args, []string{"requests"}):
		_, err := fmt.Fprint(ts.Stdout(), w.registry.log())
		return err
	case slices.Equal(args, []string{"forget"}):
		w.registry.forget()
		return nil
	case len(args) < 2:
		return errors.New("usage: registry requests|forget|digest REF [VARIABLE]|validate REF|cat REF FILE|list REF")
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
		if len(args) > 2 {
			ts.Setenv(args[2], head.Digest.String())
		}
		_, err = fmt.Fprintln(ts.Stdout(), head.Digest)
		return err
	}
	img, err := remote.Image(ref)
	if err != nil {
		return err
	}
	if args[0] == "cat" && len(args) == 3 {
		_, err := fmt.Fprint(ts.Stdout(), readImage(w.t, img).body(w.t, args[2]))
		return err
	}
	if args[0] == "list" {
		files := readImage(w.t, img).files
		for _, at := range slices.Sorted(maps.Keys(files)) {
			h := files[at].header
			fmt.Fprintf(ts.Stdout(), "%s %04o %d:%d\n", at, h.Mode, h.Uid, h.Gid)
		}
		return nil
	}
	return validate.Image(img)
}

// deleteOne is "delete GLOB": it removes the first of the files or folders of that name, which is then called $DELETED.
func deleteOne(ts *testscript.TestScript, _ *world, args []string) error {
	if len(args) != 1 {
		return errors.New("usage: delete GLOB")
	}
	found, err := filepath.Glob(ts.MkAbs(args[0]))
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return fmt.Errorf("there is no %s", args[0])
	}
	ts.Setenv("DELETED", found[0])
	return os.RemoveAll(found[0])
}

// damageOne is "damage GLOB": it changes a byte in the middle of the first of the files of that name.
func damageOne(ts *testscript.TestScript, _ *world, args []string) error {
	if len(args) != 1 {
		return errors.New("usage: damage GLOB")
	}
	found, err := filepath.Glob(ts.MkAbs(args[0]))
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return fmt.Errorf("there is no %s", args[0])
	}
	b, err := os.ReadFile(found[0])
	if err != nil {
		return err
	}
	b[len(b)/2]++ // not undone by doing it twice: a segment, a layer and an image may be one file
	return os.WriteFile(found[0], b, 0o644)
}

// isSecret is "secret TEXT…": none of the texts is in what the program printed last, nor in any file but those that the script
// brought. Compressed files are read too, and so is the cache.
func isSecret(ts *testscript.TestScript, w *world, texts []string) error {
	return errors.Join(
		look("stdout", strings.NewReader(ts.ReadFile("stdout")), texts), look("stderr", strings.NewReader(ts.ReadFile("stderr")), texts),
		lookBelow(ts.Getenv("WORK"), w.files, texts),
	)
}

// look finds texts that are not to be there.
func look(where string, r io.Reader, texts []string) error {
	longest := 1
	for _, text := range texts {
		longest = max(longest, len(text))
	}
	found := map[string]bool{}
	window := make([]byte, 0, 1<<20)
	for {
		n, err := io.ReadFull(r, window[len(window):cap(window)])
		window = window[:len(window)+n]
		for _, text := range texts {
			found[text] = found[text] || bytes.Contains(window, []byte(text))
		}
		if err != nil {
			break // whatever is not compressed ends so, too
		}
		kept := copy(window, window[len(window)-longest+1:])
		window = window[:kept]
	}
	var errs []error
	for _, text := range texts {
		if found[text] {
			errs = append(errs, fmt.Errorf("%s holds %q", where, text))
		}
	}
	return errors.Join(errs...)
}

// lookBelow finds texts in the files below dir, as they are and decompressed, but for those that are known.
func lookBelow(dir string, known map[string]string, texts []string) error {
	var errs []error
	seen := map[uint64]bool{} // a blob has several names
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if _, ok := known[path]; err != nil || ok || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && seen[st.Ino] {
			return nil
		} else if ok {
			seen[st.Ino] = true
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		errs = append(errs, look(path, f, texts))
		for _, decompress := range []func(io.Reader) (io.Reader, error){gunzip, unzstd} {
			if _, err := f.Seek(0, io.SeekStart); err != nil {
				return err
			}
			if z, err := decompress(f); err == nil {
				errs = append(errs, look(path+", decompressed,", z, texts))
			}
		}
		return nil
	})
	return errors.Join(append(errs, err)...)
}

func gunzip(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }

func unzstd(r io.Reader) (io.Reader, error) { return zstd.NewReader(r, zstd.WithDecoderConcurrency(1)) }
