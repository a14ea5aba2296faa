package layer

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda/condatest"
)

// tree is a file system: paths without leading slash → content of a file, "-> target" of a symlink, "/" of a directory.
type tree map[string]string

// put makes a path what it should be as tools that unpack layers do: what is there is removed, unless both are directories.
func (f tree) put(name, what string) {
	if old, ok := f[name]; ok && (old != "/" || what != "/") {
		for p := range f {
			if strings.HasPrefix(p, name+"/") {
				delete(f, p)
			}
		}
	}
	f[name] = what
}

// unpack puts a layer on top.
func (f tree) unpack(t *testing.T, l Layer) {
	t.Helper()
	require.NoError(t, l.Walk(func(h *tar.Header, r io.Reader) error {
		b, err := io.ReadAll(r)
		name := strings.TrimSuffix(h.Name, "/")
		what := fmt.Sprintf("%o %d %s", h.Mode, h.ModTime.Unix(), b)
		switch h.Typeflag {
		case tar.TypeDir:
			what = "/"
		case tar.TypeSymlink:
			what = "-> " + h.Linkname
		case tar.TypeLink:
			what = f[h.Linkname]
		}
		require.Contains(t, f, path.Dir(name), "parents come first")
		f.put(name, what)
		return err
	}))
}

// linkInto puts a package's files into a folder as conda does: first the directories, then the files, through the symlinks
// that are there.
func linkInto(t *testing.T, root string, p condatest.Package) {
	t.Helper()
	mkdir := func(name string) string {
		dir := root
		for part := range strings.SplitSeq(path.Dir(name), "/") {
			dir += "/" + part
			if fi, err := os.Stat(dir); err == nil && fi.IsDir() {
				continue
			}
			require.NoError(t, os.RemoveAll(dir))
			require.NoError(t, os.Mkdir(dir, 0o755))
		}
		return dir
	}
	files := slices.SortedFunc(slices.Values(p.Files), func(a, b condatest.File) int { return byElements(path.Dir(a.Path), path.Dir(b.Path)) })
	for _, file := range files {
		mkdir(file.Path)
	}
	files = slices.SortedFunc(slices.Values(p.Files), func(a, b condatest.File) int { return strings.Compare(a.Path, b.Path) })
	for _, file := range files {
		at := mkdir(file.Path) + "/" + path.Base(file.Path)
		require.NoError(t, os.RemoveAll(at))
		if file.Link != "" {
			require.NoError(t, os.Symlink(file.Link, at))
			continue
		}
		require.NoError(t, os.WriteFile(at, []byte(file.Body), 0o600))
	}
}

// read is a folder that linkInto filled, as a tree.
func read(t *testing.T, root string) tree {
	t.Helper()
	f := tree{"opt": "/", "opt/conda": "/", ".": "/"}
	require.NoError(t, filepath.WalkDir(root, func(at string, d fs.DirEntry, err error) error {
		if err != nil || at == root {
			return err
		}
		what := "/"
		switch {
		case d.Type() == fs.ModeSymlink:
			to, err := os.Readlink(at)
			require.NoError(t, err)
			what = "-> " + to
		case !d.IsDir():
			b, err := os.ReadFile(at)
			require.NoError(t, err)
			what = fmt.Sprintf("644 1704164645 %s", b)
		}
		f["opt/conda"+strings.TrimPrefix(at, root)] = what
		return nil
	}))
	return f
}

// randomPackages meet in a few paths, which are files in some, directories in others, and symlinks in a few.
func randomPackages(r *rand.Rand) []condatest.Package {
	packages := make([]condatest.Package, 4)
	for i := range packages {
		p := condatest.Package{Name: string(rune('a' + r.IntN(26))), Version: fmt.Sprint(i + 1)}
		for _, name := range []string{"lib/x", "lib/y", "lib/sub/z", "lib/sub/deep/z", "share/x", "share/sub/z", "share/sub/y"} {
			if r.IntN(3) == 0 {
				p.Files = append(p.Files, condatest.File{Path: name, Body: fmt.Sprintf("%s %d", name, r.IntN(3))})
			}
		}
		switch r.IntN(8) {
		case 0:
			p.Files = append(p.Files, condatest.File{Path: "lib64", Link: "lib"})
		case 1:
			p.Files = append(p.Files, condatest.File{Path: "lib64/x", Body: fmt.Sprint("through ", r.IntN(3))})
		case 2:
			p.Files = append(p.Files, condatest.File{Path: "share/sub", Link: "../lib/sub"})
		case 3:
			p.Files = append(p.Files, condatest.File{Path: "lib/sub", Body: fmt.Sprint("a file ", r.IntN(3))})
		case 4:
			p.Files = append(p.Files, condatest.File{Path: "lib64/sub", Body: "a file through"})
		case 5:
			p.Files = append(p.Files, condatest.File{Path: "share", Link: "lib64/sub"})
		case 6:
			p.Files = append(p.Files, condatest.File{Path: "lib64/sub/z", Body: "deep"}, condatest.File{Path: "lib64/sub/deep", Body: "file"})
		}
		packages[i] = p
	}
	return packages
}

// Whatever the order of the packages' layers, with the environment layer on top they are what conda makes by linking the
// packages one after the other.
func TestOrderOfLayersDoesNotMatter(t *testing.T) {
	ctx := context.Background()
	r := rand.New(rand.NewPCG(5, 6))
	settled, repeated, gone, lost := 0, 0, 0, 0
	for range 300 {
		c := openCache(t, Options{Level: 1})
		packages := randomPackages(r)
		var inputs []Input
		for _, p := range packages {
			inputs = append(inputs, input(t, p))
		}
		list, err := c.Segments(ctx, inputs, 2, nil)
		if err != nil {
			require.Regexp(t, "below the file|is below|is there twice", err.Error(), "a package that contradicts itself")
			continue
		}
		list, res, err := c.Settle(ctx, list)
		require.NoError(t, err)
		settled++
		repeated += len(res.Winners)
		gone += len(res.Gone)
		for _, w := range res.Warnings {
			lost += w.Lost
		}
		root := t.TempDir()
		for _, p := range packages {
			linkInto(t, root, p)
		}
		want := read(t, root)

		var layers []Layer
		for _, s := range list {
			for _, g := range Groups([]Segment{s}, 0) {
				l, err := c.Layer(ctx, g)
				require.NoError(t, err)
				layers = append(layers, l)
			}
		}
		last, err := c.Environment(ctx, Environment{Prefix: "/opt/conda", Winners: res.Winners})
		require.NoError(t, err)
		for range 3 {
			r.Shuffle(len(layers), func(i, j int) { layers[i], layers[j] = layers[j], layers[i] })
			got := tree{".": "/", "opt": "/", "opt/conda": "/"}
			for _, l := range layers {
				got.unpack(t, l)
			}
			got.unpack(t, last)
			require.Equal(t, want, got)
		}
	}
	require.Greater(t, settled, 100)
	require.Greater(t, repeated, 100)
	require.Greater(t, gone, 2)
	require.Greater(t, lost, 20)
}
