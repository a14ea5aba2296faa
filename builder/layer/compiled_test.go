package layer

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/condatest"
	"github.com/datalayer/conda2docker/conda/link"
)

// compilesTo stands in for python: what a file is compiled to is "compiled: " and the file; what begins with "?" does not compile.
func compilesTo(t testing.TB, sources []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	for in := bytes.NewReader(sources); in.Len() > 0; {
		var number, chunk, mtime, pathSize, size int
		_, err := fmt.Fscanf(in, "%d %d %d %d %d\n", &number, &chunk, &mtime, &pathSize, &size)
		require.NoError(t, err)
		body := make([]byte, pathSize+size)
		_, err = io.ReadFull(in, body)
		require.NoError(t, err)
		if body = body[pathSize:]; bytes.HasPrefix(body, []byte("?")) {
			fmt.Fprintf(&out, "%d -1\n", number)
			continue
		}
		fmt.Fprintf(&out, "%d %d\ncompiled: %s", number, len(body)+10, body)
	}
	return out.Bytes()
}

// pure is a noarch python package with files of these paths below site-packages and contents.
func pure(name string, files ...string) condatest.Package {
	p := condatest.Package{Name: name, NoArch: conda.NoArchPython, Timestamp: 1700000000000, Depends: []string{"python"}}
	for i := 0; i < len(files); i += 2 {
		p.Files = append(p.Files, condatest.File{Path: "site-packages/" + files[i], Body: files[i+1]})
	}
	return p
}

const aPython Compiler = "0123"

// compileAll gives the segments' compiled files, each behind its package.
func compileAll(t testing.TB, c *Cache, packages []Segment) []Segment {
	t.Helper()
	var sources bytes.Buffer
	require.NoError(t, c.Sources(t.Context(), packages, &sources))
	compiled := compilesTo(t, sources.Bytes())
	made, err := c.AddBytecode(t.Context(), packages, aPython, bytes.NewReader(compiled), int64(len(compiled)))
	require.NoError(t, err)
	var out []Segment
	for i, s := range packages {
		out = append(out, s, made[i])
	}
	return out
}

func filesOf(t testing.TB, l Layer) map[string]string {
	t.Helper()
	files := map[string]string{}
	require.NoError(t, l.Walk(func(h *tar.Header, r io.Reader) error {
		b, err := io.ReadAll(r)
		if h.Typeflag != tar.TypeDir {
			files[strings.TrimPrefix(h.Name, "opt/conda/lib/python3.11/site-packages/")] = string(b)
		}
		return err
	}))
	return files
}

func TestBytecodeIsKeptWithItsPackage(t *testing.T) {
	c := openCache(t, Options{Verify: true})
	p := pure("pure", "pure/__init__.py", "x = 1\n", "pure/py2.py", "?print 1\n", "pure/late.py", "y = 2\n", "pure/shipped.py", "z\n",
		"pure/__pycache__/shipped.cpython-311.pyc", "old", "pure/data.txt", "d")
	p.Files = append(p.Files, condatest.File{Path: "site-packages/pure/hard.py", HardLink: "site-packages/pure/late.py"},
		condatest.File{Path: "site-packages/pure/soft.py", Link: "late.py"}, condatest.File{Path: "site-packages/pure/dangling.py", Link: "none.py"},
		condatest.File{Path: "python-scripts/script.py", Body: "no module"})
	in := input(t, p)
	require.False(t, c.HasBytecode(in, aPython))
	s := segments(t, c, []Input{in}, 1)
	_, ok, err := c.Bytecode(t.Context(), s[0], aPython)
	require.NoError(t, err)
	require.False(t, ok)

	all := compileAll(t, c, s)
	require.True(t, c.HasBytecode(in, aPython))
	require.False(t, c.HasBytecode(in, "another"))
	found, ok, err := c.Bytecode(t.Context(), s[0], aPython)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, all[1], found, "what is found is what was made")

	settled, r, err := c.Settle(t.Context(), []Segment{s[0], found})
	require.NoError(t, err)
	require.Empty(t, r)
	groups := Groups(settled, 0)
	require.Len(t, groups, 1)
	require.Equal(t, "pure-1.0-0", groups[0].Name)
	l, err := c.Layer(t.Context(), groups[0])
	require.NoError(t, err)
	got := filesOf(t, l)
	for path, body := range map[string]string{
		"__init__": "compiled: x = 1\n", "late": "compiled: y = 2\n", "hard": "compiled: y = 2\n", "soft": "compiled: y = 2\n", "shipped": "old",
	} {
		require.Equal(t, body, got["pure/__pycache__/"+path+".cpython-311.pyc"], path)
	}
	require.Len(t, got, 10+4, got)
	require.Empty(t, only(listing(t, l), "py2.cpython"))
	require.Contains(t, listing(t, l), "0 644 0:0 2024-01-02T03:04:05 opt/conda/lib/python3.11/site-packages/pure/__pycache__/late.cpython-311.pyc 16 bytes")

	sizes := map[string]int64{}
	for _, e := range found.Entries {
		sizes[e.Path.Path] = e.Size
	}
	meta, err := link.MetaRecord(s[0].Package.WithBytecode(sizes), in.Record, "")
	require.NoError(t, err)
	require.Contains(t, string(meta), `"_path": "lib/python3.11/site-packages/pure/__pycache__/late.cpython-311.pyc",
        "path_type": "pyc_file",
        "size_in_bytes": 16
`)
	require.Contains(t, string(meta), `"_path": "lib/python3.11/site-packages/pure/__pycache__/py2.cpython-311.pyc",
        "path_type": "pyc_file"
`)
}

// What one package compiles to does not depend on what else is compiled, and packages that compile nothing need no python.
func TestBytecodeAlone(t *testing.T) {
	ps := []condatest.Package{pure("a", "a.py", "a"), {Name: "native"}, pure("data", "data.txt", "x"), pure("b", "b.py", "b", "b/c.py", "c")}
	var want []Segment
	for _, order := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {3}, {0}} {
		c := openCache(t, Options{})
		got := make([]Segment, len(ps))
		var inputs []Input
		for _, i := range order {
			inputs = append(inputs, input(t, ps[i]))
		}
		for i, s := range compileAll(t, c, segments(t, c, inputs, 1)) {
			if i%2 == 1 {
				got[order[i/2]] = s
			}
		}
		if want == nil {
			want = got
		}
		for i, s := range got {
			if s.Dist != "" {
				require.Equal(t, want[i].blob.digest, s.blob.digest)
				require.Equal(t, want[i].ID, s.ID)
			}
		}
	}
	c := openCache(t, Options{})
	for _, s := range segments(t, c, []Input{input(t, ps[1]), input(t, ps[2])}, 1) {
		none, ok, err := c.Bytecode(t.Context(), s, aPython)
		require.NoError(t, err)
		require.True(t, ok, s.Dist)
		require.Empty(t, none.Entries)
		require.Empty(t, Groups([]Segment{none}, 0))
	}
}

// Python does not compare these files with their sources: what another package has put in a source's place must not be hidden.
func TestBytecodeOfLostSourcesIsLeftOut(t *testing.T) {
	c := openCache(t, Options{})
	native := condatest.Package{Name: "native", Files: []condatest.File{{Path: "lib/python3.11/site-packages/both.py", Body: "native"}}}
	first, second := pure("first", "both.py", "first", "own.py", "own"), pure("second", "both.py", "second")
	const both = "__pycache__/both.cpython-311.pyc"
	for _, test := range []struct {
		packages []condatest.Package
		source   string
		compiled string // "" where there is none
	}{
		{[]condatest.Package{first, second}, "second", "compiled: second"},
		{[]condatest.Package{second, first}, "first", "compiled: first"},
		{[]condatest.Package{first, native}, "native", ""},
		{[]condatest.Package{native, first}, "first", "compiled: first"},
	} {
		var inputs []Input
		for _, p := range test.packages {
			inputs = append(inputs, input(t, p))
		}
		settled, r, err := c.Settle(t.Context(), compileAll(t, c, segments(t, c, inputs, 1)))
		require.NoError(t, err)
		require.Empty(t, r.Stale)
		require.Len(t, r.Warnings, 1, "of the source, and not of what it was compiled to")
		layers, err := c.Layers(t.Context(), Groups(settled, 0), 1)
		require.NoError(t, err)
		last, err := c.Environment(t.Context(), Environment{Prefix: "/opt/conda", Winners: r.Winners})
		require.NoError(t, err)
		got := map[string]string{}
		for _, l := range append(layers, last) {
			for path, body := range filesOf(t, l) {
				if path == both {
					require.NotContains(t, got, path)
				}
				got[path] = body
			}
		}
		require.Equal(t, test.source, got["both.py"])
		require.Equal(t, test.compiled, got[both])
		require.Equal(t, "compiled: own", got["__pycache__/own.cpython-311.pyc"])
	}
	s := segments(t, c, []Input{input(t, first), input(t, second)}, 1)
	all := compileAll(t, c, s)
	_, err := Conflicts([]Segment{s[0], s[1], all[1]})
	require.ErrorContains(t, err, "the compiled files of first-1.0-0 are not behind those of their package")
}

// A package and its compiled files are one layer's, and change no other.
func TestBytecodeGroups(t *testing.T) {
	var list []Segment
	for i := range 200 {
		name := "p" + strconv.Itoa(i)
		size := int64(1000 * (i + 1))
		if i%40 == 0 {
			size = aloneSize * 2
		}
		code := fakeSegment(name, 1, size/2)
		code.ID, code.bytecode = "aa-"+code.ID, &bytecode{}
		list = append(list, fakeSegment(name, 1, size), code)
	}
	before := Groups(list, 0)
	require.LessOrEqual(t, len(before), DefaultBudget)
	for _, g := range before {
		require.Zero(t, len(g.Segments)%2)
		for i := 0; i < len(g.Segments); i += 2 {
			require.Equal(t, g.Segments[i].Name, g.Segments[i+1].Name)
			require.Nil(t, g.Segments[i].bytecode)
		}
	}
	for i := 0; i < len(list); i += 38 {
		changed := append([]Segment(nil), list...)
		changed[i].ID, changed[i+1].ID = "new-"+changed[i].ID, "new-"+changed[i+1].ID
		require.Equal(t, 1, fresh(before, Groups(changed, 0)))
	}
}

func TestBytecodeThatIsNotWhole(t *testing.T) {
	c := openCache(t, Options{})
	s := segments(t, c, []Input{input(t, pure("p", "a.py", "a", "b.py", "b"))}, 1)
	for compiled, want := range map[string]string{
		"":                    "0 of 2 files were compiled",
		"0 1\nx":              "1 of 2 files were compiled",
		"0 1\nx0 1\ny":        "twice",
		"0 1\nx2 1\ny":        "no such file",
		"0 1\nx1 7\ny":        "cut short",
		"0 1\nx1 -2\n":        "no such file",
		"0 1\nx1":             "want a file's number and size",
		"python: no memory\n": "want a file's number and size",
	} {
		_, err := c.AddBytecode(t.Context(), s, aPython, strings.NewReader(compiled), int64(len(compiled)))
		require.ErrorContains(t, err, want, "%q", compiled)
	}
	all := compileAll(t, c, s)
	require.NoError(t, os.RemoveAll(c.segmentDir(all[1].ID)))
	_, err := c.Layer(t.Context(), newGroup(all))
	require.ErrorContains(t, err, "the compiled files of p-1.0-0 have vanished from the cache: build again")
}

// The program makes the same bytes of a package whatever it compiles with it, and python takes them for what need not be checked.
func TestCompileProgram(t *testing.T) {
	python, err := exec.LookPath("python3")
	require.NoError(t, err, "make preflight installs it")
	many := []string{"many/none.py", "x = (1, 2.5, 'text', b'bytes', None, ...)\n"}
	for i := range compiledTogether + 10 {
		many = append(many, fmt.Sprintf("many/m%d.py", i), fmt.Sprintf("class A%d:\n  name = 'many'\n  def f(self, x): return x in {'a', 'b', %d} or self.name\n", i, i))
	}
	packages := []condatest.Package{
		pure("many", many...), pure("wrong", "wrong/a.py", "print 'two'\n", "wrong/b.py", "\x00", "wrong/ä.py", "name = 'many'\n", "wrong/empty.py", ""),
	}
	run := func(order ...int) map[string][]byte {
		c := openCache(t, Options{})
		var inputs []Input
		for _, i := range order {
			inputs = append(inputs, input(t, packages[i]))
		}
		s := segments(t, c, inputs, 1)
		dir := t.TempDir()
		var sources bytes.Buffer
		require.NoError(t, c.Sources(t.Context(), s, &sources))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "sources"), sources.Bytes(), 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "compile.py"), CompileProgram(), 0o600))
		require.NoError(t, os.Mkdir(filepath.Join(dir, "out"), 0o700))
		cmd := exec.CommandContext(t.Context(), python, "-W", "ignore", "-S", "-s", "-B", filepath.Join(dir, "compile.py"), filepath.Join(dir, "sources"), filepath.Join(dir, "out"))
		cmd.Env = append(os.Environ(), "PYTHONHASHSEED=0", "LANG=C.UTF-8")
		text, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", text)
		require.Empty(t, string(text))
		var compiled []byte
		chunks, err := filepath.Glob(filepath.Join(dir, "out", "*"))
		require.NoError(t, err)
		for _, f := range chunks {
			b, err := os.ReadFile(f)
			require.NoError(t, err)
			compiled = append(compiled, b...)
		}
		made, err := c.AddBytecode(t.Context(), s, aPython, bytes.NewReader(compiled), int64(len(compiled)))
		require.NoError(t, err)
		out := map[string][]byte{}
		for _, m := range made {
			for path, body := range filesOf(t, c.wholeLayer(m)) {
				out[path] = []byte(body)
			}
		}
		return out
	}
	want := run(0, 1)
	require.Len(t, want, compiledTogether+10+1+2)
	require.Equal(t, want, run(1, 0))
	for path, body := range run(0) {
		require.Equal(t, want[path], body, path)
	}
	for path, body := range want {
		require.Equal(t, uint32(1), binary.LittleEndian.Uint32(body[4:]), "%s is by hash, and not checked", path)
	}
}
