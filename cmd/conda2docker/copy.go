package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/datalayer/conda2docker/builder/base"
	"github.com/datalayer/conda2docker/builder/layer"
)

// copiedName is what the layer of copied files is called.
const copiedName = "copied files"

// copySpec is a file or a folder of this disk, and where the image gets it.
type copySpec struct {
	from string
	to   string      // absolute and clean
	into bool        // a file goes into the folder to
	mode fs.FileMode // of files; 0: 0755 for executable ones, else 0644
}

// parseCopy reads SRC:DEST[:MODE].
func parseCopy(s string) (copySpec, error) {
	parts := strings.Split(s, ":")
	if len(parts) < 2 || len(parts) > 3 || parts[0] == "" {
		return copySpec{}, errors.New("want SRC:DEST or SRC:DEST:MODE")
	}
	c := copySpec{from: parts[0], to: path.Clean(parts[1]), into: strings.HasSuffix(parts[1], "/")}
	if !path.IsAbs(parts[1]) || slices.Contains(strings.Split(parts[1], "/"), "..") {
		return c, fmt.Errorf("%q: want an absolute path in the image, without \"..\"", parts[1])
	}
	for _, dir := range []string{"/proc", "/sys", "/dev", "/run/conda2docker", prefix + "/conda-meta"} {
		if c.to == dir || strings.HasPrefix(c.to, dir+"/") {
			return c, fmt.Errorf("%s: nothing can be put there", c.to)
		}
	}
	if len(parts) == 3 {
		n, err := strconv.ParseUint(parts[2], 8, 32)
		if err != nil || n == 0 || n > 0o777 {
			return c, fmt.Errorf("mode %q: want permissions in octal, such as 0644", parts[2])
		}
		c.mode = fs.FileMode(n)
	}
	info, err := os.Stat(c.from)
	switch {
	case err != nil:
		return c, err
	case !info.IsDir() && !info.Mode().IsRegular():
		return c, fmt.Errorf("%s is neither a file nor a folder", c.from)
	case !info.IsDir() && c.to == "/" && !c.into:
		return c, errors.New("want the name that the file shall have")
	}
	return c, nil
}

// copiedFiles are all that is copied into the image: root's, and as old as the rest. Of several for one path, the last one counts.
func copiedFiles(specs []copySpec, img base.Image) ([]layer.File, error) {
	files := map[string]layer.File{}
	for _, c := range specs {
		err := c.walk(func(f layer.File) {
			f.Path = throughLinks(f.Path, img.Facts.Links)
			files[f.Path] = f
		})
		if err != nil {
			return nil, fmt.Errorf("copying %s into the image: %w", c.from, err)
		}
	}
	out := make([]layer.File, 0, len(files))
	for _, at := range sortedKeys(files) {
		if at != "/" {
			out = append(out, files[at])
		}
	}
	return out, nil
}

// throughLinks is where a path leads when the root has links such as /bin: a folder of that name in a layer would take a link's place.
func throughLinks(at string, links map[string]string) string {
	first, rest, _ := strings.Cut(strings.TrimPrefix(at, "/"), "/")
	if to, ok := links[first]; ok && rest != "" {
		return path.Join("/", to, rest)
	}
	return at
}

// walk hands out the file, or all that is in the folder.
func (c copySpec) walk(add func(layer.File)) error {
	info, err := os.Stat(c.from)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		to := c.to
		if c.into {
			to = path.Join(to, filepath.Base(c.from))
		}
		f, err := c.file(c.from, to, info)
		add(f)
		return err
	}
	root, err := filepath.EvalSymlinks(c.from)
	if err != nil {
		return err
	}
	return filepath.WalkDir(root, func(at string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, at)
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		f, err := c.entry(root, at, path.Join(c.to, filepath.ToSlash(rel)), info)
		add(f)
		return err
	})
}

// entry is one entry of a folder.
func (c copySpec) entry(root, at, to string, info fs.FileInfo) (layer.File, error) {
	switch {
	case info.IsDir():
		return layer.File{Path: to, Dir: true}, nil
	case info.Mode().IsRegular():
		return c.file(at, to, info)
	case info.Mode()&fs.ModeSymlink != 0:
		link, err := os.Readlink(at)
		if err != nil {
			return layer.File{}, err
		}
		if inside, err := filepath.Rel(root, filepath.Join(filepath.Dir(at), link)); filepath.IsAbs(link) || err != nil || !filepath.IsLocal(inside) {
			return layer.File{}, fmt.Errorf("%s is a link to %s, which is outside of the folder: copy that too, or instead", at, link)
		}
		return layer.File{Path: to, Link: filepath.ToSlash(link)}, nil
	}
	return layer.File{}, fmt.Errorf("%s is neither a file nor a folder nor a link", at)
}

func (c copySpec) file(at, to string, info fs.FileInfo) (layer.File, error) {
	f := layer.File{Path: to, Mode: c.mode, Source: at, Size: info.Size()}
	if f.Mode == 0 {
		f.Mode = 0o644
		if info.Mode()&0o111 != 0 {
			f.Mode = 0o755
		}
	}
	r, err := os.Open(at)
	if err != nil {
		return f, err
	}
	h := sha256.New()
	_, err = io.Copy(h, r)
	f.SHA256 = hex.EncodeToString(h.Sum(nil))
	return f, errors.Join(err, r.Close())
}
