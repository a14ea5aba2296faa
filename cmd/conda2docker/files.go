package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// stagedFile is a file that is on disk but does not have its name yet.
type stagedFile struct{ tmp, path string }

// stageFile writes a file beside where it is to be: whatever can fail about it fails here. Its folder is made if needed.
func stageFile(path string, body []byte) (stagedFile, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return stagedFile{}, fmt.Errorf("writing %s: %w", path, err)
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return stagedFile{}, fmt.Errorf("writing %s: it is a folder, name a file", path)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return stagedFile{}, fmt.Errorf("writing %s: %w", path, err)
	}
	f := stagedFile{tmp: tmp.Name(), path: path}
	_, err = tmp.Write(body)
	if err = errors.Join(err, tmp.Chmod(0o644), tmp.Close()); err != nil {
		f.discard()
		return stagedFile{}, fmt.Errorf("writing %s: %w", path, err)
	}
	return f, nil
}

// commit gives the file its name.
func (f stagedFile) commit() error {
	if err := os.Rename(f.tmp, f.path); err != nil {
		f.discard()
		return fmt.Errorf("writing %s: %w", f.path, err)
	}
	return nil
}

// discard removes the file, unless it was committed.
func (f stagedFile) discard() { _ = os.Remove(f.tmp) }

// writeWhole writes a file that is there whole or not at all.
func writeWhole(path string, body []byte) error {
	f, err := stageFile(path, body)
	if err != nil {
		return err
	}
	return f.commit()
}
