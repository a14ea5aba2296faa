package pip

import (
	"archive/zip"
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/textproto"
	"path"
	"slices"
	"strings"
)

// Wheel is what a wheel says of itself (PEP 427).
type Wheel struct {
	Name, Version string // of its METADATA
	Pure          bool   // it is for every platform
	Files         []string
	Scripts       []string // that its entry points become
}

// maxMetadata bounds the files of a wheel that are read into memory.
const maxMetadata = 16 << 20

// ReadWheel reads a wheel. Files and folders in it whose paths lead out of it are an error.
func ReadWheel(file string) (Wheel, error) {
	w, err := readWheel(file)
	if err != nil {
		return Wheel{}, fmt.Errorf("reading wheel %s: %w", path.Base(file), err)
	}
	return w, nil
}

func readWheel(file string) (Wheel, error) {
	z, err := zip.OpenReader(file)
	if err != nil {
		return Wheel{}, err
	}
	defer z.Close()
	var w Wheel
	info := ""
	for _, f := range z.File {
		if !fs.ValidPath(strings.TrimSuffix(f.Name, "/")) {
			return Wheel{}, fmt.Errorf("%q is not a path in the wheel", f.Name)
		}
		if dir, base := path.Split(f.Name); base == "METADATA" && strings.HasSuffix(dir, ".dist-info/") && strings.Count(dir, "/") == 1 {
			if info != "" {
				return Wheel{}, fmt.Errorf("it has both %s and %s", info, dir)
			}
			info = dir
		}
		if !strings.HasSuffix(f.Name, "/") {
			w.Files = append(w.Files, f.Name)
		}
	}
	if info == "" {
		return Wheel{}, errors.New("it has no METADATA")
	}
	slices.Sort(w.Files)
	metadata, err := headers(z, info+"METADATA")
	if err != nil {
		return Wheel{}, err
	}
	w.Name, w.Version = metadata.Get("Name"), metadata.Get("Version")
	if w.Name == "" || w.Version == "" {
		return Wheel{}, errors.New("its METADATA has no name or no version")
	}
	tags, err := headers(z, info+"WHEEL")
	if err != nil {
		return Wheel{}, err
	}
	w.Pure = !slices.ContainsFunc(tags.Values("Tag"), func(t string) bool { return !strings.HasSuffix(t, "-none-any") })
	w.Scripts, err = entryPoints(z, info+"entry_points.txt")
	return w, err
}

// headers reads a file of "Key: value" lines, whose body does not matter.
func headers(z *zip.ReadCloser, name string) (textproto.MIMEHeader, error) {
	f, err := z.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	out := textproto.MIMEHeader{}
	lines := bufio.NewScanner(io.LimitReader(f, maxMetadata))
	lines.Buffer(nil, maxMetadata)
	for lines.Scan() {
		line := strings.TrimRight(lines.Text(), "\r")
		if line == "" {
			break
		}
		if key, value, ok := strings.Cut(line, ":"); ok && !strings.HasPrefix(line, " ") {
			out.Add(key, strings.TrimSpace(value))
		}
	}
	return out, lines.Err()
}

// entryPoints are the names of the scripts that pip makes for a wheel.
func entryPoints(z *zip.ReadCloser, name string) ([]string, error) {
	f, err := z.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []string
	scripts := false
	lines := bufio.NewScanner(io.LimitReader(f, maxMetadata))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		switch script, _, isEntry := strings.Cut(line, "="); {
		case strings.HasPrefix(line, "["):
			scripts = line == "[console_scripts]" || line == "[gui_scripts]"
		case scripts && isEntry && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, ";"):
			out = append(out, strings.TrimSpace(script))
		}
	}
	slices.Sort(out)
	return slices.Compact(out), lines.Err()
}

// Paths are the files that pip puts in a prefix, relative to it, sorted, where python's packages are in site, such as
// "lib/python3.11/site-packages". Headers, which every distribution has a folder of its own for, are left out.
func (w Wheel) Paths(site string) []string {
	var out []string
	for _, f := range w.Files {
		first, rest, _ := strings.Cut(f, "/")
		if !strings.HasSuffix(first, ".data") {
			out = append(out, path.Join(site, f))
			continue
		}
		switch kind, below, _ := strings.Cut(rest, "/"); kind {
		case "purelib", "platlib":
			out = append(out, path.Join(site, below))
		case "scripts":
			out = append(out, path.Join("bin", below))
		case "data":
			out = append(out, below)
		}
	}
	for _, s := range w.Scripts {
		out = append(out, path.Join("bin", s))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Distribution is the name, normalised, and the version of an installed distribution's metadata, of which p is a file or folder:
// "NAME-VERSION.dist-info/METADATA", or an egg-info's. ok is false for other paths. The name may be written in other ways.
func Distribution(p string) (name, version string, ok bool) {
	for part := range strings.SplitSeq(p, "/") {
		stem, found := strings.CutSuffix(part, ".dist-info")
		if !found {
			if stem, found = strings.CutSuffix(part, ".egg-info"); !found {
				continue
			}
		}
		name, version, _ = strings.Cut(stem, "-")
		version, _, _ = strings.Cut(version, "-py")
		return NormalName(name), version, name != ""
	}
	return "", "", false
}
