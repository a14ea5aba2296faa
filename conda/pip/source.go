package pip

import (
	"archive/tar"
	"archive/zip"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// maxProject bounds a pyproject.toml.
const maxProject = 4 << 20

// BuildRequires is what a source distribution's build needs (PEP 518), as requirements: what its pyproject.toml says, else what pip
// takes for granted, setuptools. Where setuptools builds, wheel is among it, which older ones ask for only when they run.
func BuildRequires(file string) ([]string, error) {
	body, err := projectFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading source distribution %s: %w", path.Base(file), err)
	}
	var project struct {
		BuildSystem *struct {
			Requires []string `toml:"requires"`
		} `toml:"build-system"`
	}
	if err := toml.Unmarshal(body, &project); err != nil {
		return nil, fmt.Errorf("reading pyproject.toml of source distribution %s: %w", path.Base(file), err)
	}
	if project.BuildSystem == nil {
		return []string{"setuptools>=40.8.0", "wheel"}, nil
	}
	requires := project.BuildSystem.Requires
	has := func(name string) bool {
		return slices.ContainsFunc(requires, func(r string) bool { return RequirementName(r) == name })
	}
	if has("setuptools") && !has("wheel") {
		requires = append(slices.Clip(requires), "wheel")
	}
	return requires, nil
}

var requirementName = regexp.MustCompile(`^\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)`)

// RequirementName is the normalised name of the package that a requirement is about; "" where it begins with none.
func RequirementName(requirement string) string {
	if m := requirementName.FindStringSubmatch(requirement); m != nil {
		return NormalName(m[1])
	}
	return ""
}

// projectFile is the text of a source distribution's pyproject.toml, empty where there is none.
func projectFile(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var body io.Reader
	switch name := strings.ToLower(file); {
	case strings.HasSuffix(name, ".zip"):
		return zippedProject(file)
	case strings.HasSuffix(name, ".tar.gz") || strings.HasSuffix(name, ".tgz"):
		if body, err = gzip.NewReader(f); err != nil {
			return nil, err
		}
	case strings.HasSuffix(name, ".tar.bz2") || strings.HasSuffix(name, ".tbz"):
		body = bzip2.NewReader(f)
	case strings.HasSuffix(name, ".tar"):
		body = f
	default:
		return nil, errors.New("it is neither a .tar.gz, .tar.bz2, .tar nor .zip")
	}
	for tr := tar.NewReader(body); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if isProject(h.Name) {
			return io.ReadAll(io.LimitReader(tr, maxProject))
		}
	}
}

func zippedProject(file string) ([]byte, error) {
	z, err := zip.OpenReader(file)
	if err != nil {
		return nil, err
	}
	defer z.Close()
	for _, f := range z.File {
		if isProject(f.Name) {
			body, err := f.Open()
			if err != nil {
				return nil, err
			}
			defer body.Close()
			return io.ReadAll(io.LimitReader(body, maxProject))
		}
	}
	return nil, nil
}

// isProject reports whether a path is that of pyproject.toml in the one folder that source distributions consist of.
func isProject(name string) bool {
	name = path.Clean(name)
	return path.Base(name) == "pyproject.toml" && strings.Count(name, "/") <= 1
}

// Pack writes a project's folder as a source distribution (.tar.gz) that is the same for the same files: sorted, with times of the
// beginning of 1980, and without what version control and builds leave (".git", "__pycache__", "*.egg-info", "build", "dist").
// A link that leads out of the folder is an error.
func Pack(dir string, w io.Writer) error {
	if err := pack(dir, w); err != nil {
		return fmt.Errorf("packing folder %s: %w", dir, err)
	}
	return nil
}

func pack(dir string, w io.Writer) error {
	if !isProjectFolder(dir) {
		return errors.New("it has neither a pyproject.toml nor a setup.py: it is no Python project")
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	z := gzip.NewWriter(w) // its header has no time and no name
	t := tar.NewWriter(z)
	err = fs.WalkDir(root.FS(), ".", func(p string, e fs.DirEntry, err error) error { // in lexical order
		switch {
		case err != nil || p == ".":
			return err
		case leftOut(p) && e.IsDir():
			return fs.SkipDir
		case leftOut(p):
			return nil
		}
		return packEntry(root, t, p, e)
	})
	return errors.Join(err, t.Close(), z.Close())
}

func isProjectFolder(dir string) bool {
	return slices.ContainsFunc([]string{"pyproject.toml", "setup.py"}, func(name string) bool {
		info, err := os.Stat(filepath.Join(dir, name))
		return err == nil && info.Mode().IsRegular()
	})
}

func leftOut(p string) bool {
	switch base := path.Base(p); base {
	case ".git", ".hg", ".svn", ".bzr", "__pycache__", ".tox", ".nox", ".venv", ".mypy_cache", ".pytest_cache", ".ruff_cache":
		return true
	case "build", "dist":
		return !strings.Contains(p, "/")
	default:
		return strings.HasSuffix(base, ".egg-info") || strings.HasSuffix(base, ".pyc")
	}
}

// packedFolder is the one folder that a packed project consists of.
const packedFolder = "project/"

func packEntry(root *os.Root, t *tar.Writer, p string, e fs.DirEntry) error {
	h := &tar.Header{Name: packedFolder + p, ModTime: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC), Format: tar.FormatPAX, Mode: 0o644}
	info, err := root.Stat(p) // of what a link leads to: pip copies that too
	if err != nil {
		return err
	}
	switch {
	case e.IsDir():
		h.Typeflag, h.Mode, h.Name = tar.TypeDir, 0o755, h.Name+"/"
		return t.WriteHeader(h)
	case info.IsDir():
		return fmt.Errorf("%s is a link to a folder: put the folder itself there", p)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is neither a file nor a folder", p)
	case info.Mode()&0o111 != 0:
		h.Mode = 0o755
	}
	h.Typeflag, h.Size = tar.TypeReg, info.Size()
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	f, err := root.Open(p)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(t, f)
	return err
}
