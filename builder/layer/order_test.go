package layer

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path"
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

// link puts a package's files where conda does: one after the other, through the symlinks that are there.
func (f tree) link(p condatest.Package) {
	for _, file := range p.Files {
		dir := "opt/conda"
		for part := range strings.SplitSeq(path.Dir(file.Path), "/") {
			if part == "." {
				break
			}
			dir = path.Join(dir, part)
			if to, ok := strings.CutPrefix(f[dir], "-> "); ok {
				dir = path.Join(path.Dir(dir), to)
			}
			f[dir] = "/"
		}
		what := "-> " + file.Link
		if file.Link == "" {
			what = fmt.Sprintf("644 1704164645 %s", file.Body)
		}
		f[path.Join(dir, path.Base(file.Path))] = what
	}
}

// randomPackages meet in a few paths, some of them symlinks that others take for directories.
func randomPackages(r *rand.Rand) []condatest.Package {
	packages := make([]condatest.Package, 3)
	for i := range packages {
		p := condatest.Package{Name: string(rune('a' + r.IntN(26))), Version: fmt.Sprint(i + 1)}
		for _, name := range []string{"lib/x", "lib/y", "lib/sub/z", "share/x", "share/sub/z"} {
			if r.IntN(2) == 0 {
				p.Files = append(p.Files, condatest.File{Path: name, Body: fmt.Sprintf("%s %d", name, r.IntN(3))})
			}
		}
		switch r.IntN(4) {
		case 0:
			p.Files = append(p.Files, condatest.File{Path: "lib64", Link: "lib"})
		case 1:
			p.Files = append(p.Files, condatest.File{Path: "lib64/x", Body: fmt.Sprint("through ", r.IntN(3))})
		case 2:
			p.Files = append(p.Files, condatest.File{Path: "share/sub", Link: "../lib/sub"})
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
	settled, refused, repeated := 0, 0, 0
	for range 150 {
		c := openCache(t, Options{Level: 1})
		packages := randomPackages(r)
		want := tree{"opt": "/", "opt/conda": "/", ".": "/"}
		var inputs []Input
		for _, p := range packages {
			inputs = append(inputs, input(t, p))
		}
		list, err := c.Segments(ctx, inputs, 2, nil)
		if err != nil {
			require.ErrorContains(t, err, "below the file", "a package that contradicts itself")
			continue
		}
		res, err := Conflicts(list)
		var conflict *ConflictError
		if errors.As(err, &conflict) {
			refused++
			continue
		}
		require.NoError(t, err)
		settled++
		repeated += len(res.Winners)
		for _, p := range packages {
			want.link(p)
		}

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
	require.Greater(t, settled, 30)
	require.Greater(t, refused, 10)
	require.Greater(t, repeated, 30)
}
