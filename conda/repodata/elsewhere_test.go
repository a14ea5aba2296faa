package repodata_test

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/condatest"
	"github.com/datalayer/conda2docker/conda/fetch"
	"github.com/datalayer/conda2docker/conda/repodata"
)

// elsewhere is where an index says that a name is.
func elsewhere(t *testing.T, x *repodata.Index, name conda.PackageName) string {
	t.Helper()
	places, err := x.Elsewhere(t.Context(), name)
	require.NoError(t, err)
	var all []string
	for _, p := range places {
		all = append(all, p.String())
	}
	return strings.Join(all, " ")
}

func TestElsewhere(t *testing.T) {
	searched := condatest.NewChannel(
		t,
		condatest.Package{Name: "tool"}, condatest.Package{Name: "winner", Subdir: "win-64"},
		condatest.Package{Name: "winner", Subdir: "osx-arm64"}, condatest.Package{Name: "tool", Subdir: "win-64"},
	)
	other := sharded(t, condatest.Shards{})
	broken := condatest.NewChannel(t)
	broken.Fail("", 1000, http.StatusInternalServerError)
	named := func(name string, c *condatest.Channel) conda.Channel { return conda.Channel{Name: name, URL: c.URL} }
	o := options(t, fetch.Options{Retries: -1}, named("searched", searched))
	o.Others = []conda.Channel{named("broken", broken), named("other", other), named("searched", searched)}
	x := open(t, o)
	searched.Forget()
	other.Forget()
	require.Equal(t, "searched/osx-arm64 searched/win-64", elsewhere(t, x, "winner"))
	require.Equal(t, "searched/win-64 other/linux-64 other/noarch", elsewhere(t, x, "tool"))
	require.Empty(t, elsewhere(t, x, "none"))
	require.Equal(t, "repodata_shards OK, repodata_shards OK", shardsAsked(other), "no shard is needed, and it is asked for once")

	off := options(t, fetch.Options{Offline: true}, o.Channels...)
	off.Others, off.Dir = o.Others, o.Dir
	searched.Forget()
	x = open(t, off)
	require.Equal(t, "searched/win-64 other/linux-64 other/noarch", elsewhere(t, x, "tool"), "the cache knows")
	off.Dir = t.TempDir()
	o.Dir = off.Dir
	open(t, o)
	searched.Forget()
	require.Empty(t, elsewhere(t, open(t, off), "winner"), "nobody is asked offline")
	require.Empty(t, searched.Requests())
}

func TestElsewhereWithoutACache(t *testing.T) {
	c := condatest.NewChannel(t, condatest.Package{Name: "winner", Subdir: "win-64"})
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	o := options(t, fetch.Options{}, c.Channel())
	o.Dir = ""
	require.Equal(t, c.URL+"/win-64", elsewhere(t, open(t, o), "winner"))
	left, err := os.ReadDir(temp)
	require.NoError(t, err)
	require.Empty(t, left)
}
