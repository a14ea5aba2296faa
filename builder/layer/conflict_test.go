package layer

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/link"
)

// holding is a segment with entries and nothing behind them.
func holding(name string, entries ...Entry) Segment {
	return Segment{ID: name, Name: conda.PackageName(name), Dist: name + "-1-0", Prefix: "/opt/conda", Entries: entries}
}

func regular(path, sha string) Entry {
	return Entry{Path: &link.Path{Path: path, Type: link.Regular, Mode: 0o644, SHA256: sha}, ModTime: time.Unix(1, 0)}
}

func symlink(path, to string) Entry {
	return Entry{Path: &link.Path{Path: path, Type: link.Symlink, Link: to}, ModTime: time.Unix(1, 0)}
}

func directory(path string) Entry {
	return Entry{Path: &link.Path{Path: path, Type: link.Directory}}
}

func hardlink(path, to, sha string) Entry {
	return Entry{Path: &link.Path{Path: path, Type: link.Hardlink, Mode: 0o644, Link: to, SHA256: sha}, ModTime: time.Unix(1, 0)}
}

func TestConflicts(t *testing.T) {
	later := regular("lib/x", "1")
	later.ModTime = time.Unix(2, 0)
	executable := regular("lib/x", "1")
	executable.Mode = 0o755

	for _, tt := range []struct {
		name     string
		segments []Segment
		winners  map[string]string // path in the image → package
		gone     map[int][]string  // entries that must not be in the layer of the segment of that number
		warnings []string
		err      string
	}{
		{name: "nothing at all"},
		{
			name:     "directories are shared",
			segments: []Segment{holding("a", regular("lib/a", "1"), directory("share")), holding("b", regular("lib/b", "2"), directory("share"))},
		},
		{
			name:     "the last linked file wins",
			segments: []Segment{holding("a", regular("bin/x", "1")), holding("b", regular("bin/x", "2")), holding("c", regular("bin/x", "3"))},
			winners:  map[string]string{"opt/conda/bin/x": "c"},
			warnings: []string{"/opt/conda/bin/x is in a-1-0, b-1-0 and, differently, in c-1-0: the image has that of c-1-0, which is linked last"},
		},
		{
			name:     "equal files are no conflict",
			segments: []Segment{holding("a", regular("lib/x", "1")), holding("b", regular("lib/x", "1"))},
		},
		{
			name:     "an equal file of another time is settled quietly",
			segments: []Segment{holding("a", regular("lib/x", "1")), holding("b", later)},
			winners:  map[string]string{"opt/conda/lib/x": "b"},
		},
		{
			name:     "and one of another mode",
			segments: []Segment{holding("a", executable), holding("b", regular("lib/x", "1"))},
			winners:  map[string]string{"opt/conda/lib/x": "b"},
		},
		{
			name:     "a hard link is the file that it leads to",
			segments: []Segment{holding("a", regular("lib/x", "1")), holding("b", regular("lib/y", "1"), hardlink("lib/x", "lib/y", "1"))},
		},
		{
			name:     "symlink over file",
			segments: []Segment{holding("a", regular("bin/x", "1")), holding("b", symlink("bin/x", "y"))},
			winners:  map[string]string{"opt/conda/bin/x": "b"},
			warnings: []string{"/opt/conda/bin/x is in a-1-0 and, differently, in b-1-0: the image has that of b-1-0, which is linked last"},
		},
		{
			name:     "equal symlinks",
			segments: []Segment{holding("a", symlink("bin/x", "y")), holding("b", symlink("bin/x", "y"))},
		},
		{
			name:     "a file, then a directory",
			segments: []Segment{holding("a", regular("share/x", "1")), holding("b", regular("share/x/deep/y", "1"))},
			winners:  map[string]string{"opt/conda/share/x": "b", "opt/conda/share/x/deep": "b", "opt/conda/share/x/deep/y": "b"},
			warnings: []string{"/opt/conda/share/x is a file in a-1-0 and a directory in b-1-0: the image has that of b-1-0, which is linked last"},
		},
		{
			name: "a directory, then a file",
			segments: []Segment{
				holding("a", directory("share/x"), regular("share/x/y", "1")), holding("b", regular("share/x/sub/z", "1")),
				holding("c", regular("share/x", "1")),
			},
			winners: map[string]string{"opt/conda/share/x": "c"},
			warnings: []string{
				"/opt/conda/share/x is a directory in a-1-0, a directory in b-1-0 and a file in c-1-0: the image has that of c-1-0, " +
					"which is linked last, and not the files that were in the directory (2)",
			},
		},
		{
			name: "and a directory again",
			segments: []Segment{
				holding("a", regular("share/x/y", "1"), regular("share/x/z", "1")), holding("b", regular("share/x", "1")),
				holding("c", regular("share/x/z", "2")),
			},
			winners: map[string]string{"opt/conda/share/x": "c", "opt/conda/share/x/z": "c"},
			gone:    map[int][]string{0: {"share/x/y"}},
			warnings: []string{
				"/opt/conda/share/x is a directory in a-1-0, a file in b-1-0 and a directory in c-1-0: the image has that of c-1-0, " +
					"which is linked last, and not the files that were in the directory (2)",
			},
		},
		{
			name: "with a hard link to what is gone",
			segments: []Segment{
				holding("a", regular("share/x/y", "1"), hardlink("share/keep", "share/x/y", "1")), holding("b", regular("share/x", "1")),
				holding("c", regular("share/x/z", "2")),
			},
			winners: map[string]string{"opt/conda/share/x": "c", "opt/conda/share/x/z": "c", "opt/conda/share/keep": "a"},
			gone:    map[int][]string{0: {"share/x/y", "share/keep"}},
			warnings: []string{
				"/opt/conda/share/x is a directory in a-1-0, a file in b-1-0 and a directory in c-1-0: the image has that of c-1-0, " +
					"which is linked last, and not the files that were in the directory (1)",
			},
		},
		{
			name: "a directory that comes back through a symlink",
			segments: []Segment{
				holding("a", regular("share/x/y", "1"), symlink("l", "share")), holding("b", regular("l/x", "1")), holding("c", regular("share/x/z", "2")),
			},
			winners: map[string]string{"opt/conda/l": "a"},
			gone:    map[int][]string{0: {"share/x/y"}},
			warnings: []string{
				"/opt/conda/share/x is a directory in a-1-0, a file in b-1-0 and a directory in c-1-0: the image has that of c-1-0, " +
					"which is linked last, and not the files that were in the directory (1)",
			},
		},
		{
			name: "files go through the symlink of an earlier package",
			segments: []Segment{
				holding("a", symlink("lib64", "lib"), regular("lib/a", "1")),
				holding("b", regular("lib64/b", "2"), regular("lib64/sub/c", "3"), directory("lib64/empty")),
			},
			winners: map[string]string{
				"opt/conda/lib64": "a", "opt/conda/lib/b": "b", "opt/conda/lib/sub": "b", "opt/conda/lib/sub/c": "b", "opt/conda/lib/empty": "b",
			},
		},
		{
			name: "and may meet others there",
			segments: []Segment{
				holding("a", symlink("lib64", "lib"), regular("lib/x", "1")), holding("b", regular("lib64/x", "2")),
			},
			winners:  map[string]string{"opt/conda/lib64": "a", "opt/conda/lib/x": "b"},
			warnings: []string{"/opt/conda/lib/x is in a-1-0 and, differently, in b-1-0: the image has that of b-1-0, which is linked last"},
		},
		{
			name: "through two symlinks",
			segments: []Segment{
				holding("a", symlink("usr/lib64", "lib"), symlink("usr/lib/mod", "../../share/mod"), directory("share/mod"), regular("usr/lib/a", "1")),
				holding("b", regular("usr/lib64/mod/b", "2")),
			},
			winners: map[string]string{"opt/conda/usr/lib64": "a", "opt/conda/share/mod/b": "b"},
		},
		{
			name:     "a symlink over an earlier package's directory",
			segments: []Segment{holding("b", regular("lib64/b", "2")), holding("a", symlink("lib64", "lib"), regular("lib/a", "1"))},
			winners:  map[string]string{"opt/conda/lib64": "a"},
			warnings: []string{
				"/opt/conda/lib64 is a directory in b-1-0 and a symlink in a-1-0: the image has that of a-1-0, which is linked last, " +
					"and not the files that were in the directory (1)",
			},
		},
		{
			name:     "a symlink out of the prefix",
			segments: []Segment{holding("a", symlink("etc/x", "../../../etc")), holding("b", regular("etc/x/passwd", "2"))},
			err:      "/opt/conda/etc/x: a-1-0 and b-1-0 disagree: it is a symlink out of the prefix in the first",
		},
		{
			name:     "a symlink out of the prefix by way of others",
			segments: []Segment{holding("a", symlink("a/b/up", "../.."), symlink("l", "a/b/up/.."), directory("a/b")), holding("b", regular("l/b", "2"))},
			err:      "/opt/conda/l: a-1-0 and b-1-0 disagree: it is a symlink out of the prefix in the first",
		},
		{
			name:     "a symlink to nothing",
			segments: []Segment{holding("a", symlink("lib64", "gone")), holding("b", regular("lib64/b", "2"))},
			winners:  map[string]string{"opt/conda/lib64": "b", "opt/conda/lib64/b": "b"},
			warnings: []string{"/opt/conda/lib64 is a symlink in a-1-0 and a directory in b-1-0: the image has that of b-1-0, which is linked last"},
		},
		{
			name:     "symlinks in a circle",
			segments: []Segment{holding("a", symlink("x", "y"), symlink("y", "x")), holding("b", regular("x/b", "1"), regular("y/c", "1"))},
			winners:  map[string]string{"opt/conda/x": "b", "opt/conda/x/b": "b", "opt/conda/x/c": "b", "opt/conda/y": "a"},
			warnings: []string{"/opt/conda/x is a symlink in a-1-0 and a directory in b-1-0: the image has that of b-1-0, which is linked last"},
		},
		{
			name: "two symlinks that disagree",
			segments: []Segment{
				holding("a", symlink("l", "lib"), directory("lib")), holding("b", symlink("l", "bin"), directory("bin")), holding("c", regular("l/x", "1")),
			},
			winners:  map[string]string{"opt/conda/l": "b", "opt/conda/bin/x": "c"},
			warnings: []string{"/opt/conda/l is in a-1-0 and, differently, in b-1-0: the image has that of b-1-0, which is linked last"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := Conflicts(tt.segments)
			if tt.err != "" {
				require.ErrorContains(t, err, tt.err)
				var ce *ConflictError
				require.ErrorAs(t, err, &ce)
				return
			}
			require.NoError(t, err)
			got := map[string]string{}
			for _, w := range r.Winners {
				got[w.Path] = string(w.Segment.Name)
			}
			if tt.winners == nil {
				tt.winners = map[string]string{}
			}
			require.Equal(t, tt.winners, got)
			require.Equal(t, tt.gone, r.Gone)
			var warnings []string
			for _, w := range r.Warnings {
				warnings = append(warnings, w.String())
			}
			require.Equal(t, tt.warnings, warnings)
		})
	}
}

func TestConflictsNeedsOnePrefix(t *testing.T) {
	b := holding("b")
	b.Prefix = "/elsewhere"
	_, err := Conflicts([]Segment{holding("a"), b})
	require.EqualError(t, err, "a-1-0 was linked for /opt/conda and b-1-0 for /elsewhere")
}
