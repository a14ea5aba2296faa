package layer

import (
	"context"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda/condatest"
)

// Packages that were made to clobber one another, in link order and in the reverse: what each order gives. conda's rule is that
// the last linked package wins; rattler, whose packages these are, lets the first win and renames what loses.
func TestCorpusClobbers(t *testing.T) {
	ctx := context.Background()
	dir := condatest.Corpus(t, "rattler/clobber")
	for _, tt := range []struct {
		packages string
		want     []string // path below the prefix and content, without directories
		warnings []string // the packages that each warning names
	}{
		{"clobber-1-0.1.0 clobber-2-0.1.0 clobber-3-0.1.0", []string{"another-clobber.txt clobber-3", "clobber.txt clobber-3"}, []string{"clobber-1 clobber-2 clobber-3", "clobber-1 clobber-2 clobber-3"}},
		{"clobber-3-0.1.0 clobber-2-0.1.0 clobber-1-0.2.0", []string{"another-clobber.txt clobber-2", "clobber.txt clobber-1 v2"}, []string{"clobber-3 clobber-2", "clobber-3 clobber-2 clobber-1"}},
		{"clobber-fd-1-0.1.0 clobber-fd-2-0.1.0 clobber-fd-3-0.1.0", []string{"clobber/clobber-fd-2.txt clobber-fd-2", "clobber/clobber-fd-3.txt clobber-fd-3"}, []string{"clobber-fd-1 clobber-fd-2"}},
		{"clobber-fd-2-0.1.0 clobber-fd-1-0.1.0", []string{"clobber clobber-fd-1"}, []string{"clobber-fd-2 clobber-fd-1"}},
		{"clobber-fd-1-0.1.0 clobber-fd-2-0.1.0 clobber-fd-2-conflicting-0.1.0", []string{"clobber/clobber-fd-2.txt clobber-fd-2-conflicting"}, []string{"clobber-fd-1 clobber-fd-2", "clobber-fd-2 clobber-fd-2-conflicting"}},
		{"clobber-fd-rev-1-0.1.0 clobber-fd-rev-2-0.1.0 clobber-fd-rev-3-0.1.0", []string{"clobber clobber-fd-rev-3"}, []string{"clobber-fd-rev-1 clobber-fd-rev-2 clobber-fd-rev-3"}},
		{"clobber-fd-rev-3-0.1.0 clobber-fd-rev-1-0.1.0", []string{"clobber/clobber-fd-rev-1.txt clobber-fd-rev-1"}, []string{"clobber-fd-rev-3 clobber-fd-rev-1"}},
		{"clobber-nested-1-0.1.0 clobber-nested-3-0.1.0 clobber-nested-2-0.1.0", []string{"clobber/bobber/clobber.txt clobber-2"}, []string{"clobber-nested-1 clobber-nested-3 clobber-nested-2"}},
		{"clobber-pynoarch-1-0.1.0 clobber-pynoarch-2-0.1.0", []string{"lib/python3.11/site-packages/clobber/clobber.py print('hello world')"}, nil},
		{"clobber-python-0.1.0-cpython clobber-pypy-0.1.0", []string{"bin/python pypy"}, []string{"clobber-python clobber-pypy"}},
		{"clobber-with-dir-0.1.0 clobber-without-dir-0.1.0", []string{"dir clobber-1"}, []string{"clobber-with-dir clobber-without-dir"}},
		{"clobber-without-dir-0.1.0 clobber-with-dir-0.1.0", []string{"dir/clobber.txt clobber-1"}, []string{"clobber-without-dir clobber-with-dir"}},
		{"clobber-with-symlink-a-0.1.0 clobber-with-symlink-b-0.1.0", []string{"lib/clobber-1.txt clobber-1", "lib/clobber-2.txt clobber-2", "lib/clobber.so -> clobber-1.txt"}, []string{"clobber-with-symlink-a clobber-with-symlink-b"}},
	} {
		t.Run(tt.packages, func(t *testing.T) {
			c := openCache(t, Options{})
			var inputs []Input
			for name := range strings.SplitSeq(tt.packages, " ") {
				found, err := filepath.Glob(filepath.Join(dir, name+"*"))
				require.NoError(t, err)
				require.Len(t, found, 1)
				rec, ok := recordOf(t, found[0])
				require.True(t, ok)
				inputs = append(inputs, Input{Record: rec, ArchivePath: found[0], ArchiveSHA256: strings.Repeat("0", 63) + string(rune('0'+len(inputs))), Target: target()})
			}
			list := segments(t, c, inputs, 1)
			list, res, err := c.Settle(ctx, list)
			require.NoError(t, err)
			var warned []string
			for _, w := range res.Warnings {
				var names []string
				for _, claim := range w.Claims {
					require.Contains(t, w.String(), claim.Dist)
					name, _, _ := strings.Cut(claim.Dist, "-0.")
					names = append(names, name)
				}
				warned = append(warned, strings.Join(names, " "))
			}
			require.Equal(t, tt.warnings, warned)

			last, err := c.Environment(ctx, Environment{Prefix: "/opt/conda", Winners: res.Winners})
			require.NoError(t, err)
			for range 2 {
				slices.Reverse(list)
				got := tree{".": "/", "opt": "/", "opt/conda": "/"}
				for _, s := range list {
					l, err := c.Layer(ctx, newGroup([]Segment{s}))
					require.NoError(t, err)
					got.unpack(t, l)
				}
				got.unpack(t, last)
				var files []string
				for name, what := range got {
					if what == "/" {
						continue
					}
					if !strings.HasPrefix(what, "-> ") {
						what = strings.SplitN(what, " ", 3)[2]
					}
					files = append(files, strings.TrimPrefix(path.Clean(name), "opt/conda/")+" "+strings.TrimSpace(what))
				}
				slices.Sort(files)
				require.Equal(t, tt.want, files)
			}
		})
	}
}
