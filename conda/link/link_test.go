package link_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/archive"
	"github.com/datalayer/conda2docker/conda/condatest"
	"github.com/datalayer/conda2docker/conda/link"
)

func target() link.Target {
	return link.Target{Prefix: "/opt/conda", Subdir: conda.Linux64, Python: &link.Python{Version: "3.11"}}
}

// out is a file that was handed out, with its bytes.
type out struct {
	link.File
	body string
}

// linkAll links a package and keeps the files, in order.
func linkAll(t *testing.T, p condatest.Package, to link.Target) ([]out, link.Package, error) {
	t.Helper()
	var files []out
	pkg, err := link.Linker{}.Files(t.Context(), p.File(t, t.TempDir()), p.Archive(t).Record, to, func(f link.File, r io.Reader) error {
		o := out{File: f}
		if r != nil {
			b, err := io.ReadAll(r)
			if err != nil {
				return err
			}
			o.body = string(b)
		}
		files = append(files, o)
		return nil
	})
	return files, pkg, err
}

func TestDirectoriesAreToldFirst(t *testing.T) {
	for _, tt := range []struct {
		p    condatest.Package
		want []string
	}{
		{condatest.Package{Name: "nothing"}, nil},
		{condatest.Package{Name: "top", Files: []condatest.File{{Path: "LICENSE", Body: "x"}}}, []string{"."}},
		{
			condatest.Package{
				Name: "pure", NoArch: conda.NoArchPython, EntryPoints: []string{"pure = pure:main"},
				Files: []condatest.File{{Path: "site-packages/pure/a/b.py", Body: "x"}, {Path: "var/empty", Mode: fs.ModeDir}, {Path: "share/l", Link: "../x"}},
			},
			[]string{
				".", "bin", "lib", "lib/python3.11", "lib/python3.11/site-packages", "lib/python3.11/site-packages/pure",
				"lib/python3.11/site-packages/pure/a", "share", "var", "var/empty",
			},
		},
	} {
		both(t, tt.p, func(t *testing.T, p condatest.Package) {
			var got []string
			files := 0
			l := link.Linker{Directories: func(dirs []string) error {
				got = dirs
				require.Zero(t, files)
				return nil
			}}
			_, err := l.Files(t.Context(), p.File(t, t.TempDir()), p.Archive(t).Record, target(), func(link.File, io.Reader) error {
				files++
				return nil
			})
			require.NoError(t, err)
			require.Equal(t, tt.want, got)

			no := errors.New("no")
			l.Directories = func([]string) error { return no }
			_, err = l.Files(t.Context(), p.File(t, t.TempDir()), p.Archive(t).Record, target(), func(link.File, io.Reader) error { return nil })
			require.ErrorIs(t, err, no)
		})
	}
}

func byPath(files []out) map[string]out {
	m := map[string]out{}
	for _, f := range files {
		m[f.Path] = f
	}
	return m
}

// both runs a test for either format of packages.
func both(t *testing.T, p condatest.Package, check func(*testing.T, condatest.Package)) {
	for _, format := range []condatest.Format{condatest.Conda, condatest.TarBz2} {
		p.Format = format
		t.Run(string(format), func(t *testing.T) { check(t, p) })
	}
}

func TestFiles(t *testing.T) {
	both(t, condatest.Package{
		Name: "demo",
		Files: []condatest.File{
			{Path: "bin/demo", Body: "#!" + condatest.Placeholder + "/bin/sh\n", Prefix: condatest.Text, Mode: 0o775},
			{Path: "lib/libdemo.so.1", Body: "\x7fELF" + condatest.Placeholder + "/lib\x00", Prefix: condatest.Binary, Mode: 0o664},
			{Path: "lib/libdemo.so", Link: "libdemo.so.1"},
			{Path: "share/secret", Body: "x", Mode: 0o600},
			{Path: "share/locked", Body: "x", Mode: 0o444},
			{Path: "share/setuid", Body: "x", Mode: 0o755 | fs.ModeSetuid},
			{Path: "var/empty", Mode: fs.ModeDir | 0o700},
		},
	}, func(t *testing.T, p condatest.Package) {
		files, pkg, err := linkAll(t, p, target())
		require.NoError(t, err)
		got := byPath(files)
		require.Len(t, got, 7)
		require.Equal(t, "#!/opt/conda/bin/sh\n", got["bin/demo"].body)
		require.Equal(t, int64(len("#!/opt/conda/bin/sh\n")), got["bin/demo"].Size)
		require.Equal(t, fs.FileMode(0o755), got["bin/demo"].Mode)

		lib := got["lib/libdemo.so.1"]
		require.True(t, strings.HasPrefix(lib.body, "\x7fELF/opt/conda/lib\x00\x00"))
		require.Equal(t, int64(len("\x7fELF"+condatest.Placeholder+"/lib\x00")), lib.Size)
		require.Len(t, lib.body, int(lib.Size))
		require.Equal(t, fs.FileMode(0o644), lib.Mode)
		require.Equal(t, time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC), lib.ModTime, "the archive's, not that of the replacement")

		require.Equal(t, link.Symlink, got["lib/libdemo.so"].Type)
		require.Equal(t, "libdemo.so.1", got["lib/libdemo.so"].Link)
		require.Equal(t, fs.FileMode(0o644), got["share/secret"].Mode, "the prefix belongs to root, and others must read it")
		require.Equal(t, fs.FileMode(0o444), got["share/locked"].Mode)
		require.Equal(t, fs.FileMode(0o755), got["share/setuid"].Mode)
		require.Equal(t, link.Directory, got["var/empty"].Type)
		require.Equal(t, fs.FileMode(0o755), got["var/empty"].Mode)

		require.Len(t, pkg.Paths, 7)
		b, err := json.Marshal(pkg)
		require.NoError(t, err)
		var again link.Package
		require.NoError(t, json.Unmarshal(b, &again))
		require.Equal(t, pkg, again, "a package survives JSON")
		require.Empty(t, pkg.Warnings)
	})
}

func TestHardlinks(t *testing.T) {
	text := "#!" + condatest.Placeholder + "/bin/sh\n"
	both(t, condatest.Package{
		Name: "demo",
		Files: []condatest.File{
			{Path: "bin/a", Body: "same"},
			{Path: "bin/b", HardLink: "bin/a"},
			{Path: "bin/c", HardLink: "bin/b"},
			{Path: "bin/p", Body: text, Prefix: condatest.Text},
			{Path: "bin/q", HardLink: "bin/p", Prefix: condatest.Text},
			{Path: "bin/r", HardLink: "bin/p"},
		},
	}, func(t *testing.T, p condatest.Package) {
		files, pkg, err := linkAll(t, p, target())
		require.NoError(t, err)
		got := byPath(files)
		require.Equal(t, link.Hardlink, got["bin/b"].Type)
		require.Equal(t, "bin/a", got["bin/b"].Link)
		require.Equal(t, "bin/a", got["bin/c"].Link)
		require.Equal(t, link.Regular, got["bin/q"].Type, "what is changed has bytes of its own")
		require.Equal(t, "#!/opt/conda/bin/sh\n", got["bin/q"].body)
		require.Equal(t, text, got["bin/r"].body)
		for _, path := range pkg.Paths {
			if path.Path == "bin/b" {
				require.Equal(t, pkg.Paths[0].SHA256, path.SHA256)
				require.Equal(t, int64(4), path.Size)
			}
		}
	})
}

func TestNoArchPython(t *testing.T) {
	p := condatest.Package{
		Name: "demo", NoArch: conda.NoArchPython, Timestamp: 1700000000500,
		Files: []condatest.File{
			{Path: "site-packages/demo/__init__.py", Body: "x = 1\n"},
			{Path: "site-packages/demo/data.txt", Body: "x"},
			{Path: "python-scripts/helper", Body: "#!/bin/sh\n"},
			{Path: "share/demo.1", Body: "x"},
		},
		EntryPoints: []string{"demo = demo.cli:main", " demo-sub=demo:Cli.run "},
	}
	both(t, p, func(t *testing.T, p condatest.Package) {
		files, pkg, err := linkAll(t, p, target())
		require.NoError(t, err)
		got := byPath(files)
		require.Contains(t, got, "lib/python3.11/site-packages/demo/__init__.py")
		require.Contains(t, got, "bin/helper")
		require.Contains(t, got, "share/demo.1")
		require.Equal(t, `#!/opt/conda/bin/python3.11
# -*- coding: utf-8 -*-
import re
import sys

from demo import Cli

if __name__ == '__main__':
    sys.argv[0] = re.sub(r'(-script\.pyw?|\.exe)?$', '', sys.argv[0])
    sys.exit(Cli.run())
`, got["bin/demo-sub"].body)
		require.Equal(t, time.Unix(1700000000, 0).UTC(), got["bin/demo"].ModTime)
		require.Equal(t, fs.FileMode(0o755), got["bin/demo"].Mode)
		require.Equal(t, []link.Bytecode{{
			Source: "lib/python3.11/site-packages/demo/__init__.py",
			Path:   "lib/python3.11/site-packages/demo/__pycache__/__init__.cpython-311.pyc",
		}}, pkg.Bytecode)

		with := pkg.WithBytecode(map[string]int64{pkg.Bytecode[0].Path: 42})
		require.Len(t, with.Paths, len(pkg.Paths)+1)
		pyc := with.Paths[len(with.Paths)-3]
		require.Equal(t, pkg.Bytecode[0].Path, pyc.Path, "conda lists compiled files before entry points")
		require.Equal(t, int64(42), *pyc.Meta.SizeInBytes)
		require.NotEqual(t, pyc, pkg.Paths[len(pkg.Paths)-3], "the package itself does not change")
	})

	nopython := target()
	nopython.Python = nil
	_, _, err := linkAll(t, p, nopython)
	require.ErrorContains(t, err, "the environment has no python")

	own := target() // CEP 17
	own.Python = &link.Python{Version: "3.13", SitePackages: "lib/python3.13t/site-packages"}
	files, _, err := linkAll(t, p, own)
	require.NoError(t, err)
	require.Contains(t, byPath(files), "lib/python3.13t/site-packages/demo/data.txt")

	spaces := own
	spaces.Prefix = "/opt/my conda"
	files, _, err = linkAll(t, p, spaces)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(byPath(files)["bin/demo"].body,
		"#!/bin/sh\n'''exec' \"/opt/my conda/bin/python3.13\" \"$0\" \"$@\" #'''\n# -*- coding"))
}

// TestNoArchLegacy reads what packages had before link.json.
func TestNoArchLegacy(t *testing.T) {
	for name, content := range map[string]string{
		"package_metadata.json": `{"package_metadata_version": 1, "noarch": {"type": "python", "entry_points": ["demo = demo:main"]}}`,
		"noarch.json":           `{"type": "python", "entry_points": ["demo = demo:main"]}`,
	} {
		p := condatest.Package{
			Name: "demo", NoArch: conda.NoArchPython, Legacy: true, Format: condatest.TarBz2,
			Files: []condatest.File{{Path: "site-packages/demo.py", Body: "x"}},
			Info:  map[string]string{"link.json": "", name: content},
		}
		files, pkg, err := linkAll(t, p, target())
		require.NoError(t, err)
		require.Contains(t, byPath(files), "bin/demo")
		require.Contains(t, byPath(files), "lib/python3.11/site-packages/demo.py")
		require.Len(t, pkg.Bytecode, 1)
	}
	// The channel may have forgotten to say that it is noarch; then the package's word counts.
	p := condatest.Package{
		Name: "demo", NoArch: conda.NoArchPython, Files: []condatest.File{{Path: "site-packages/demo.py", Body: "x"}},
		Patch: func(r *conda.Record) { r.NoArch = conda.NoArchNone },
	}
	files, pkg, err := linkAll(t, p, target())
	require.NoError(t, err)
	require.Contains(t, byPath(files), "lib/python3.11/site-packages/demo.py")
	require.Equal(t, conda.NoArchPython, pkg.NoArch)
}

func TestLegacyLists(t *testing.T) {
	const old = "/opt/anaconda1anaconda2anaconda3"
	both(t, condatest.Package{
		Name: "demo", Legacy: true,
		Files: []condatest.File{
			{Path: "bin/new", Body: condatest.Placeholder, Prefix: condatest.Text},
			{Path: "bin/old", Body: old},
			{Path: "lib/a.so", Body: "'/place'\x00/place/x\x00"},
			{Path: "lib/b.so", Link: "a.so"},
		},
		Info: map[string]string{
			"has_prefix": condatest.Placeholder + " text bin/new\nbin/old\n\"/place\" binary \"lib/a.so\"\n# a comment\n",
			"no_link":    "bin/old\n",
		},
	}, func(t *testing.T, p condatest.Package) {
		_, _, err := linkAll(t, p, target())
		require.ErrorContains(t, err, "lib/a.so: the prefix is longer than the one of 6 bytes")
		short := target()
		short.Prefix = "/o"
		files, pkg, err := linkAll(t, p, short)
		require.NoError(t, err)
		got := byPath(files)
		require.Equal(t, "/o", got["bin/new"].body)
		require.Equal(t, "/o", got["bin/old"].body)
		require.Equal(t, "'/o'\x00\x00\x00\x00\x00/o/x\x00\x00\x00\x00\x00", got["lib/a.so"].body)
		var types []string
		for _, path := range pkg.Paths {
			types = append(types, path.Meta.PathType)
		}
		require.Equal(t, []string{"hardlink", "hardlink", "hardlink", "softlink"}, types)
		require.True(t, pkg.Paths[1].Meta.NoLink)
		require.Empty(t, pkg.Paths[3].Meta.SHA256InPrefix)
	})
}

func TestScripts(t *testing.T) {
	_, pkg, err := linkAll(t, condatest.Package{
		Name: "demo", PreLink: "true\n", PostLink: "true\n",
		Files: []condatest.File{
			{Path: "bin/.demo-pre-unlink.sh", Body: "x"},
			{Path: "bin/.other-post-link.sh", Body: "x"},
			{Path: "etc/conda/activate.d/b.sh", Body: "x"},
			{Path: "etc/conda/activate.d/a.sh", Body: "x"},
			{Path: "etc/conda/activate.d/a.fish", Body: "x"},
			{Path: "etc/conda/deactivate.d/a.sh", Body: "x"},
			{Path: "etc/conda/env_vars.d/demo.json", Body: "{}"},
		},
	}, target())
	require.NoError(t, err)
	require.Equal(t, link.Scripts{
		PreLink: "bin/.demo-pre-link.sh", PostLink: "bin/.demo-post-link.sh", PreUnlink: "bin/.demo-pre-unlink.sh",
		Activate:   []string{"etc/conda/activate.d/a.sh", "etc/conda/activate.d/b.sh"},
		Deactivate: []string{"etc/conda/deactivate.d/a.sh"}, EnvVars: []string{"etc/conda/env_vars.d/demo.json"},
	}, pkg.Scripts)
}

// listing is an info/paths.json of the test's own.
func listing(paths ...string) map[string]string {
	return map[string]string{"paths.json": `{"paths_version": 1, "paths": [` + strings.Join(paths, ",") + `]}`}
}

func TestRefused(t *testing.T) {
	python := func(p condatest.Package) condatest.Package { p.NoArch = conda.NoArchPython; return p }
	one := []condatest.File{{Path: "bin/a", Body: "x"}}
	for _, tc := range []struct {
		name string
		pkg  condatest.Package
		want string
	}{
		{"missing file", condatest.Package{Files: one, Info: listing(`{"_path": "bin/b", "path_type": "hardlink"}`)}, `has "bin/b", which is not in the archive`},
		{"listed out", condatest.Package{Files: one, Info: listing(`{"_path": "../b", "path_type": "hardlink"}`)}, "leads out of the prefix"},
		{"listed info", condatest.Package{Files: one, Info: listing(`{"_path": "info/index.json", "path_type": "hardlink"}`)}, "not a file to be linked"},
		{"listed twice", condatest.Package{Files: one, Info: listing(`{"_path": "bin/a", "path_type": "hardlink"}`, `{"_path": "bin//a", "path_type": "hardlink"}`)}, "twice"},
		{"no list", condatest.Package{Files: one, Info: map[string]string{"paths.json": "", "files": ""}}, "says nowhere which files it has"},
		{"future list", condatest.Package{Files: one, Info: map[string]string{"paths.json": `{"paths_version": 2}`}}, `version "2"`},
		{"broken list", condatest.Package{Files: one, Info: map[string]string{"paths.json": `{`}}, "reading info/paths.json"},
		{"unknown mode", condatest.Package{Files: one, Info: listing(`{"_path": "bin/a", "path_type": "hardlink", "prefix_placeholder": "/p", "file_mode": "wide"}`)}, `file mode "wide"`},
		{"no index", condatest.Package{Files: one, Info: map[string]string{"index.json": ""}}, "no info/index.json"},
		{"another package", condatest.Package{Files: one, Patch: func(r *conda.Record) { r.Build = "1" }}, `has the build "0", not "1"`},
		{"future link.json", python(condatest.Package{Files: one, Info: map[string]string{"link.json": `{"package_metadata_version": 2}`}}), `link.json is of version "2"`},
		{"unknown noarch", condatest.Package{Files: one, Patch: func(r *conda.Record) { r.NoArch = "ruby" }}, `of the kind "ruby"`},
		{"one place twice", python(condatest.Package{Files: []condatest.File{{Path: "bin/a", Body: "x"}, {Path: "python-scripts/a", Body: "y"}}}), `both belong at "bin/a"`},
		{"below a file", python(condatest.Package{Files: []condatest.File{{Path: "bin/a", Body: "x"}, {Path: "python-scripts/a/b", Body: "y"}}}), `below the file "bin/a"`},
		{"broken has_prefix", condatest.Package{Files: one, Legacy: true, Info: map[string]string{"has_prefix": "a b\n"}}, "info/has_prefix"},
		{"entry point path", python(condatest.Package{EntryPoints: []string{"../evil = a:b"}}), "the command's name holds '/'"},
		{"entry point dots", python(condatest.Package{EntryPoints: []string{".. = a:b"}}), "no name for a command"},
		{"entry point whiteout", python(condatest.Package{EntryPoints: []string{".wh.python = a:b"}}), "no name for a command"},
		{"entry point space", python(condatest.Package{EntryPoints: []string{"a b = a:b"}}), "holds ' '"},
		{"entry point control", python(condatest.Package{EntryPoints: []string{"a\x07b = a:b"}}), `holds '\a'`},
		{"entry point backslash", python(condatest.Package{EntryPoints: []string{`a\b = a:b`}}), `holds '\\'`},
		{"entry point line", python(condatest.Package{EntryPoints: []string{"a = a:b\nimport os"}}), "no name in python"},
		{"entry point form", python(condatest.Package{EntryPoints: []string{"a"}}), "want name = module:function"},
		{"entry point twice", python(condatest.Package{EntryPoints: []string{"a = a:b", "a = c:d"}}), "is there twice"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.pkg.Name = "demo"
			tc.pkg.Patch = patched(tc.pkg.Patch)
			_, pkg, err := linkAll(t, tc.pkg, target())
			require.ErrorContains(t, err, tc.want)
			require.ErrorContains(t, err, "linking main/", "an error names the package")
			require.Empty(t, pkg)
		})
	}
}

// patched gives the record a channel, so that messages can name it.
func patched(more func(*conda.Record)) func(*conda.Record) {
	return func(r *conda.Record) {
		r.Channel = conda.Channel{Name: "main", URL: "https://repo.example.org/main"}
		if more != nil {
			more(r)
		}
	}
}

func TestTarget(t *testing.T) {
	for _, to := range []link.Target{
		{},
		{Prefix: "opt"},
		{Prefix: "/opt/"},
		{Prefix: "/opt/../x"},
		{Prefix: "/"},
		{Prefix: "/opt", Python: &link.Python{Version: "3.11", SitePackages: "/lib"}},
		{Prefix: "/opt", Python: &link.Python{Version: "3.11", Path: "../bin/python"}},
	} {
		_, _, err := linkAll(t, condatest.Package{Name: "demo"}, to)
		require.Error(t, err, "%+v", to)
	}
}

func TestWarnings(t *testing.T) {
	files, pkg, err := linkAll(t, condatest.Package{
		Name: "demo", NoArch: conda.NoArchPython,
		Files:       []condatest.File{{Path: "python-scripts/demo", Body: "its own"}, {Path: "share/a", Body: "xx"}},
		EntryPoints: []string{"demo = demo:main"},
		Info: listing(`{"_path": "python-scripts/demo", "path_type": "hardlink"}`,
			`{"_path": "share/a", "path_type": "hardlink", "sha256": "00", "size_in_bytes": 3}`),
	}, target())
	require.NoError(t, err)
	require.Len(t, files, 2)
	require.Contains(t, byPath(files)["bin/demo"].body, "sys.exit(main())", "conda writes entry points last")
	require.Len(t, pkg.Warnings, 3)
	require.Contains(t, pkg.Warnings[0], "takes the place of the package's own file python-scripts/demo")
	require.Contains(t, pkg.Warnings[1], "share/a: info/paths.json has the sha256 00")
	require.Contains(t, pkg.Warnings[2], "share/a: info/paths.json has the size 3, the archive 2")
	require.Equal(t, pkg.Paths[0].SHA256, pkg.Paths[0].Meta.SHA256InPrefix, "what the prefix holds is recorded")
}

// TestSafety is a package whose list has wrong sums, under each of conda's safety_checks.
func TestSafety(t *testing.T) {
	var files []condatest.File
	var list []string
	for i := range 12 {
		name := fmt.Sprintf("share/%02d", i)
		files = append(files, condatest.File{Path: name, Body: name})
		list = append(list, fmt.Sprintf(`{"_path": %q, "path_type": "hardlink", "sha256": "%064x", "size_in_bytes": 8}`, name, i))
	}
	p := condatest.Package{Name: "demo", Files: files, Info: listing(list...)}
	path, rec := p.File(t, t.TempDir()), p.Archive(t).Record
	under := func(s link.Safety) (link.Package, error) {
		return link.Linker{Safety: s}.Files(t.Context(), path, rec, target(), func(link.File, io.Reader) error { return nil })
	}
	for _, s := range []link.Safety{"", link.SafetyWarn} {
		pkg, err := under(s)
		require.NoError(t, err)
		require.Len(t, pkg.Warnings, 11)
		require.Contains(t, pkg.Warnings[0], "share/00: info/paths.json has the sha256 "+strings.Repeat("0", 64)+", the archive ")
		require.Equal(t, "info/paths.json and the archive differ 2 times more", pkg.Warnings[10])
		require.Equal(t, pkg.Paths[0].SHA256, pkg.Paths[0].Meta.SHA256InPrefix)
	}
	pkg, err := under(link.SafetyEnabled)
	require.ErrorContains(t, err, "share/00: info/paths.json has the sha256 000")
	require.ErrorContains(t, err, "safety checks are enabled")
	require.Empty(t, pkg)
	pkg, err = under(link.SafetyDisabled)
	require.NoError(t, err)
	require.Empty(t, pkg.Warnings)
	_, err = under("maybe")
	require.ErrorContains(t, err, `safety checks "maybe": want warn, enabled or disabled`)
}

func TestEmit(t *testing.T) {
	p := condatest.Package{Name: "demo", Files: []condatest.File{{Path: "bin/a", Body: strings.Repeat("x", 1000)}}}
	path, rec := p.File(t, t.TempDir()), p.Archive(t).Record
	full := errors.New("disk full")
	_, err := link.Linker{}.Files(t.Context(), path, rec, target(), func(link.File, io.Reader) error { return full })
	require.ErrorIs(t, err, full)
	require.ErrorContains(t, err, "bin/a")

	want, err := link.Linker{}.Files(t.Context(), path, rec, target(), func(_ link.File, r io.Reader) error {
		_, err := io.Copy(io.Discard, r)
		return err
	})
	require.NoError(t, err)
	got, err := link.Linker{}.Files(t.Context(), path, rec, target(), func(link.File, io.Reader) error { return nil })
	require.NoError(t, err)
	require.Equal(t, want, got, "a file need not be read to be known")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = link.Linker{}.Files(ctx, path, rec, target(), func(link.File, io.Reader) error { return nil })
	require.ErrorIs(t, err, context.Canceled)

	_, err = link.Linker{Limits: archive.Limits{FileBytes: 999}}.Files(t.Context(), path, rec, target(), func(link.File, io.Reader) error { return nil })
	require.ErrorContains(t, err, "limit of 999")
}

// TestLargeText is a text file that is not kept in memory to learn its size.
func TestLargeText(t *testing.T) {
	body := strings.Repeat(condatest.Placeholder+" and some text\n", 60_000)
	p := condatest.Package{Name: "demo", Files: []condatest.File{{Path: "share/large", Body: body, Prefix: condatest.Text}}}
	files, _, err := linkAll(t, p, link.Target{Prefix: "/opt/" + strings.Repeat("long", 100)})
	require.NoError(t, err)
	want := strings.ReplaceAll(body, condatest.Placeholder, "/opt/"+strings.Repeat("long", 100))
	require.Equal(t, int64(len(want)), files[0].Size)
	same := want == files[0].body // without printing them
	require.True(t, same, "a large text file differs")

	path, rec := p.File(t, t.TempDir()), p.Archive(t).Record
	_, err = link.Linker{Limits: archive.Limits{FileBytes: int64(len(body))}}.Files(t.Context(), path, rec,
		link.Target{Prefix: "/opt/" + strings.Repeat("long", 100)}, func(link.File, io.Reader) error { return nil })
	require.ErrorContains(t, err, "grows to more than the limit")
}

// TestAgain links a package twice, and gets the same.
func TestAgain(t *testing.T) {
	p := condatest.Package{
		Name: "demo", NoArch: conda.NoArchPython, EntryPoints: []string{"demo = demo:main"},
		Files: []condatest.File{{Path: "site-packages/demo.py", Body: "x"}, {Path: "a", Body: "x"}, {Path: "b", HardLink: "a"}},
	}
	first, firstPkg, err := linkAll(t, p, target())
	require.NoError(t, err)
	second, secondPkg, err := linkAll(t, p, target())
	require.NoError(t, err)
	require.Equal(t, first, second)
	require.Equal(t, firstPkg, secondPkg)
}
