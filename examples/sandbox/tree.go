package sandbox

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// placeholder is the prefix that the packages were "built" in: 255 bytes, as conda-build makes it, so that any
// shorter prefix fits in its place.
const placeholder = "/home/builder/conda-bld/sandbox/_h_env_" +
	"placehold_placehold_placehold_placehold_placehold_placehold_placehold_placehold_placehold_placehold_" +
	"placehold_placehold_placehold_placehold_placehold_placehold_placehold_placehold_placehold_placehold_placehold_placeh"

// multiarch is where Debian keeps shared libraries.
const multiarch = "x86_64-linux-gnu"

// tree is a package's files, laid out as below a prefix.
type tree struct {
	recipe
	dir     string // the root of the files
	debs    []deb
	elf     map[string]*elfFile // by path below dir
	entries []string            // console scripts, "name = module:function"
	when    time.Time           // of the newest file that Debian shipped: the time of what is added
}

type elfFile struct {
	soname string
	needed []string
	dyn    bool // dynamically linked
}

// buildTree unpacks a recipe's Debian packages and moves their files to where they belong below a prefix.
func buildTree(ctx context.Context, r recipe, debs []deb, dir string) (*tree, error) {
	t := &tree{recipe: r, dir: dir, debs: debs, elf: map[string]*elfFile{}}
	raw := dir + ".raw"
	for _, d := range []string{dir, raw} {
		if err := os.RemoveAll(d); err != nil {
			return nil, err
		}
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	for _, d := range debs {
		if err := d.unpack(ctx, raw); err != nil {
			return nil, err
		}
	}
	if err := t.move(raw); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(raw); err != nil {
		return nil, err
	}
	for _, step := range []func() error{t.fixLinks, t.special, t.edit, t.relocateText, t.python, t.scanELF} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("package %s: %w", r.Name, err)
		}
	}
	return t, nil
}

// destination is where a file of a Debian package goes below the prefix; "" leaves it out.
func (t *tree) destination(p string) string {
	for _, out := range []string{
		"usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/lintian", "usr/share/bash-completion", "usr/share/doc-base", "usr/share/locale",
		"usr/share/applications", "usr/share/pixmaps", "usr/share/bug", "usr/share/perl5", "usr/share/menu", "usr/share/icons", "usr/share/python3", "usr/lib/debug", "var", "etc/init.d",
	} {
		if p == out || strings.HasPrefix(p, out+"/") {
			return ""
		}
	}
	site := "lib/python3.11/site-packages"
	if t.NoArch {
		site = "site-packages"
	}
	moves := [][2]string{
		{"usr/lib/python3/dist-packages", site},
		{"usr/lib/python3.11/dist-packages", site},
		{"usr/lib/" + multiarch + "/openblas-pthread", "lib"},
		{"usr/lib/" + multiarch, "lib"},
		{"lib/" + multiarch, "lib"},
		{"usr/include/" + multiarch, "include"},
		{"usr/lib", "lib"},
		{"lib", "lib"},
		{"usr/include", "include"},
		{"usr/share", "share"},
		{"etc", "etc"},
		{"usr/bin", "bin"},
		{"bin", "bin"},
		{"usr/sbin", "bin"},
		{"sbin", "bin"},
	}
	for _, m := range moves {
		if rest, ok := strings.CutPrefix(p, m[0]+"/"); ok {
			return m[1] + "/" + rest
		}
	}
	return ""
}

func (t *tree) dropped(p string) bool {
	return slices.ContainsFunc(t.Drop, func(d string) bool {
		start, open := strings.CutSuffix(d, "*")
		return p == d || strings.HasPrefix(p, d+"/") || open && strings.HasPrefix(p, start)
	})
}

// move carries the files over from a tree as Debian lays it out.
func (t *tree) move(raw string) error {
	return filepath.WalkDir(raw, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(raw, p)
		if err != nil {
			return err
		}
		dest := t.destination(rel)
		if dest == "" || t.dropped(dest) {
			return nil
		}
		to := filepath.Join(t.dir, dest)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if target, err := os.Readlink(p); err == nil {
			if target = t.retarget(rel, dest, target); target == "" {
				return nil
			}
			return os.Symlink(target, to)
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if info.ModTime().After(t.when) {
			t.when = info.ModTime()
		}
		return os.Rename(p, to)
	})
}

// retarget is a symbolic link's target after the move; "" where it led out of what is kept.
func (t *tree) retarget(from, dest, target string) string {
	if !path.IsAbs(target) {
		target = "/" + path.Join(path.Dir(from), target)
	}
	to := t.destination(strings.TrimPrefix(path.Clean(target), "/"))
	if to == "" || t.dropped(to) {
		return ""
	}
	rel, err := filepath.Rel(path.Dir(dest), to)
	if err != nil || rel == path.Base(dest) {
		return ""
	}
	return rel
}

// fixLinks removes links to files of other packages that no prefix will have.
func (t *tree) fixLinks() error {
	return t.walk(func(p string, _ fs.FileInfo) error {
		full := filepath.Join(t.dir, p)
		if _, err := os.Readlink(full); err != nil {
			return nil //nolint:nilerr // not a link
		}
		if _, err := os.Stat(full); errors.Is(err, fs.ErrNotExist) && !strings.HasPrefix(p, "lib/") {
			return os.Remove(full)
		}
		return nil
	})
}

// special makes what Debian makes when a package is configured.
func (t *tree) special() error {
	switch t.Name {
	case "python":
		for _, name := range []string{"python", "python3"} {
			if err := os.Symlink("python3.11", filepath.Join(t.dir, "bin", name)); err != nil {
				return err
			}
		}
		// Debian's site module is frozen into the interpreter, and looks here.
		link := filepath.Join(t.dir, "lib/python3/dist-packages")
		if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
			return err
		}
		return os.Symlink("../python3.11/site-packages", link)
	case "ca-certificates":
		certificates, err := filepath.Glob(filepath.Join(t.dir, "share/ca-certificates/mozilla/*.crt"))
		if err != nil {
			return err
		}
		slices.Sort(certificates)
		var bundle bytes.Buffer
		for _, c := range certificates {
			b, err := os.ReadFile(c)
			if err != nil {
				return err
			}
			bundle.Write(b)
		}
		return t.write("ssl/cacert.pem", bundle.Bytes(), 0o644)
	}
	return nil
}

// write adds or changes a file.
func (t *tree) write(p string, body []byte, mode fs.FileMode) error {
	full := filepath.Join(t.dir, p)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		return err
	}
	when := t.when
	if info, err := os.Stat(full); err == nil {
		when = info.ModTime()
	}
	if err := os.WriteFile(full, body, mode); err != nil {
		return err
	}
	return os.Chtimes(full, when, when)
}

// edit makes the recipe's edits and adds its extra files.
func (t *tree) edit() error {
	for _, e := range t.Edits {
		b, err := os.ReadFile(filepath.Join(t.dir, e.path))
		if err != nil {
			return err
		}
		if !bytes.Contains(b, []byte(e.old)) {
			return fmt.Errorf("editing %s: it has no %q", e.path, e.old)
		}
		if err := t.write(e.path, bytes.ReplaceAll(b, []byte(e.old), []byte(e.text)), 0o644); err != nil {
			return err
		}
	}
	for _, p := range sortedKeys(t.Extra) {
		mode := fs.FileMode(0o644)
		if strings.HasPrefix(p, "bin/") {
			mode = 0o755
		}
		if err := t.write(p, []byte(t.Extra[p]), mode); err != nil {
			return err
		}
	}
	return nil
}

// Text that names Debian's prefix and is moved to the package's own.
var (
	shebangPython = regexp.MustCompile(`^#! ?/usr/bin/(env )?python3?(\.11)?\b`)
	usrPrefix     = regexp.MustCompile(`(?m)(^prefix=|=|'|")/usr(/|'|"|$)`)
)

// relocateText writes the placeholder where a text file names the prefix that it was built for.
func (t *tree) relocateText() error {
	return t.walk(func(p string, info fs.FileInfo) error {
		if !info.Mode().IsRegular() || info.Size() > 1<<20 {
			return nil
		}
		kernel := strings.HasPrefix(p, "share/jupyter/kernels/")
		config := strings.HasSuffix(p, ".pc") || strings.Contains(p, "_sysconfigdata")
		if !kernel && !config && path.Dir(p) != "bin" {
			return nil
		}
		old, err := os.ReadFile(filepath.Join(t.dir, p))
		if err != nil {
			return err
		}
		var text []byte
		switch {
		case kernel:
			text = bytes.ReplaceAll(old, []byte("/usr/bin/python3"), []byte(placeholder+"/bin/python3"))
		case config:
			text = usrPrefix.ReplaceAll(old, []byte("${1}"+placeholder+"${2}"))
			text = bytes.ReplaceAll(text, []byte("/lib/"+multiarch), []byte("/lib"))
		default:
			text = shebangPython.ReplaceAll(old, []byte("#!"+placeholder+"/bin/python3.11"))
		}
		if bytes.Equal(text, old) {
			return nil
		}
		return t.write(p, text, info.Mode().Perm())
	})
}

// scanELF finds the dynamically linked files and what they are called and need.
func (t *tree) scanELF() error {
	return t.walk(func(p string, info fs.FileInfo) error {
		if !info.Mode().IsRegular() || info.Size() < 64 {
			return nil
		}
		f, err := elf.Open(filepath.Join(t.dir, p))
		if err != nil {
			return nil //nolint:nilerr // not an ELF file
		}
		defer f.Close()
		e := &elfFile{dyn: f.Section(".dynamic") != nil}
		if names, err := f.DynString(elf.DT_SONAME); err == nil && len(names) > 0 {
			e.soname = names[0]
		}
		if e.needed, err = f.ImportedLibraries(); err != nil {
			return fmt.Errorf("reading %s: %w", p, err)
		}
		t.elf[p] = e
		return nil
	})
}

// setRunPaths lets the package's libraries and programs find those in the prefix's lib.
func (t *tree) setRunPaths(ctx context.Context, provided func(soname string) bool) error {
	for _, p := range sortedKeys(t.elf) {
		e := t.elf[p]
		if !e.dyn || !slices.ContainsFunc(e.needed, provided) {
			continue
		}
		up, err := filepath.Rel(path.Dir(p), "lib")
		if err != nil {
			return err
		}
		runPath := strings.TrimSuffix("$ORIGIN/"+up, "/.")
		if t.AbsoluteRunPath {
			runPath = placeholder + "/lib"
		}
		full := filepath.Join(t.dir, p)
		info, err := os.Stat(full)
		if err != nil {
			return err
		}
		if out, err := exec.CommandContext(ctx, "patchelf", "--set-rpath", runPath, full).CombinedOutput(); err != nil {
			return fmt.Errorf("patchelf %s: %w: %s", p, err, lastLines(string(out), 2))
		}
		if err := os.Chtimes(full, info.ModTime(), info.ModTime()); err != nil {
			return err
		}
	}
	return nil
}

// walk calls visit for each file and link, in the order of their paths.
func (t *tree) walk(visit func(p string, info fs.FileInfo) error) error {
	return filepath.WalkDir(t.dir, func(full string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(t.dir, full)
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		return visit(rel, info)
	})
}
