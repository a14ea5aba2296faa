package repodata_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/condatest"
	"github.com/datalayer/conda2docker/conda/fetch"
	"github.com/datalayer/conda2docker/conda/repodata"
)

// asked is what a channel was asked for since the last time, with the answers.
func asked(c *condatest.Channel) string {
	var all []string
	for _, r := range c.Requests() {
		if strings.HasPrefix(r.Path, "linux-64/") {
			all = append(all, strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(r.Path, "linux-64/"), "repodata.json"), ".msgpack.zst")+" "+http.StatusText(r.Status))
		}
	}
	c.Forget()
	return strings.Join(all, ", ")
}

// cacheControl lets the channel's answers be cached.
func cacheControl(c *condatest.Channel, value string) {
	c.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Cache-Control", value)
		return false
	})
}

func TestCopiesAreRevalidated(t *testing.T) {
	c := condatest.NewChannel(t, condatest.Package{Name: "tool"})
	o := options(t, fetch.Options{}, c.Channel())
	open(t, o)
	require.Equal(t, "repodata_shards Not Found, .zst OK", asked(c))
	open(t, o)
	require.Equal(t, ".zst Not Modified", asked(c))
	c.Add(t, condatest.Package{Name: "tool", Version: "2"})
	require.Len(t, records(t, open(t, o), "tool"), 2)
	require.Equal(t, ".zst OK", asked(c))

	entries, err := filepath.Glob(filepath.Join(o.Dir, "*", "*"))
	require.NoError(t, err)
	require.Len(t, entries, 2*3, "of each subdir the state, the lock and one body: %v", entries)
}

func TestServersSayHowLongCopiesAreCurrent(t *testing.T) {
	c := condatest.NewChannel(t, condatest.Package{Name: "tool"})
	cacheControl(c, "public, max-age=1200")
	o := options(t, fetch.Options{}, c.Channel())
	open(t, o)
	require.Equal(t, "repodata_shards Not Found, .zst OK", asked(c))
	open(t, o)
	require.Empty(t, asked(c))
	o.Current = true
	open(t, o)
	require.Equal(t, ".zst Not Modified", asked(c))
	o.Current = false
	cacheControl(c, "max-age=1200, no-cache")
	o.Dir = t.TempDir()
	open(t, o)
	open(t, o)
	require.Equal(t, "repodata_shards Not Found, .zst OK, .zst Not Modified", asked(c))
}

func TestVariantsAreTriedInOrder(t *testing.T) {
	c := condatest.NewChannel(t, condatest.Package{Name: "tool"})
	o := options(t, fetch.Options{}, c.Channel())
	c.Fail("linux-64/repodata.json.zst", 1, http.StatusForbidden)
	require.Len(t, records(t, open(t, o), "tool"), 1)
	require.Equal(t, "repodata_shards Not Found, .zst Forbidden,  OK", asked(c))
	open(t, o)
	require.Equal(t, " Not Modified", asked(c), "the variant that was there is asked for at once")

	c.Set("linux-64/repodata.json", nil)
	c.Set("linux-64/repodata.json.zst", nil)
	require.Len(t, records(t, open(t, o), "tool"), 1)
	require.Equal(t, " Not Found, repodata_shards Not Found, .zst Not Found,  Not Found, .bz2 OK", asked(c))

	c.RequireBasicAuth("me", "secret")
	_, err := repodata.Open(t.Context(), o)
	require.ErrorContains(t, err, "repodata of linux-64: "+c.URL+"/linux-64/repodata.json.bz2: 401 Unauthorized: credentials")
}

func TestOfflineUsesTheCache(t *testing.T) {
	c := condatest.NewChannel(t, condatest.Package{Name: "tool"})
	for _, name := range []string{"noarch/repodata.json", "noarch/repodata.json.zst", "noarch/repodata.json.bz2"} {
		c.Set(name, nil)
	}
	o := options(t, fetch.Options{}, c.Channel())
	open(t, o)
	asked(c)
	off := options(t, fetch.Options{Offline: true}, c.Channel())
	_, err := repodata.Open(t.Context(), off)
	require.ErrorIs(t, err, fetch.ErrOffline)
	require.ErrorContains(t, err, "run once without --offline")
	off.Dir = o.Dir
	x := open(t, off)
	require.Len(t, records(t, x, "tool"), 1)
	require.Empty(t, c.Requests())
}

func TestFailingServerTellsOfTheCopy(t *testing.T) {
	c := condatest.NewChannel(t, condatest.Package{Name: "tool"})
	o := options(t, fetch.Options{}, c.Channel())
	open(t, o)
	c.Fail("", 100, http.StatusBadGateway)
	_, err := repodata.Open(t.Context(), o)
	require.ErrorContains(t, err, "502 Bad Gateway")
	require.ErrorContains(t, err, "is used with --offline)")
}

func TestDamagedCopiesAreReplaced(t *testing.T) {
	c := condatest.NewChannel(t, condatest.Package{Name: "tool"})
	cacheControl(c, "max-age=1200")
	for name, damage := range map[string]func(path string) error{
		"body gone":    os.Remove,
		"body cut":     func(path string) error { return os.Truncate(path, 20) },
		"a bit":        func(path string) error { return scratch(path, 10) },
		"state broken": func(path string) error { return os.WriteFile(filepath.Dir(path)+"/state.json", []byte("{"), 0o644) },
		"state odd": func(path string) error {
			return os.WriteFile(filepath.Dir(path)+"/state.json", []byte(`{"body": "../../x"}`), 0o644)
		},
	} {
		o := options(t, fetch.Options{}, c.Channel())
		open(t, o)
		bodies, err := filepath.Glob(filepath.Join(o.Dir, "*", "*.zst"))
		require.NoError(t, err)
		require.Len(t, bodies, 2)
		for _, b := range bodies {
			require.NoError(t, damage(b))
		}
		require.Len(t, records(t, open(t, o), "tool"), 1, name)
	}
}

func TestDamagedCopiesThatAreCurrentAreReplaced(t *testing.T) {
	c := condatest.NewChannel(t, condatest.Package{Name: "tool"})
	o := options(t, fetch.Options{}, c.Channel())
	open(t, o)
	bodies, err := filepath.Glob(filepath.Join(o.Dir, "*", "*.zst"))
	require.NoError(t, err)
	require.Len(t, bodies, 2)
	for _, b := range bodies {
		require.NoError(t, scratch(b, 10))
	}
	asked(c)
	require.Len(t, records(t, open(t, o), "tool"), 1)
	require.Equal(t, ".zst Not Modified, repodata_shards Not Found, .zst OK", asked(c))
}

func TestWhatDoesNotParseIsNotKept(t *testing.T) {
	c := condatest.NewChannel(t, condatest.Package{Name: "tool"})
	cacheControl(c, "max-age=1200")
	o := options(t, fetch.Options{}, c.Channel())
	c.Set("linux-64/repodata.json.zst", []byte("<html>sorry</html>"))
	_, err := repodata.Open(t.Context(), o)
	require.ErrorContains(t, err, "repodata.json.zst does not parse")
	c.Set("linux-64/repodata.json.zst", nil)
	c.Set("linux-64/repodata.json", []byte("<html>sorry</html>"))
	_, err = repodata.Open(t.Context(), o)
	require.ErrorContains(t, err, "repodata.json does not parse")
	c.Set("linux-64/repodata.json", []byte("{}"))
	open(t, o)
}

func TestMirrorsHaveCopiesOfTheirOwn(t *testing.T) {
	one := condatest.NewChannel(t, condatest.Package{Name: "tool"})
	two := condatest.NewChannel(t, condatest.Package{Name: "tool"}, condatest.Package{Name: "tool", Version: "2"})
	cacheControl(one, "max-age=1200")
	forge := conda.Channel{Name: "forge", URL: "https://conda.invalid/forge"}
	dir := t.TempDir()
	for want, of := range map[int]*condatest.Channel{1: one, 2: two} {
		o := options(t, fetch.Options{Mirrors: map[string][]string{forge.URL: {of.URL}}}, forge)
		o.Dir = dir
		rs := records(t, open(t, o), "tool")
		require.Len(t, rs, want)
		require.Equal(t, forge.URL+"/linux-64/tool-1.0-0.conda", rs[0].URL, "records do not name mirrors")
	}
}

func TestOneRequestForMany(t *testing.T) {
	c := condatest.NewChannel(t, condatest.Package{Name: "tool"})
	cacheControl(c, "max-age=1200")
	o := options(t, fetch.Options{}, c.Channel())
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := repodata.Open(t.Context(), o); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.Equal(t, "repodata_shards Not Found, .zst OK", asked(c))
}

func TestNoDirNoTraces(t *testing.T) {
	c := condatest.NewChannel(t, condatest.Package{Name: "tool"})
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	o := options(t, fetch.Options{}, c.Channel())
	o.Dir = ""
	require.Len(t, records(t, open(t, o), "tool"), 1)
	entries, err := os.ReadDir(temp)
	require.NoError(t, err)
	for _, e := range entries {
		require.NotContains(t, e.Name(), "repodata-")
	}
}
