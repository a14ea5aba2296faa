package layer

import (
	"context"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda/condatest"
)

// A file that is gone is in no layer, though its package's record still tells of it; a hard link to it keeps its bytes.
func TestSettle(t *testing.T) {
	ctx := context.Background()
	c := openCache(t, Options{})
	list := segments(t, c, []Input{
		input(t, condatest.Package{Name: "a", Files: []condatest.File{
			{Path: "share/x/y", Body: "a's"},
			{Path: "share/x/deep/only", Body: "a's"},
			{Path: "zz/keep", HardLink: "share/x/y"},
			{Path: "zz/other", Body: "a's other"},
		}}),
		input(t, condatest.Package{Name: "b", Files: []condatest.File{{Path: "share/x", Body: "b's"}}}),
		input(t, condatest.Package{Name: "c", Files: []condatest.File{{Path: "share/x/z", Body: "c's"}}}),
	}, 1)
	settled, res, err := c.Settle(ctx, list)
	require.NoError(t, err)
	require.Equal(t, list[1:], settled[1:])
	require.NotEqual(t, list[0].ID, settled[0].ID)
	require.Equal(t, list[0].Package, settled[0].Package)
	var paths []string
	for _, e := range settled[0].Entries {
		paths = append(paths, e.Path.Path)
	}
	require.Equal(t, []string{"zz/other"}, paths)

	l, err := c.Layer(ctx, newGroup(settled[:1]))
	require.NoError(t, err)
	require.Equal(t, []string{
		"5 755 0:0 1980-01-01T00:00:00 opt/", "5 755 0:0 1980-01-01T00:00:00 opt/conda/", "5 755 0:0 1980-01-01T00:00:00 opt/conda/zz/",
		"0 644 0:0 2024-01-02T03:04:05 opt/conda/zz/other 9 bytes",
	}, listing(t, l))

	last, err := c.Environment(ctx, Environment{Prefix: "/opt/conda", Winners: res.Winners})
	require.NoError(t, err)
	got := tree{".": "/", "opt": "/", "opt/conda": "/"}
	got.unpack(t, l)
	got.unpack(t, last)
	require.Equal(t, "644 1704164645 a's", got["opt/conda/zz/keep"])

	// It is found in the cache, and made again when it has vanished from there.
	again, _, err := c.Settle(ctx, list)
	require.NoError(t, err)
	require.Equal(t, settled, again)
	require.NoError(t, os.RemoveAll(c.segmentDir(settled[0].ID)))
	again, _, err = c.Settle(ctx, list)
	require.NoError(t, err)
	require.Equal(t, settled, again)

	none, res, err := c.Settle(ctx, list[1:2])
	require.NoError(t, err)
	require.Equal(t, list[1:2], none)
	require.Empty(t, res)
}
