package sandbox

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dsnet/compress/bzip2"
	"github.com/klauspost/compress/zstd"
)

// index is a package's info/index.json and, with the last fields, its record in repodata.json.
type index struct {
	Arch        string   `json:"arch,omitempty"`
	Build       string   `json:"build"`
	BuildNumber int      `json:"build_number"`
	Constrains  []string `json:"constrains,omitempty"`
	Depends     []string `json:"depends"`
	License     string   `json:"license,omitempty"`
	MD5         string   `json:"md5,omitempty"`
	Name        string   `json:"name"`
	NoArch      string   `json:"noarch,omitempty"`
	Platform    string   `json:"platform,omitempty"`
	SHA256      string   `json:"sha256,omitempty"`
	Size        int64    `json:"size,omitempty"`
	Subdir      string   `json:"subdir"`
	Timestamp   int64    `json:"timestamp"`
	Version     string   `json:"version"`
}

func (ix index) fileName(bz2 bool) string {
	ext := ".conda"
	if bz2 {
		ext = ".tar.bz2"
	}
	return ix.Name + "-" + ix.Version + "-" + ix.Build + ext
}

// pathEntry is a file of info/paths.json (CEP 34).
type pathEntry struct {
	Path        string `json:"_path"`
	PathType    string `json:"path_type"`
	SHA256      string `json:"sha256"`
	Size        int64  `json:"size_in_bytes"`
	FileMode    string `json:"file_mode,omitempty"`
	Placeholder string `json:"prefix_placeholder,omitempty"`
}

// paths describes the tree's files: which of them hold the placeholder, and how it is to be replaced.
func (t *tree) paths() ([]pathEntry, error) {
	var entries []pathEntry
	err := t.walk(func(p string, info fs.FileInfo) error {
		e := pathEntry{Path: p, PathType: "hardlink", Size: info.Size()}
		full := filepath.Join(t.dir, p)
		if info.Mode()&fs.ModeSymlink != 0 {
			e.PathType = "softlink"
			if st, err := os.Stat(full); err != nil || st.IsDir() {
				e.Size, e.SHA256 = 0, hex.EncodeToString(sha256.New().Sum(nil))
				entries = append(entries, e)
				return nil //nolint:nilerr // its target is in another package
			}
		}
		b, err := os.ReadFile(full)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(b)
		e.SHA256, e.Size = hex.EncodeToString(sum[:]), int64(len(b))
		if e.PathType == "hardlink" && bytes.Contains(b, []byte(placeholder)) {
			e.Placeholder, e.FileMode = placeholder, "text"
			if bytes.IndexByte(b, 0) >= 0 {
				e.FileMode = "binary"
			}
		}
		entries = append(entries, e)
		return nil
	})
	return entries, err
}

// info makes the files below info/ (CEP 34).
func (t *tree) info(ix index, paths []pathEntry) (map[string][]byte, error) {
	names := make([]string, len(paths))
	var hasPrefix strings.Builder
	for i, p := range paths {
		names[i] = p.Path
		if p.Placeholder != "" {
			fmt.Fprintf(&hasPrefix, "%s %s %s\n", p.Placeholder, p.FileMode, p.Path)
		}
	}
	sources := make([]map[string]string, len(t.debs))
	for i, d := range t.debs {
		sources[i] = map[string]string{"fn": filepath.Base(d.Path), "sha256": d.SHA256}
	}
	documents := map[string]any{
		"info/index.json": ix,
		"info/paths.json": map[string]any{"paths": paths, "paths_version": 1},
		"info/about.json": map[string]any{
			"home": "https://packages.debian.org/bookworm/" + t.From[0], "license": t.License, "summary": "made from Debian's packages",
			"extra": map[string]any{"debian": sources},
		},
	}
	if t.NoArch {
		documents["info/link.json"] = map[string]any{"noarch": map[string]any{"type": "python", "entry_points": t.entries}, "package_metadata_version": 1}
	}
	files := map[string][]byte{"info/files": []byte(strings.Join(names, "\n") + "\n")}
	if hasPrefix.Len() > 0 {
		files["info/has_prefix"] = []byte(hasPrefix.String())
	}
	for name, doc := range documents {
		b, err := json.MarshalIndent(doc, "", "  ")
		if err != nil {
			return nil, err
		}
		files[name] = b
	}
	return files, nil
}

// pack writes the archive to dir and returns its record.
func (t *tree) pack(ix index, dir string) (index, error) {
	paths, err := t.paths()
	if err != nil {
		return index{}, err
	}
	info, err := t.info(ix, paths)
	if err != nil {
		return index{}, err
	}
	to := filepath.Join(dir, ix.fileName(t.Bzip2))
	tmp, err := os.CreateTemp(dir, ".part-*")
	if err != nil {
		return index{}, err
	}
	defer os.Remove(tmp.Name())
	sums := [2]hash.Hash{md5.New(), sha256.New()}
	count := &counter{}
	w := io.MultiWriter(tmp, sums[0], sums[1], count)
	if t.Bzip2 {
		err = t.writeBzip2(w, info)
	} else {
		err = t.writeConda(w, ix, info)
	}
	if err != nil {
		return index{}, err
	}
	if err := tmp.Close(); err != nil {
		return index{}, err
	}
	if err := os.Chmod(tmp.Name(), 0o644); err != nil {
		return index{}, err
	}
	ix.MD5, ix.SHA256, ix.Size = hex.EncodeToString(sums[0].Sum(nil)), hex.EncodeToString(sums[1].Sum(nil)), count.n
	return ix, os.Rename(tmp.Name(), to)
}

type counter struct{ n int64 }

func (c *counter) Write(b []byte) (int, error) {
	c.n += int64(len(b))
	return len(b), nil
}

// writeConda writes the format of CEP 35: a zip of two zstd-compressed tars.
func (t *tree) writeConda(w io.Writer, ix index, info map[string][]byte) error {
	z := zip.NewWriter(w)
	stem := strings.TrimSuffix(ix.fileName(false), ".conda")
	member := func(name string) (io.Writer, error) {
		return z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
	}
	meta, err := member("metadata.json")
	if err != nil {
		return err
	}
	if _, err := io.WriteString(meta, `{"conda_pkg_format_version": 2}`); err != nil {
		return err
	}
	for _, part := range []struct {
		name  string
		write func(*tar.Writer) error
	}{
		{"pkg-" + stem + ".tar.zst", t.writeFiles},
		{"info-" + stem + ".tar.zst", func(tw *tar.Writer) error { return t.writeInfo(tw, info) }},
	} {
		m, err := member(part.name)
		if err != nil {
			return err
		}
		zw, err := zstd.NewWriter(m, zstd.WithEncoderConcurrency(1))
		if err != nil {
			return err
		}
		tw := tar.NewWriter(zw)
		if err := part.write(tw); err != nil {
			return err
		}
		if err := tw.Close(); err != nil {
			return err
		}
		if err := zw.Close(); err != nil {
			return err
		}
	}
	return z.Close()
}

// writeBzip2 writes the older format.
func (t *tree) writeBzip2(w io.Writer, info map[string][]byte) error {
	bw, err := bzip2.NewWriter(w, nil)
	if err != nil {
		return err
	}
	tw := tar.NewWriter(bw)
	if err := t.writeInfo(tw, info); err != nil {
		return err
	}
	if err := t.writeFiles(tw); err != nil {
		return err
	}
	if err := tw.Close(); err != nil {
		return err
	}
	return bw.Close()
}

func (t *tree) writeInfo(tw *tar.Writer, info map[string][]byte) error {
	for _, name := range sortedKeys(info) {
		h := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(info[name])), ModTime: t.when.Truncate(time.Second), Format: tar.FormatGNU}
		if err := tw.WriteHeader(h); err != nil {
			return err
		}
		if _, err := tw.Write(info[name]); err != nil {
			return err
		}
	}
	return nil
}

func (t *tree) writeFiles(tw *tar.Writer) error {
	return t.walk(func(p string, info fs.FileInfo) error {
		full := filepath.Join(t.dir, p)
		h := &tar.Header{Name: p, Mode: int64(info.Mode().Perm()), Size: info.Size(), ModTime: info.ModTime().Truncate(time.Second), Format: tar.FormatGNU, Typeflag: tar.TypeReg}
		if target, err := os.Readlink(full); err == nil {
			h.Typeflag, h.Linkname, h.Size, h.Mode, h.ModTime = tar.TypeSymlink, target, 0, 0o777, t.when.Truncate(time.Second)
		}
		if err := tw.WriteHeader(h); err != nil || h.Typeflag == tar.TypeSymlink {
			return err
		}
		f, err := os.Open(full)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(tw, f)
		return err
	})
}

// index is the tree's info/index.json: what the package is called and needs.
func (t *tree) index(depends []string) index {
	ix := index{
		Name: t.Name, Version: t.version(), Depends: depends, Constrains: t.Constrains, License: t.License,
		Subdir: "linux-64", Arch: "x86_64", Platform: "linux", Timestamp: t.when.UnixMilli(),
	}
	// As conda-build does: the build string is a hash of what the package was made from.
	h := sha256.New()
	for _, d := range t.debs {
		fmt.Fprintln(h, d.SHA256)
	}
	fmt.Fprintf(h, "%+v\n%v\n%d\n", t.recipe, depends, formatVersion)
	id := hex.EncodeToString(h.Sum(nil))[:7]
	python := slices.ContainsFunc(depends, func(d string) bool { return strings.HasPrefix(d, "python >=3.11,") })
	switch {
	case t.NoArch:
		ix.NoArch, ix.Subdir, ix.Arch, ix.Platform = "python", "noarch", "", ""
		ix.Build = "pyhd" + id + "_0"
	case python:
		ix.Build = "py311h" + id + "_0"
	default:
		ix.Build = "h" + id + "_0"
	}
	return ix
}
