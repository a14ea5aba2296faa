package repodata_test

import (
	"net/http"
	"net/url"
	"os"
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

// options are those for linux-64 of some channels, with a client that repeats at once.
func options(t *testing.T, o fetch.Options, channels ...conda.Channel) repodata.Options {
	t.Helper()
	o.Backoff = time.Nanosecond
	o.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	c, err := fetch.New(o)
	require.NoError(t, err)
	return repodata.Options{
		Channels: channels, Subdirs: []conda.Subdir{conda.Linux64, conda.NoArchSubdir}, Client: c, Dir: t.TempDir(),
	}
}

func open(t *testing.T, o repodata.Options) *repodata.Index {
	t.Helper()
	x, err := repodata.Open(t.Context(), o)
	require.NoError(t, err)
	return x
}

func records(t *testing.T, x *repodata.Index, name conda.PackageName) []*conda.Record {
	t.Helper()
	rs, err := x.Records(t.Context(), name)
	require.NoError(t, err)
	return rs
}

// files are the file names of a name's records, in their order.
func files(t *testing.T, x *repodata.Index, name conda.PackageName) string {
	t.Helper()
	var all []string
	for _, r := range records(t, x, name) {
		all = append(all, r.FileName)
	}
	return strings.Join(all, " ")
}

// raw serves one linux-64 repodata.json.
func raw(t *testing.T, text string) conda.Channel {
	t.Helper()
	c := condatest.NewChannel(t)
	c.Set("linux-64/repodata.json", []byte(text))
	return c.Channel()
}

func TestRecordsAreWhatTheChannelHas(t *testing.T) {
	c := condatest.NewChannel(
		t,
		condatest.Package{
			Name: "Tool", Version: "1.2", Build: "h1_4", BuildNumber: 4, Depends: []string{"zlib >=1.2,<2", "python_abi 3.11.* *_cp311"},
			Constrains: []string{"other <3"}, TrackFeatures: []string{"a", "b"}, License: "MIT \"quoted\"", Timestamp: 1700000000000,
			PythonSitePackagesPath: "lib/python3.11/site-packages",
		},
		condatest.Package{Name: "tool", Version: "1!2.0", NoArch: conda.NoArchPython},
	)
	x := open(t, options(t, fetch.Options{}, c.Channel()))
	got := records(t, x, "tool")
	require.Equal(t, c.Records(), got)
	require.Equal(t, c.URL+"/noarch/tool-1!2.0-0.conda", got[1].URL)
	require.Same(t, got[0], records(t, x, "tool")[0], "records are read once")
	require.Empty(t, records(t, x, "none"))
	names, err := x.Names(t.Context())
	require.NoError(t, err)
	require.Equal(t, []conda.PackageName{"tool"}, names)
}

func TestOrderOfRecords(t *testing.T) {
	tool := func(version string, f condatest.Format, noarch conda.NoArch) condatest.Package {
		return condatest.Package{Name: "tool", Version: version, Format: f, NoArch: noarch}
	}
	first := condatest.NewChannel(
		t,
		tool("1", condatest.TarBz2, ""), tool("2", condatest.TarBz2, ""), tool("3", condatest.TarBz2, ""),
		tool("2", condatest.Conda, ""), tool("0", condatest.Conda, ""), tool("0.1", condatest.Conda, conda.NoArchGeneric),
	)
	second := condatest.NewChannel(t, tool("9", condatest.Conda, ""))
	x := open(t, options(t, fetch.Options{}, second.Channel(), first.Channel(), second.Channel()))
	require.Equal(t, "tool-9-0.conda tool-0-0.conda tool-1-0.tar.bz2 tool-2-0.conda tool-3-0.tar.bz2 tool-0.1-0.conda",
		files(t, x, "tool"))
}

func TestOldAndOddFields(t *testing.T) {
	channel := raw(t, `{
		"repodata_version": 1,
		"removed": ["gone-1-0.tar.bz2"],
		"packages.conda": {"b-1-0.conda": {"name": "b", "version": "1", "build": "0"}},
		"packages": {
			"a-1-0.tar.bz2": {"depends": null, "features": null, "name": "A", "noarch": true, "build_number": "3", "size": 1e3,
				"track_features": "x, y z", "timestamp": 1500000000, "version": "1", "build": "0", "license": null, "extra": {"a": ["}"]},
				"md5": "ABCD", "license_family": "MIT \u0041\\", "depends": ["x[version='>=1']", "y", "z"]},
			"a-2-0.tar.bz2": {"name": "a", "version": "2", "noarch": "other", "track_features": ["x"], "depends": []},
			"a-3 x#-0.tar.bz2": {"name": "a", "version": "3"},
			"gone-1-0.tar.bz2": {"name": "gone", "version": "1"},
			"b-1-0.tar.bz2": {"name": "b", "version": "1", "build": "0"}
		},
		"info": {"subdir": "linux-64"}
	}`)
	x := open(t, options(t, fetch.Options{}, channel))
	a := records(t, x, "a")
	require.Len(t, a, 3)
	first := a[0]
	require.Equal(t, conda.PackageName("a"), first.Name)
	require.Equal(t, conda.NoArchGeneric, first.NoArch)
	require.EqualValues(t, 3, first.BuildNumber)
	require.EqualValues(t, 1000, first.Size)
	require.EqualValues(t, 1500000000000, first.Timestamp)
	require.Equal(t, []string{"x", "y", "z"}, first.TrackFeatures)
	require.Equal(t, `MIT A\`, first.LicenseFamily)
	require.Equal(t, "abcd", first.MD5)
	require.Equal(t, []string{"x[version='>=1']", "y", "z"}, first.Depends)
	require.Equal(t, []string{"x"}, a[1].TrackFeatures)
	require.Empty(t, a[1].NoArch)
	require.Equal(t, channel.URL+"/linux-64/a-3%20x%23-0.tar.bz2", a[2].URL)
	require.Equal(t, "b-1-0.conda", files(t, x, "b"))
	require.Empty(t, records(t, x, "gone"))
}

func TestPackagesForNewerClients(t *testing.T) {
	x := open(t, options(t, fetch.Options{}, raw(t, `{
		"packages": {"a-1-0.tar.bz2": {"name": "a", "version": "1", "build": "0", "license": "old"}},
		"packages.conda": {"a-2-0.conda": {"name": "a", "version": "2", "build": "0"}},
		"v3": {
			"whl": {"a-9": {"name": "a", "version": "9"}},
			"conda": {
				"a-3-0": {"name": "a", "version": "3", "build": "0", "depends": ["b[when=__unix]"], "flags": ["cuda", "blas:mkl"],
					"extra_depends": {"test": ["pytest[version='>=7']", "c"], "none": []}},
				"a-1-0": {"name": "a", "version": "1", "build": "0", "license": "new"}
			},
			"tar.bz2": {"a-4-0": {"name": "a", "version": "4", "build": "0"}}
		},
		"removed": ["a-4-0.tar.bz2"]
	}`)))
	require.Equal(t, "a-1-0.conda a-2-0.conda a-3-0.conda", files(t, x, "a"))
	a := records(t, x, "a")
	require.Equal(t, "new", a[0].License)
	require.Equal(t, []string{"b[when=__unix]"}, a[2].Depends)
	require.Equal(t, map[string][]string{"test": {"pytest[version='>=7']", "c"}, "none": nil}, a[2].Extras)
	require.Equal(t, []string{"cuda", "blas:mkl"}, a[2].Flags)
}

func TestRecordsThatDoNotParseAreCounted(t *testing.T) {
	o := options(t, fetch.Options{}, raw(t, `{"packages": {
		"a-1-0.tar.bz2": {"name": "a", "version": "1"},
		"a--0.tar.bz2": {"name": "a", "version": ""},
		"a-2-0.tar.bz2": {"name": "a", "version": "not!a!version"},
		"../a-3-0.tar.bz2": {"name": "a", "version": "3"},
		"a-4-0.tar.bz2": {"name": "a", "version": "4", "depends": [1]},
		"b-1-0.tar.bz2": {"name": "b x", "version": "1"},
		"c-1-0.tar.bz2": {}
	}}`))
	var warnings []string
	o.Warn = func(w string) { warnings = append(warnings, w) }
	x := open(t, o)
	require.Equal(t, "a-1-0.tar.bz2", files(t, x, "a"))
	require.Empty(t, records(t, x, "b x"))
	require.Len(t, records(t, x, "a"), 1)
	require.Len(t, warnings, 2)
	require.Contains(t, warnings[0], "/linux-64: 4 of the records of a do not parse and were left out, such as a--0.tar.bz2: ")
	require.Contains(t, warnings[1], "1 of the records of b x do not parse")
}

func TestRecordsOfOtherPackagesAreLeftOut(t *testing.T) {
	o := options(t, fetch.Options{}, raw(t, `{"packages.conda": {
		"A-1-0.conda": {"name": "a", "version": "1", "build": "0"},
		"b-2.0-0.conda": {"name": "a", "version": "1.0", "build": "0"},
		"a-2-py-0.conda": {"name": "a", "version": "2", "build": "py-0"},
		"a-b-3-0.conda": {"name": "a", "version": "3", "build": "0"},
		"a_4.conda": {"name": "a", "version": "4", "build": "0"},
		"b-3.0-0.conda": {"name": "b", "version": "3.0", "build": "0"}
	}}`))
	var warnings []string
	o.Warn = func(w string) { warnings = append(warnings, w) }
	x := open(t, o)
	require.Equal(t, "A-1-0.conda a-2-py-0.conda a_4.conda", files(t, x, "a"))
	require.Equal(t, "b-3.0-0.conda", files(t, x, "b"))
	require.Len(t, warnings, 1)
	require.Contains(t, warnings[0], "2 of the records of a do not parse and were left out, such as b-2.0-0.conda: "+
		"it is a record of a, but its file is one of b")

	shards := hostile(t, condatest.Msgpack(t, map[string]any{"packages.conda": map[string]any{
		"b-2.0-0.conda": map[string]any{"name": "tool", "version": "2.0", "build": "0"},
	}}))
	o = options(t, fetch.Options{}, shards.Channel())
	o.Warn = func(w string) { warnings = append(warnings, w) }
	require.Empty(t, files(t, open(t, o), "tool"))
	require.Len(t, warnings, 2)
	require.Contains(t, warnings[1], "its file is one of b")
}

func TestNewerFormatsAreToldOf(t *testing.T) {
	text := func(version string) string {
		return `{"repodata_version": ` + version + `, "packages": {"a-1-0.tar.bz2": {"name": "a", "version": "1", "build": "0"}}}`
	}
	for version, want := range map[string]string{"1": "", "2": "", "3": "", "null": "", `"x"`: "", "-1": "", "4": "4", "99999999999": "4294967295"} {
		channel := raw(t, text(version))
		o := options(t, fetch.Options{}, channel)
		var warnings []string
		o.Warn = func(w string) { warnings = append(warnings, w) }
		require.Len(t, records(t, open(t, o), "a"), 1, version)
		if want == "" {
			require.Empty(t, warnings, version)
			continue
		}
		require.Len(t, warnings, 1)
		require.Contains(t, warnings[0], "/linux-64: repodata_version "+want+" is newer than what is known (3)")
	}
	large := options(t, fetch.Options{}, raw(t, text("4"))).WithMemory(1)
	for _, form := range []string{"made", "found"} {
		var warnings []string
		large.Warn = func(w string) { warnings = append(warnings, w) }
		open(t, large)
		require.Len(t, warnings, 1, form)
		require.NotEmpty(t, packs(t, large))
	}
	shards := condatest.NewChannel(t)
	shards.Set("linux-64/repodata_shards.msgpack.zst", condatest.Msgpack(t, map[string]any{"version": 1, "repodata_version": 4}))
	o := options(t, fetch.Options{}, shards.Channel())
	var warnings []string
	o.Warn = func(w string) { warnings = append(warnings, w) }
	open(t, o)
	require.Len(t, warnings, 1)
	require.Contains(t, warnings[0], "repodata_version 4")
}

func TestBaseURL(t *testing.T) {
	for base, want := range map[string]string{
		"https://cdn.invalid/x/linux-64/":        "https://cdn.invalid/x/linux-64",
		"https://me:secret@cdn.invalid/t/tk-1/x": "https://cdn.invalid/x",
		"/pkgs":                                  "SERVER/pkgs",
		"../shared":                              "SERVER/channel/shared",
		"":                                       "SERVER/channel/linux-64",
	} {
		channel := raw(t, `{"info": {"base_url": "`+base+`"}, "packages": {"a-1-0.tar.bz2": {"name": "a", "version": "1"}}}`)
		want = strings.Replace(want, "SERVER", strings.TrimSuffix(channel.URL, "/channel"), 1)
		x := open(t, options(t, fetch.Options{}, channel))
		require.Equal(t, want+"/a-1-0.tar.bz2", records(t, x, "a")[0].URL, base)
	}
	_, err := repodata.Open(t.Context(), options(t, fetch.Options{}, raw(t, `{"info": {"base_url": "file:///etc"}}`)))
	require.ErrorContains(t, err, "base_url: a file: URL")
}

func TestUnknownChannel(t *testing.T) {
	c := condatest.NewChannel(t)
	c.Set("noarch/repodata.json.zst", nil)
	c.Set("noarch/repodata.json.bz2", nil)
	c.Set("noarch/repodata.json", nil)
	channel := conda.Channel{Name: "no-such-forge", URL: c.URL}
	_, err := repodata.Open(t.Context(), options(t, fetch.Options{}, channel))
	var unknown *repodata.UnknownChannelError
	require.ErrorAs(t, err, &unknown)
	require.EqualError(t, err, "unknown channel no-such-forge ("+c.URL+"): it has no repodata.json in linux-64 or noarch")

	c.Add(t, condatest.Package{Name: "tool"})
	x := open(t, options(t, fetch.Options{}, channel))
	require.Len(t, records(t, x, "tool"), 1, "noarch need not be there")
}

func TestBrokenRepodataNamesItsPlace(t *testing.T) {
	for text, want := range map[string]string{
		"":                          "it ends too early",
		"<html>":                    `at byte 0: '<' where '{' was expected`,
		`{"packages": {"a": {"na`:   "it ends too early",
		`{"packages": []}`:          `at byte 13: '[' where '{' was expected`,
		`{"packages": {}} {`:        "after the end",
		`{"packages": {"a" {}}`:     "was expected",
		`{"packages": {"a": {}},}`:  "was expected",
		`{"removed": {}}`:           "was expected",
		`{"info": {"base_url": }}`:  "where a value was expected",
		`{"info": {"\ud8 ": true}}`: "a string that does not parse",
	} {
		channel := raw(t, text)
		_, err := repodata.Open(t.Context(), options(t, fetch.Options{}, channel))
		require.ErrorContains(t, err, want, text)
		require.ErrorContains(t, err, "repodata of linux-64: "+channel.URL+"/linux-64/repodata.json does not parse")
	}
}

func TestFolderIsAChannel(t *testing.T) {
	c := condatest.NewChannel(t, condatest.Package{Name: "tool"})
	dir := t.TempDir()
	c.Write(t, dir)
	at := conda.Channel{Name: "file://" + dir, URL: "file://" + dir}
	o := options(t, fetch.Options{Offline: true}, at)
	r := records(t, open(t, o), "tool")[0]
	require.Equal(t, at.URL+"/linux-64/tool-1.0-0.conda", r.URL)
	a := fetch.Archives{Client: o.Client, Dir: t.TempDir()}
	_, err := a.Fetch(t.Context(), r, nil)
	require.NoError(t, err)

	o.Channels[0].URL += "/none"
	_, err = repodata.Open(t.Context(), o)
	var unknown *repodata.UnknownChannelError
	require.ErrorAs(t, err, &unknown)
}

// A folder may well be called as if there were a token in a URL.
func TestFoldersBelowT(t *testing.T) {
	top, cache := t.TempDir(), t.TempDir()
	for _, name := range []string{"a", "b"} {
		dir := filepath.Join(top, "t", name, "linux-64")
		require.NoError(t, os.MkdirAll(dir, 0o755))
		text := `{"packages": {"` + name + `-1-0.tar.bz2": {"name": "` + name + `", "version": "1", "build": "0", "build_number": 0}}}`
		require.NoError(t, os.WriteFile(filepath.Join(dir, "repodata.json"), []byte(text), 0o644))
		url := "file://" + filepath.Join(top, "t", name)
		o := options(t, fetch.Options{Offline: true}, conda.Channel{Name: url, URL: url})
		o.Dir = cache
		require.Equal(t, name+"-1-0.tar.bz2", files(t, open(t, o), conda.PackageName(name)))
	}
	entries, err := os.ReadDir(cache)
	require.NoError(t, err)
	require.Empty(t, entries, "a folder is read where it is")
}
