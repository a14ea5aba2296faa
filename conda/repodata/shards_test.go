package repodata_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/condatest"
	"github.com/datalayer/conda2docker/conda/fetch"
	"github.com/datalayer/conda2docker/conda/repodata"
)

// sharded is a channel with shards of a few packages.
func sharded(t *testing.T, s condatest.Shards) *condatest.Channel {
	t.Helper()
	c := condatest.NewChannel(
		t,
		condatest.Package{
			Name: "tool", Version: "1.2", Build: "h1_4", BuildNumber: 4, Depends: []string{"lib >=1"}, Constrains: []string{"other <3"},
			TrackFeatures: []string{"a", "b"}, License: "MIT", Timestamp: 1700000000000,
		},
		condatest.Package{Name: "lib", Version: "1", Format: condatest.TarBz2},
		condatest.Package{Name: "lib", Version: "2", Format: condatest.TarBz2},
		condatest.Package{Name: "lib", Version: "1", Format: condatest.Conda},
		condatest.Package{Name: "tool", Version: "3", NoArch: conda.NoArchPython},
	)
	c.Shard(t, s)
	return c
}

// shardsAsked are the names of the files that a channel was asked for since the last time, shards by "shard".
func shardsAsked(c *condatest.Channel) string {
	var all []string
	for _, r := range c.Requests() {
		name := strings.TrimSuffix(filepath.Base(r.Path), ".msgpack.zst")
		if len(name) == 64 {
			name = "shard"
		}
		all = append(all, name+" "+http.StatusText(r.Status))
	}
	c.Forget()
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func TestShardsHaveWhatTheChannelHas(t *testing.T) {
	c := sharded(t, condatest.Shards{})
	cacheControl(c, "max-age=1200")
	o := options(t, fetch.Options{}, c.Channel())
	x := open(t, o)
	require.Equal(t, "repodata_shards OK, repodata_shards OK", shardsAsked(c))
	all := c.Records()
	require.Equal(t, []*conda.Record{all[0], all[4]}, records(t, x, "tool"))
	require.Equal(t, "lib-1-0.conda lib-2-0.tar.bz2", files(t, x, "lib"))
	once := records(t, x, "tool")[0]
	require.Same(t, once, records(t, x, "tool")[0], "records are read once")
	require.Empty(t, records(t, x, "none"))
	require.Equal(t, "shard OK, shard OK, shard OK", shardsAsked(c))
	names, err := x.Names(t.Context())
	require.NoError(t, err)
	require.Equal(t, []conda.PackageName{"lib", "tool"}, names)

	require.Len(t, records(t, open(t, o), "tool"), 2)
	require.Empty(t, c.Requests(), "shards are kept for ever, the index for as long as its server says")
	o.Current = true
	c.Add(t, condatest.Package{Name: "lib", Version: "4"})
	x = open(t, o)
	require.NoError(t, x.Prefetch(t.Context(), []conda.PackageName{"tool", "lib", "none"}))
	require.Equal(t, "repodata_shards Not Modified, repodata_shards OK, shard OK", shardsAsked(c), "only what has changed is fetched")
	require.Len(t, records(t, x, "lib"), 3)
	require.Empty(t, c.Requests())
}

func TestShardsElsewhere(t *testing.T) {
	other := condatest.NewChannel(t)
	for _, at := range []string{"../shared", "SERVER/channel/shared/", "OTHER/files/"} {
		c := sharded(t, condatest.Shards{BaseURL: "https://cdn.invalid/x/", ShardsBaseURL: "placeholder"})
		at = strings.NewReplacer("SERVER/channel", c.URL, "OTHER", other.URL).Replace(at)
		c.Shard(t, condatest.Shards{BaseURL: "https://cdn.invalid/x/", ShardsBaseURL: at})
		dir := t.TempDir()
		c.Write(t, dir)
		moved, err := filepath.Glob(filepath.Join(dir, "*", "shards", "*"))
		require.NoError(t, err)
		for _, path := range moved {
			body, err := os.ReadFile(path)
			require.NoError(t, err)
			rel, err := filepath.Rel(dir, path)
			require.NoError(t, err)
			c.Set(filepath.ToSlash(rel), nil)
			c.Set("shared/"+filepath.Base(path), body)
			other.Set("files/"+filepath.Base(path), body)
		}
		x := open(t, options(t, fetch.Options{}, c.Channel()))
		require.Equal(t, "https://cdn.invalid/x/tool-1.2-h1_4.conda", records(t, x, "tool")[0].URL, at)
	}
}

func TestShardsOffline(t *testing.T) {
	c := sharded(t, condatest.Shards{})
	o := options(t, fetch.Options{}, c.Channel())
	require.Len(t, records(t, open(t, o), "tool"), 2)
	c.Forget()
	off := options(t, fetch.Options{Offline: true}, c.Channel())
	off.Dir = o.Dir
	x := open(t, off)
	require.Len(t, records(t, x, "tool"), 2)
	_, err := x.Records(t.Context(), "lib")
	require.ErrorIs(t, err, fetch.ErrOffline)
	require.ErrorContains(t, err, "repodata of linux-64: the shard of lib: "+c.URL+"/linux-64/shards/")
	require.ErrorContains(t, err, "run once without --offline")
	require.ErrorIs(t, x.Prefetch(t.Context(), []conda.PackageName{"tool", "lib"}), fetch.ErrOffline)
	require.Empty(t, c.Requests())
}

func TestShardsThatAreMissingAreRemembered(t *testing.T) {
	plain := condatest.NewChannel(t, condatest.Package{Name: "tool", Version: "9"})
	c := sharded(t, condatest.Shards{})
	o := options(t, fetch.Options{}, plain.Channel(), c.Channel())
	for range 2 {
		x := open(t, o)
		require.Equal(t, "tool-9-0.conda tool-1.2-h1_4.conda tool-3-0.conda", files(t, x, "tool"))
	}
	asked := 0
	for _, r := range plain.Requests() {
		if strings.Contains(r.Path, "shards") {
			asked++
		}
	}
	require.Equal(t, 2, asked, "once for each subdir")
}

func TestShardsOfAFolder(t *testing.T) {
	c := sharded(t, condatest.Shards{})
	dir := t.TempDir()
	c.Write(t, dir)
	require.NoError(t, os.Remove(filepath.Join(dir, "linux-64", "repodata.json.zst")))
	o := options(t, fetch.Options{Offline: true}, conda.Channel{Name: "file://" + dir, URL: "file://" + dir})
	require.Len(t, records(t, open(t, o), "tool"), 2)
	left, err := filepath.Glob(filepath.Join(o.Dir, "*"))
	require.NoError(t, err)
	require.Empty(t, left, "what is on this machine is not copied")
}

func TestDamagedShardsAreFetchedAnew(t *testing.T) {
	c := sharded(t, condatest.Shards{})
	cacheControl(c, "max-age=1200")
	o := options(t, fetch.Options{}, c.Channel())
	require.Len(t, records(t, open(t, o), "tool"), 2)
	c.Forget()
	kept, err := filepath.Glob(filepath.Join(o.Dir, "*", "shards", "*.zst"))
	require.NoError(t, err)
	require.Len(t, kept, 2)
	for _, path := range kept {
		require.NoError(t, os.Truncate(path, 10))
	}
	require.Len(t, records(t, open(t, o), "tool"), 2)
	require.Equal(t, "shard OK, shard OK", shardsAsked(c))
	old := time.Now().Add(-30 * 24 * time.Hour)
	for _, path := range kept {
		require.NoError(t, os.Chtimes(path, old, old))
	}
	c.Add(t, condatest.Package{Name: "tool", Version: "5"}) // in linux-64
	o.Current = true
	require.Len(t, records(t, open(t, o), "tool"), 3)
	left, err := filepath.Glob(filepath.Join(o.Dir, "*", "shards", "*.zst"))
	require.NoError(t, err)
	require.Len(t, left, 2, "shards that no index names go when they are old")
}

func TestShardsThatAreGone(t *testing.T) {
	c := sharded(t, condatest.Shards{})
	cacheControl(c, "max-age=1200")
	o := options(t, fetch.Options{}, c.Channel())
	open(t, o)
	c.Add(t, condatest.Package{Name: "tool", Version: "5"}, condatest.Package{Name: "lib", Version: "6"}) // its server keeps no old shards
	x := open(t, o)
	c.Forget()
	require.NoError(t, x.Prefetch(t.Context(), []conda.PackageName{"tool", "lib"}))
	require.Len(t, records(t, x, "tool"), 3)
	require.Len(t, records(t, x, "lib"), 3)
	got := shardsAsked(c)
	require.Equal(t, 1, strings.Count(got, "repodata_shards OK"), "the index is asked for anew, once: %s", got)
	require.Contains(t, got, "shard Not Found")
}

func TestShardsWithoutACache(t *testing.T) {
	c := sharded(t, condatest.Shards{})
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	o := options(t, fetch.Options{}, c.Channel())
	o.Dir = ""
	require.Len(t, records(t, open(t, o), "tool"), 2)
	left, err := os.ReadDir(temp)
	require.NoError(t, err)
	require.Empty(t, left)
}

// hostile serves an index with one shard, of tool, for linux-64.
func hostile(t *testing.T, shard []byte) *condatest.Channel {
	t.Helper()
	c := condatest.NewChannel(t)
	sum := sha256.Sum256(shard)
	c.Set("linux-64/repodata_shards.msgpack.zst", condatest.Msgpack(t, map[string]any{
		"version": 1, "info": map[string]any{"shards_base_url": "./"}, "shards": map[string]any{"tool": sum[:]},
	}))
	c.Set("linux-64/"+hex.EncodeToString(sum[:])+".msgpack.zst", shard)
	return c
}

func TestHostileShards(t *testing.T) {
	record := map[string]any{"name": "tool", "version": "1", "build": "0", "depends": []any{"a", "b"}}
	section := func(file string, record any) []byte {
		return condatest.Msgpack(t, map[string]any{"packages.conda": map[string]any{file: record}})
	}
	z, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	bomb := z.EncodeAll(make([]byte, 100<<20), nil)
	require.Less(t, len(bomb), 20_000)
	for _, test := range []struct {
		name, want string
		shard      []byte
	}{
		{"another name", `it is a record of "evil", not of tool`, section("tool-1-0.conda", map[string]any{"name": "evil", "version": "1"})},
		{"no name", `it is a record of "", not of tool`, section("tool-1-0.conda", map[string]any{"version": "1"})},
		{"a list for a record", "packages.conda: tool-1-0.conda: msgp: ", section("tool-1-0.conda", []any{1})},
		{"a number for dependencies", "packages.conda: tool-1-0.conda: depends: msgp: ", section("tool-1-0.conda", map[string]any{"depends": 3})},
		{"numbers for dependencies", "depends: msgp: ", section("tool-1-0.conda", map[string]any{"depends": []any{3}})},
		{"a short sum", "sha256: a checksum of 3 bytes", section("tool-1-0.conda", map[string]any{"sha256": []byte("abc")})},
		{"a bomb", "bytes that claim to be 104857600", bomb},
		{"more than it holds", "msgp: too few bytes left", z.EncodeAll([]byte{0x81, 0xa8, 'p', 'a', 'c', 'k', 'a', 'g', 'e', 's', 0xdf, 0xff, 0xff, 0xff, 0xff}, nil)},
		{"no msgpack", "msgp: ", z.EncodeAll([]byte("<html>"), nil)},
		{"no zstd", "does not parse: ", []byte("<html>")},
		{"something behind it", "1 bytes after the end", z.EncodeAll([]byte{0x80, 0x80}, nil)},
	} {
		c := hostile(t, test.shard)
		_, err := open(t, options(t, fetch.Options{}, c.Channel())).Records(t.Context(), "tool")
		require.ErrorContains(t, err, test.want, test.name)
		require.ErrorContains(t, err, "repodata of linux-64: the shard of tool: "+c.URL+"/linux-64/", test.name)
	}
	c := hostile(t, section("tool-1-0.conda", record))
	o := options(t, fetch.Options{}, c.Channel())
	require.Len(t, records(t, open(t, o), "tool"), 1)

	o.Dir = t.TempDir()
	sum := sha256.Sum256(section("tool-1-0.conda", record))
	c.Set("linux-64/"+hex.EncodeToString(sum[:])+".msgpack.zst", section("tool-1-0.conda", map[string]any{"name": "tool", "version": "2"}))
	_, err = open(t, o).Records(t.Context(), "tool")
	var wrong *fetch.ChecksumError
	require.ErrorAs(t, err, &wrong)
	c.Set("linux-64/"+hex.EncodeToString(sum[:])+".msgpack.zst", nil)
	_, err = open(t, o).Records(t.Context(), "tool")
	require.True(t, fetch.NotFound(err))
}

func TestHostileShardIndexes(t *testing.T) {
	for want, index := range map[string]map[string]any{
		"version: it is 2":                             {"version": 2},
		"shards: tool: a sum of 3 bytes":               {"version": 1, "shards": map[string]any{"tool": []byte("abc")}},
		"shards: tool: msgp: attempted to decode type": {"version": 1, "shards": map[string]any{"tool": "abc"}},
		"info: shards_base_url: a file: URL":           {"version": 1, "info": map[string]any{"shards_base_url": "file:///etc"}},
		"info: msgp: attempted to decode type":         {"version": 1, "info": "x"},
		"info: base_url: a javascript: URL":            {"version": 1, "info": map[string]any{"base_url": "javascript:x"}},
	} {
		c := condatest.NewChannel(t)
		c.Set("linux-64/repodata_shards.msgpack.zst", condatest.Msgpack(t, index))
		_, err := repodata.Open(t.Context(), options(t, fetch.Options{}, c.Channel()))
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, c.URL+"/linux-64/repodata_shards.msgpack.zst does not parse")
	}
}

func TestShardsRemovedAndForNewerClients(t *testing.T) {
	c := hostile(t, condatest.Msgpack(t, map[string]any{
		"packages": map[string]any{"tool-1-0.tar.bz2": map[string]any{"name": "tool", "version": "1", "license": "old", "noarch": true}},
		"packages.conda": map[string]any{
			"tool-2-0.conda": map[string]any{"name": "tool", "version": "2"}, "tool-3-0.conda": map[string]any{"name": "Tool", "version": "3"},
			"tool-x-0.conda": map[string]any{"name": "tool", "version": "not!a!version"},
		},
		"removed": []any{"tool-2-0.conda"},
		"v3": map[string]any{"whl": map[string]any{"x": 1}, "conda": map[string]any{
			"tool-1-0": map[string]any{"name": "tool", "version": "1", "license": "new", "extra_depends": map[string]any{"x": []any{"y"}}, "flags": []any{"f"}},
		}},
		"unknown": []any{map[string]any{"a": nil}},
	}))
	o := options(t, fetch.Options{}, c.Channel())
	var warnings []string
	o.Warn = func(w string) { warnings = append(warnings, w) }
	x := open(t, o)
	require.Equal(t, "tool-1-0.conda tool-3-0.conda", files(t, x, "tool"))
	first := records(t, x, "tool")[0]
	require.Equal(t, "new", first.License)
	require.Equal(t, map[string][]string{"x": {"y"}}, first.Extras)
	require.Equal(t, []string{"f"}, first.Flags)
	require.Len(t, warnings, 1)
	require.Contains(t, warnings[0], "/linux-64: 1 of the records of tool do not parse and were left out, such as tool-x-0.conda: ")
}

func TestShardsCanBeGivenUp(t *testing.T) {
	c := sharded(t, condatest.Shards{})
	x := open(t, options(t, fetch.Options{}, c.Channel()))
	ctx, cancel := context.WithCancel(t.Context())
	c.Intercept(func(http.ResponseWriter, *http.Request) bool {
		cancel()
		return false
	})
	_, err := x.Records(ctx, "tool")
	require.ErrorIs(t, err, context.Canceled)
	c.Intercept(nil)
	require.Len(t, records(t, x, "tool"), 2, "it is asked for again")
}

func TestShardsComeFromMirrors(t *testing.T) {
	mirror := sharded(t, condatest.Shards{})
	forge := conda.Channel{Name: "forge", URL: "https://conda.invalid/forge"}
	x := open(t, options(t, fetch.Options{Mirrors: map[string][]string{forge.URL: {mirror.URL}}}, forge))
	require.Equal(t, forge.URL+"/linux-64/tool-1.2-h1_4.conda", records(t, x, "tool")[0].URL, "records do not name mirrors")
	require.Equal(t, "repodata_shards OK, repodata_shards OK, shard OK, shard OK", shardsAsked(mirror))
}

// A channel of some thousands of records, which span many windows and blocks, is the same in all forms.
func TestAllFormsAreTheSame(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, condatest.WriteScale(dir, condatest.Scale{Factor: 0.01, Seed: 3, Shards: true}))
	o := options(t, fetch.Options{Offline: true}, conda.Channel{Name: "scale", URL: "file://" + dir})
	fromShards := open(t, o)
	names, err := fromShards.Names(t.Context())
	require.NoError(t, err)
	require.Greater(t, len(names), 300)
	require.NoError(t, fromShards.Prefetch(t.Context(), names))
	for _, subdir := range []string{"linux-64", "noarch"} {
		require.NoError(t, os.Remove(filepath.Join(dir, subdir, "repodata_shards.msgpack.zst")))
	}
	fromMemory := open(t, o)
	same(t, fromShards, fromMemory)
	require.Empty(t, packs(t, o))
	o = o.WithMemory(1000)
	same(t, fromMemory, open(t, o))
	same(t, fromMemory, open(t, o))
	require.Len(t, packs(t, o), 2)
}
