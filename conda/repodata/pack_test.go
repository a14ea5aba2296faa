package repodata_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/condatest"
	"github.com/datalayer/conda2docker/conda/fetch"
	"github.com/datalayer/conda2docker/conda/repodata"
)

// many is a repodata.json of so many names with ten records each, which are too many for one block.
func many(names int) string {
	var b strings.Builder
	b.WriteString(`{"info": {"subdir": "linux-64", "base_url": "../files"}, "packages.conda": {`)
	for i := range 10 * names {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, `"n%03d-%d-0.conda": {"name": "n%03d", "version": "%d", "depends": ["a %d", "b"], "license": "%s"}`, i/10, i%10, i/10, i%10, i, strings.Repeat("x", 700))
	}
	b.WriteString(`}, "packages": {"n003-5-0.tar.bz2": {"name": "N003", "version": "5"}, "n004-99-0.tar.bz2": {"name": "n004", "version": "99"}}`)
	b.WriteString(`, "removed": ["n003-0-0.conda", "n003-9-0.conda"]}`)
	return b.String()
}

// packs are the files of a cache that were made of large repodata.
func packs(t *testing.T, o repodata.Options) []string {
	t.Helper()
	of, err := filepath.Glob(filepath.Join(o.Dir, "*", "*.pack"))
	require.NoError(t, err)
	return of
}

// same checks that an index has what another one has, of some names.
func same(t *testing.T, want, got *repodata.Index) {
	t.Helper()
	all, err := want.Names(t.Context())
	require.NoError(t, err)
	names, err := got.Names(t.Context())
	require.NoError(t, err)
	require.Equal(t, all, names)
	require.NoError(t, got.Prefetch(t.Context(), names))
	for _, n := range append(names, "none") {
		require.Equal(t, records(t, want, n), records(t, got, n))
	}
}

func TestLargeRepodataIsPacked(t *testing.T) {
	c := condatest.NewChannel(t)
	c.Set("linux-64/repodata.json", []byte(many(120)))
	o := options(t, fetch.Options{}, c.Channel())
	want := open(t, o)
	require.Len(t, records(t, want, "n003"), 8)
	require.Equal(t, "n003-1-0.conda", records(t, want, "n003")[0].FileName)
	require.Empty(t, packs(t, o))

	o = options(t, fetch.Options{}, c.Channel()).WithMemory(1000)
	same(t, want, open(t, o)) // made
	require.Len(t, packs(t, o), 1)
	c.Forget()
	same(t, want, open(t, o)) // found
	require.Equal(t, " Not Modified", asked(c))

	c.Set("linux-64/repodata.json", []byte(many(130)))
	require.Len(t, records(t, open(t, o), "n125"), 10)
	require.Len(t, packs(t, o), 1, "the old one is gone")
}

func TestPacksWithoutACache(t *testing.T) {
	c := condatest.NewChannel(t)
	c.Set("linux-64/repodata.json", []byte(many(120)))
	o := options(t, fetch.Options{}, c.Channel())
	want := open(t, o)
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	o.Dir = ""
	same(t, want, open(t, o.WithMemory(1000)))
	left, err := os.ReadDir(temp)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestDamagedPacksAreMadeAnew(t *testing.T) {
	c := condatest.NewChannel(t)
	c.Set("linux-64/repodata.json", []byte(many(120)))
	cacheControl(c, "max-age=1200")
	want := open(t, options(t, fetch.Options{}, c.Channel()))
	for name, damage := range map[string]func(path string, size int64) error{
		"gone": func(path string, _ int64) error { return os.Remove(path) },
		"cut":  func(path string, size int64) error { return os.Truncate(path, size/2) },
		"empty": func(path string, _ int64) error {
			return os.Truncate(path, 0)
		},
		"a block":    func(path string, _ int64) error { return scratch(path, 100) },
		"its table":  func(path string, size int64) error { return scratch(path, size-200) },
		"its footer": func(path string, size int64) error { return scratch(path, size-10) },
	} {
		o := options(t, fetch.Options{}, c.Channel()).WithMemory(1000)
		open(t, o)
		pack := packs(t, o)[0]
		info, err := os.Stat(pack)
		require.NoError(t, err)
		c.Forget()
		require.NoError(t, damage(pack, info.Size()), name)
		same(t, want, open(t, o))
		require.Empty(t, asked(c), name)
		same(t, want, open(t, o))
		require.Len(t, packs(t, o), 1, name)
	}
}

// scratch changes a byte of a file.
func scratch(path string, at int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		return err
	}
	b[0] ^= 0x55
	_, err = f.WriteAt(b, at)
	return err
}

func TestPacksOfAFolder(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "linux-64", "repodata.json")
	require.NoError(t, os.Mkdir(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(many(120)), 0o644))
	at := conda.Channel{Name: "file://" + dir, URL: "file://" + dir}
	o := options(t, fetch.Options{Offline: true}, at)
	want := open(t, o)
	o = o.WithMemory(1000)
	same(t, want, open(t, o))
	require.Len(t, packs(t, o), 1)
	made, err := os.Stat(packs(t, o)[0])
	require.NoError(t, err)
	same(t, want, open(t, o))
	again, err := os.Stat(packs(t, o)[0])
	require.NoError(t, err)
	require.True(t, os.SameFile(made, again), "it is made once")
	require.NoError(t, scratch(packs(t, o)[0], 100))
	same(t, want, open(t, o))

	require.NoError(t, os.WriteFile(path, []byte(many(121)), 0o644))
	require.NoError(t, os.Chtimes(path, time.Now(), time.Now().Add(time.Hour)))
	require.Len(t, records(t, open(t, o), "n120"), 10)
	require.Len(t, packs(t, o), 1)
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1, "nothing is written into the folder")

	o.Dir = "/dev/null/none"
	same(t, open(t, o), open(t, o)) // a cache that cannot be written is none
}

// TestTwoProcesses has two processes open one cache at once, again and again.
func TestTwoProcesses(t *testing.T) {
	const variable = "REPODATA_TEST_URL"
	if at := os.Getenv(variable); at != "" {
		o := options(t, fetch.Options{}, conda.Channel{Name: at, URL: at}).WithMemory(1000)
		o.Dir = os.Getenv("REPODATA_TEST_DIR")
		require.Len(t, records(t, open(t, o), "n100"), 10)
		return
	}
	c := condatest.NewChannel(t)
	c.Set("linux-64/repodata.json", []byte(many(120)))
	dir := t.TempDir()
	for range 2 {
		var running []*exec.Cmd
		for range 3 {
			cmd := exec.Command(os.Args[0], "-test.run=^TestTwoProcesses$")
			cmd.Env = append(os.Environ(), variable+"="+c.URL, "REPODATA_TEST_DIR="+dir)
			cmd.Stderr = os.Stderr
			require.NoError(t, cmd.Start())
			running = append(running, cmd)
		}
		for _, cmd := range running {
			require.NoError(t, cmd.Wait())
		}
		c.Set("linux-64/repodata.json", []byte(many(125)))
	}
	entries, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	require.NoError(t, err)
	require.Len(t, entries, 4+3, "state, lock, body and pack; state, lock and body: %v", entries)
}
