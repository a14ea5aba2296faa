package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/datalayer/conda2docker/builder"
)

// stagedFile is a file that is on disk but does not have its name yet.
type stagedFile struct {
	tmp, path string
	body      []byte // of what can only be written in its place, such as a pipe
}

// stageFile writes a file beside where it is to be: whatever can fail about it fails here. Its folder is made if needed.
func stageFile(path string, body []byte) (stagedFile, error) {
	fail := func(err error) (stagedFile, error) {
		return stagedFile{}, fmt.Errorf("writing %s: %w", path, err)
	}
	final, inPlace, err := builder.Destination(path)
	if err != nil {
		return fail(err)
	}
	if inPlace {
		return stagedFile{path: final, body: body}, nil
	}
	if err := os.MkdirAll(filepath.Dir(final), 0o755); err != nil {
		return fail(err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(final), ".tmp-*")
	if err != nil {
		return fail(err)
	}
	f := stagedFile{tmp: tmp.Name(), path: final}
	_, err = tmp.Write(body)
	if err = errors.Join(err, tmp.Chmod(0o644), tmp.Close()); err != nil {
		f.discard()
		return fail(err)
	}
	return f, nil
}

// commit gives the file its name.
func (f stagedFile) commit() error {
	if f.tmp == "" {
		if err := os.WriteFile(f.path, f.body, 0o644); err != nil {
			return fmt.Errorf("writing %s: %w", f.path, err)
		}
		return nil
	}
	if err := os.Rename(f.tmp, f.path); err != nil {
		f.discard()
		return fmt.Errorf("writing %s: %w", f.path, err)
	}
	return nil
}

// discard removes the file, unless it was committed.
func (f stagedFile) discard() {
	if f.tmp != "" {
		_ = os.Remove(f.tmp)
	}
}

// writeWhole writes a file that is there whole or not at all.
func writeWhole(path string, body []byte) error {
	f, err := stageFile(path, body)
	if err != nil {
		return err
	}
	return f.commit()
}
