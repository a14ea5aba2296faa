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

// elsewhere is where an index says that a name is, or a record of it that is wanted.
func elsewhere(t *testing.T, x *repodata.Index, name conda.PackageName, wanted func(*conda.Record) bool) string {
	t.Helper()
	places, err := x.Elsewhere(t.Context(), name, wanted)
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
	require.Equal(t, "searched/osx-arm64 searched/win-64", elsewhere(t, x, "winner", nil))
	require.Equal(t, "searched/win-64 other/linux-64 other/noarch", elsewhere(t, x, "tool", nil))
	require.Empty(t, elsewhere(t, x, "none", nil))
	require.Equal(t, "repodata_shards OK, repodata_shards OK", shardsAsked(other), "no shard is needed, and it is asked for once")

	off := options(t, fetch.Options{Offline: true}, o.Channels...)
	off.Others, off.Dir = o.Others, o.Dir
	searched.Forget()
	x = open(t, off)
	require.Equal(t, "searched/win-64 other/linux-64 other/noarch", elsewhere(t, x, "tool", nil), "the cache knows")
	off.Dir = t.TempDir()
	o.Dir = off.Dir
	open(t, o)
	searched.Forget()
	require.Empty(t, elsewhere(t, open(t, off), "winner", nil), "nobody is asked offline")
	require.Empty(t, searched.Requests())
}

func TestElsewhereOneBuild(t *testing.T) {
	builds := condatest.NewChannel(
		t, condatest.Package{Name: "tool", Build: "h1_0"}, condatest.Package{Name: "tool", Build: "h2_0", Subdir: "win-64"},
		condatest.Package{Name: "tool", Build: "h3_0", Subdir: "osx-64"}, condatest.Package{Name: "other", Subdir: "win-64"},
	)
	builds.Shard(t, condatest.Shards{})
	other := condatest.NewChannel(t, condatest.Package{Name: "tool", Build: "h2_0"}, condatest.Package{Name: "tool", Build: "h3_0", Subdir: "win-64"})
	for _, dir := range []string{t.TempDir(), ""} {
		o := options(t, fetch.Options{}, conda.Channel{Name: "builds", URL: builds.URL})
		o.Others, o.Dir = []conda.Channel{{Name: "other", URL: other.URL}}, dir
		x := open(t, o)
		build := func(b string) func(*conda.Record) bool { return func(r *conda.Record) bool { return r.Build == b } }
		require.Equal(t, "builds/win-64 other/linux-64", elsewhere(t, x, "tool", build("h2_0")))
		require.Equal(t, "builds/osx-64", elsewhere(t, x, "tool", build("h3_0")))
		require.Empty(t, elsewhere(t, x, "tool", build("h4_0")))
	}
}

func TestElsewhereWithoutACache(t *testing.T) {
	c := condatest.NewChannel(t, condatest.Package{Name: "winner", Subdir: "win-64"})
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	o := options(t, fetch.Options{}, c.Channel())
	o.Dir = ""
	require.Equal(t, c.URL+"/win-64", elsewhere(t, open(t, o), "winner", nil))
	left, err := os.ReadDir(temp)
	require.NoError(t, err)
	require.Empty(t, left)
}
