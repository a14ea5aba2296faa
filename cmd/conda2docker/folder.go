package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/datalayer/conda2docker/conda"
)

// projectFolder is what a folder in repo2docker's manner says of an image.
type projectFolder struct {
	files          []string // the environment, or a lock of it
	apt, postBuild string   // files; "" where there is none
	notes          []string // what is taken, and what is not followed
}

// readFolder finds the files of a folder: below binder/ where that is there, else below .binder/, else in it, as repo2docker has it. A lock
// conda-SUBDIR.lock counts more than environment.yml, as pangeo's images have it.
func readFolder(dir string, s conda.Subdir) (projectFolder, error) {
	var p projectFolder
	from := dir
	binder, hidden := filepath.Join(dir, "binder"), filepath.Join(dir, ".binder")
	switch {
	case isFolder(binder) && isFolder(hidden):
		return p, fmt.Errorf("%s has both binder and .binder: remove one", dir)
	case isFolder(binder):
		from = binder
	case isFolder(hidden):
		from = hidden
	}
	find := func(names ...string) string {
		for _, name := range names {
			if info, err := os.Stat(filepath.Join(from, name)); err == nil && info.Mode().IsRegular() {
				return filepath.Join(from, name)
			}
		}
		return ""
	}
	locked, environment := find("conda-"+string(s)+".lock"), find("environment.yml", "environment.yaml")
	switch {
	case locked != "":
		p.files = []string{locked}
	case environment != "":
		p.files = []string{environment}
	default:
		return p, fmt.Errorf("%s has neither environment.yml nor conda-%s.lock", from, s)
	}
	p.apt, p.postBuild = find("apt.txt"), find("postBuild")
	for _, f := range append(p.files, p.apt, p.postBuild) {
		if err := staysIn(dir, f); err != nil {
			return p, err
		}
	}
	p.notes = append(p.notes, "taken from "+from+": "+takenFrom(p))
	if locked != "" && environment != "" {
		p.notes = append(p.notes, "warning: "+environment+" is not read: the lock beside it says what is installed")
	}
	for _, name := range []string{"start", "requirements.txt", "runtime.txt", "setup.py", "Pipfile", "Pipfile.lock", "Project.toml", "install.R", "DESCRIPTION", "default.nix", "Dockerfile"} {
		if at := find(name); at != "" {
			p.notes = append(p.notes, "warning: "+at+" is not followed")
		}
	}
	return p, nil
}

// staysIn refuses a file that is a link out of the folder: what is not the folder's may be a secret of this machine, and messages show
// lines of what does not parse.
func staysIn(dir, file string) error {
	if file == "" {
		return nil
	}
	root, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	at, err := filepath.EvalSymlinks(file)
	if err != nil {
		return err
	}
	if rel, err := filepath.Rel(root, at); err != nil || !filepath.IsLocal(rel) {
		return fmt.Errorf("%s is a link that leads out of %s: put the file itself there", file, dir)
	}
	return nil
}

func takenFrom(p projectFolder) string {
	var names []string
	for _, f := range append(p.files, p.apt, p.postBuild) {
		if f != "" {
			names = append(names, filepath.Base(f))
		}
	}
	return enumerate(names)
}

func isFolder(at string) bool {
	info, err := os.Stat(at)
	return err == nil && info.IsDir()
}

// folderOf is the folder that is given in place of environment files; an empty one where there is none.
func folderOf(files []string, s conda.Subdir) (projectFolder, error) {
	for _, f := range files {
		if isFolder(f) && len(files) > 1 {
			return projectFolder{}, errors.New(f + " is a folder: give it alone")
		}
	}
	if !isFolder(files[0]) {
		return projectFolder{files: files}, nil
	}
	return readFolder(files[0], s)
}
