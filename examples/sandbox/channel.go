package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"
)

// formatVersion changes when the same Debian packages are to make other conda packages than before.
const formatVersion = 3

// channel is the conda channel that is made of Debian's packages.
type channel struct {
	dir    string // the channel: linux-64/ and noarch/
	work   string // trees while they are made
	debian debian
	log    func(string, ...any)
}

// state is what is kept of a channel once it is whole.
type channelState struct {
	Recipes string             `json:"recipes"` // hash of what the channel is made of
	Records map[string][]index `json:"records"` // by subdir
}

// make makes the channel, or as much of it as is not there.
func (c channel) make(ctx context.Context) error {
	if c.whole() {
		return nil
	}
	all := recipes()
	if err := c.debian.update(ctx); err != nil {
		return err
	}
	var names []string
	for _, r := range all {
		names = append(names, r.From...)
	}
	debs, err := c.debian.download(ctx, names)
	if err != nil {
		return err
	}
	byName := map[string]deb{}
	for _, d := range debs {
		byName[d.Name] = d
	}
	trees, err := c.buildTrees(ctx, all, byName)
	if err != nil {
		return err
	}
	records, err := c.packAll(ctx, trees)
	if err != nil {
		return err
	}
	if err := c.writeRepodata(records); err != nil {
		return err
	}
	return os.RemoveAll(c.work)
}

func (c channel) statePath() string { return filepath.Join(c.dir, "state.json") }

// whole says whether every package of the channel's repodata is there.
func (c channel) whole() bool {
	b, err := os.ReadFile(c.statePath())
	var s channelState
	if err != nil || json.Unmarshal(b, &s) != nil || s.Recipes != recipesID() {
		return false
	}
	for subdir, records := range s.Records {
		for _, r := range records {
			info, err := os.Stat(filepath.Join(c.dir, subdir, r.fileName(c.isFormat(r.Name, ".tar.bz2"))))
			if err != nil || info.Size() != r.Size {
				return false
			}
		}
	}
	return true
}

func recipesID() string {
	return fmt.Sprintf("%d %x", formatVersion, textSHA256(fmt.Sprintf("%+v", recipes())))
}

// buildTrees lays all packages out below their prefixes.
func (c channel) buildTrees(ctx context.Context, all []recipe, debs map[string]deb) ([]*tree, error) {
	c.log("laying out %d conda packages", len(all))
	trees := make([]*tree, len(all))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for i, r := range all {
		g.Go(func() error {
			var from []deb
			for _, n := range r.From {
				from = append(from, debs[n])
			}
			t, err := buildTree(ctx, r, from, filepath.Join(c.work, r.Name))
			trees[i] = t
			return err
		})
	}
	return trees, g.Wait()
}

// packAll finds what each package needs and writes the archives.
func (c channel) packAll(ctx context.Context, trees []*tree) (map[string][]index, error) {
	known := contents(trees)
	depends := make([][]string, len(trees))
	var failed []error
	for i, t := range trees {
		var err error
		if depends[i], err = t.depends(known); err != nil {
			failed = append(failed, fmt.Errorf("package %s: %w", t.Name, err))
		}
	}
	if err := errors.Join(failed...); err != nil {
		return nil, err
	}
	for _, subdir := range []string{"linux-64", "noarch"} {
		if err := os.MkdirAll(filepath.Join(c.dir, subdir), 0o755); err != nil {
			return nil, err
		}
	}
	c.log("packing %d conda packages", len(trees))
	records := make([]index, len(trees))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2)
	for i, t := range trees {
		g.Go(func() (err error) {
			if records[i], err = c.packOne(ctx, t, depends[i], known); err != nil {
				return fmt.Errorf("package %s: %w", t.Name, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	bySubdir := map[string][]index{}
	for _, r := range records {
		bySubdir[r.Subdir] = append(bySubdir[r.Subdir], r)
	}
	return bySubdir, nil
}

// packOne finishes a tree, writes its archive and removes it.
func (c channel) packOne(ctx context.Context, t *tree, depends []string, known knowledge) (index, error) {
	ix := t.index(depends)
	if err := t.setRunPaths(ctx, func(soname string) bool { return known.providers[soname] != nil }); err != nil {
		return index{}, err
	}
	ix, err := t.pack(ix, filepath.Join(c.dir, ix.Subdir))
	if err != nil {
		return index{}, err
	}
	return ix, os.RemoveAll(t.dir)
}

// knowledge is which package has what.
type knowledge struct {
	providers map[string]*tree // by the name of a shared library
	debs      map[string]*tree // by the name of a Debian package
}

func contents(trees []*tree) knowledge {
	k := knowledge{providers: map[string]*tree{}, debs: map[string]*tree{}}
	for _, t := range trees {
		for p, e := range t.elf {
			if filepath.Dir(p) == "lib" {
				k.providers[filepath.Base(p)] = t
				if e.soname != "" {
					k.providers[e.soname] = t
				}
			}
		}
		for _, d := range t.debs {
			k.debs[d.Name] = t
		}
	}
	return k
}

// depends is what the package needs: the libraries that its files are linked to, what Debian's fields say of other
// packages of the channel, and what the recipe adds. A library that nobody has is an error.
func (t *tree) depends(known knowledge) ([]string, error) {
	needs := map[string]string{} // name → constraint
	if len(t.elf) > 0 {
		needs["__glibc"] = ">=2.36,<3.0.a0"
	}
	own := map[string]bool{}
	for _, e := range t.elf {
		own[e.soname] = true
	}
	var missing []error
	for _, p := range sortedKeys(t.elf) {
		for _, soname := range t.elf[p].needed {
			switch owner := known.providers[soname]; {
			case owner == t, own[soname], glibc(soname):
			case owner == nil:
				missing = append(missing, fmt.Errorf("%s needs %s, which no package of the channel has", p, soname))
			default:
				needs[owner.Name] = ">=" + owner.version()
			}
		}
	}
	if err := errors.Join(missing...); err != nil {
		return nil, err
	}
	for _, d := range t.debs {
		for name, constraint := range debianDepends(d.Depends) {
			if other := known.debs[name]; other != nil && other.Name != t.Name && needs[other.Name] == "" {
				needs[other.Name] = constraint
			}
		}
	}
	if _, err := os.Stat(filepath.Join(t.dir, t.sitePackages())); err == nil && t.Name != "python" {
		needs["python"] = ">=3.11"
		if !t.NoArch {
			needs["python"] = ">=3.11,<3.12.0a0"
		}
	} else {
		delete(needs, "python")
	}
	for _, d := range t.Depends {
		name, constraint, _ := strings.Cut(d, " ")
		if needs[name] == "" || constraint != "" {
			needs[name] = constraint
		}
	}
	list := make([]string, 0, len(needs))
	for _, n := range sortedKeys(needs) {
		list = append(list, strings.TrimSpace(n+" "+needs[n]))
	}
	return list, nil
}

// glibc says whether a library is the C library's, which conda leaves to the system.
func glibc(soname string) bool {
	for _, p := range []string{"libc.so", "libm.so", "ld-linux", "libpthread.so", "libdl.so", "librt.so", "libutil.so", "libresolv.so", "libmvec.so"} {
		if strings.HasPrefix(soname, p) {
			return true
		}
	}
	return false
}

var debianRelation = regexp.MustCompile(`^([a-z0-9.+-]+)(?::any)?(?: \(>= ([^)]+)\))?`)

// debianDepends reads a Depends field: names and lower bounds, first alternatives only.
func debianDepends(field string) map[string]string {
	out := map[string]string{}
	for relation := range strings.SplitSeq(field, ", ") {
		m := debianRelation.FindStringSubmatch(relation)
		if m == nil {
			continue
		}
		bound := ""
		if m[2] != "" {
			if v := upstream(m[2] + "-1"); regexp.MustCompile(`^[0-9][0-9a-z.]*$`).MatchString(v) {
				bound = ">=" + v
			}
		}
		if old, ok := out[m[1]]; !ok || old == "" {
			out[m[1]] = bound
		}
	}
	return out
}

// writeRepodata writes repodata.json and repodata.json.zst of both subdirs, and removes archives of earlier makes.
func (c channel) writeRepodata(records map[string][]index) error {
	for _, subdir := range []string{"linux-64", "noarch"} {
		files := map[string]map[string]index{".conda": {}, ".tar.bz2": {}}
		keep := map[string]bool{}
		for _, r := range records[subdir] {
			for ext, m := range files {
				name := r.fileName(ext == ".tar.bz2")
				if _, err := os.Stat(filepath.Join(c.dir, subdir, name)); err == nil && c.isFormat(r.Name, ext) {
					m[name], keep[name] = r, true
				}
			}
		}
		doc, err := json.Marshal(map[string]any{
			"info": map[string]any{"subdir": subdir}, "packages": files[".tar.bz2"], "packages.conda": files[".conda"], "removed": []string{}, "repodata_version": 1,
		})
		if err != nil {
			return err
		}
		enc, err := zstd.NewWriter(nil)
		if err != nil {
			return err
		}
		for name, body := range map[string][]byte{"repodata.json": doc, "repodata.json.zst": enc.EncodeAll(doc, nil)} {
			keep[name] = true
			if err := writeFile(filepath.Join(c.dir, subdir, name), body); err != nil {
				return err
			}
		}
		if err := sweep(filepath.Join(c.dir, subdir), keep); err != nil {
			return err
		}
	}
	b, err := json.Marshal(channelState{Recipes: recipesID(), Records: records})
	if err != nil {
		return err
	}
	return writeFile(c.statePath(), b)
}

func (c channel) isFormat(name, ext string) bool {
	return slices.ContainsFunc(recipes(), func(r recipe) bool { return r.Name == name && r.Bzip2 == (ext == ".tar.bz2") })
}

// sweep removes what is not to be kept.
func sweep(dir string, keep map[string]bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !keep[e.Name()] {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
