package lock_test

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/lock"
	"github.com/datalayer/conda2docker/conda/version"
)

func forge() conda.Channel {
	return conda.Channel{Name: "conda-forge", URL: "https://conda.anaconda.org/conda-forge"}
}

const (
	md5Sum    = "d41d8cd98f00b204e9800998ecf8427e"
	sha256Sum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// record is a package of a channel, with every field that an index may give it.
func record(c conda.Channel, subdir conda.Subdir, name, v, build string, depends ...string) *conda.Record {
	file := name + "-" + v + "-" + build + ".conda"
	return &conda.Record{
		Name: conda.PackageName(name), Version: version.MustParse(v), Build: build, Subdir: subdir, Depends: depends,
		MD5: md5Sum, SHA256: sha256Sum, Channel: c, FileName: file, URL: c.URL + "/" + string(subdir) + "/" + file,
	}
}

// sample is a lock that uses all that a lock can hold.
func sample(t *testing.T) *lock.Lock {
	t.Helper()
	python := record(forge(), conda.Linux64, "python", "3.13.1", "h_0_cp313", "openssl >=3.4,<4.0a0", "pip", "__glibc >=2.17")
	python.PythonSitePackagesPath, python.BuildNumber, python.Size, python.Timestamp = "lib/python3.13/site-packages", 3, 123, 1700000000000
	python.Constrains = []string{"python_abi 3.13.* *_cp313"}
	openssl := record(forge(), conda.Linux64, "openssl", "3.4.0", "hb_1")
	openssl.License, openssl.LicenseFamily = "Apache-2.0", "Apache"
	pip := record(forge(), conda.NoArchSubdir, "pip", "24.3", "pyh_0", "python >=3.8,<3.13.0a0", "setuptools", "python !=3.9.0")
	pip.NoArch = conda.NoArchPython
	own := record(conda.Channel{Name: "own", URL: "https://me:secret@example.com/t/tk-12/own"}, conda.Linux64, "yes", "1!2.0", "0", "python>=3")
	own.TrackFeatures, own.Features = []string{"a", "b"}, "c"
	dev := record(forge(), conda.NoArchSubdir, "pytest", "8", "0", "python")
	glibc, err := conda.ParseVirtualPackage("__glibc=2.36")
	require.NoError(t, err)
	cuda, err := conda.ParseVirtualPackage("__cuda=12.4=0")
	require.NoError(t, err)
	l, err := lock.New([]conda.Channel{forge(), own.Channel}, []string{"environment.yml"},
		lock.Platform{
			Subdir: conda.Linux64, ContentHash: sha256Sum, Request: []string{"spec python"}, Virtual: []conda.VirtualPackage{cuda, glibc},
			Packages: append(lock.Packages([]*conda.Record{own, pip, python, openssl}), lock.Package{Record: dev, Category: "dev"}),
			Pip: []lock.PipPackage{
				{Name: "zzz", Version: "1.0", URL: "https://files.example.com/zzz-1.0-py3-none-any.whl", SHA256: sha256Sum, Depends: []string{"aaa >=1"}, Category: lock.Main},
				{Name: "aaa", Version: "1", URL: "https://me:secret@files.example.com/a.zip", SHA256: sha256Sum, Source: "https://files.example.com/a.zip#sha256=" + sha256Sum, Category: lock.Main},
			},
		},
		lock.Platform{Subdir: conda.LinuxAarch64, Packages: lock.Packages([]*conda.Record{record(forge(), conda.LinuxAarch64, "openssl", "3.4.0", "hc_1")})},
	)
	require.NoError(t, err)
	return l
}

// What is read from the file is what was locked: nothing of a record is lost, and the order stays.
func TestCondaLockRoundTrip(t *testing.T) {
	first := sample(t)
	var out bytes.Buffer
	require.NoError(t, first.WriteCondaLock(&out))
	second, err := lock.Read(bytes.NewReader(out.Bytes()), "conda-lock.yml", lock.Options{})
	require.NoError(t, err)
	for _, s := range []conda.Subdir{conda.Linux64, conda.LinuxAarch64} {
		want, err := first.Records(s, "dev")
		require.NoError(t, err)
		got, err := second.Records(s, "dev")
		require.NoError(t, err)
		require.Equal(t, want, got)
		a, err := first.Platform(s)
		require.NoError(t, err)
		b, err := second.Platform(s)
		require.NoError(t, err)
		require.Equal(t, a.Pip, b.Pip)
		require.Equal(t, a.ContentHash, b.ContentHash)
		require.ElementsMatch(t, a.Virtual, b.Virtual)
	}
	require.Equal(t, first.Sources, second.Sources)
	require.Equal(t, first.Channels, second.Channels)

	var again bytes.Buffer
	require.NoError(t, second.WriteCondaLock(&again))
	require.Equal(t, out.String(), again.String())
	require.NotContains(t, out.String(), "secret")
	require.NotContains(t, out.String(), "tk-12")
}

// What pip chose is in the file, in either format, as far as there is a place for it.
func TestPipRoundTrip(t *testing.T) {
	request := []string{"spec python", "pip built"}
	first, err := lock.New([]conda.Channel{forge()}, nil, lock.Platform{
		Subdir: conda.Linux64, Request: request, Packages: lock.Packages([]*conda.Record{record(forge(), conda.Linux64, "python", "3.13.1", "0")}),
	})
	require.NoError(t, err)
	before, err := first.Platform(conda.Linux64)
	require.NoError(t, err)
	require.True(t, before.LacksPip())
	chosen := first.WithPip(conda.Linux64, "23.0.1", []lock.PipPackage{
		{Name: "wheel-only", Version: "1", URL: "https://files.example.com/wheel_only-1-py3-none-any.whl", SHA256: sha256Sum, Category: lock.Main},
		{
			Name: "built", Version: "2", URL: "./sources/built%20here", SHA256: sha256Sum, Category: lock.Main, Implied: true, RequiresPython: ">=3.8", Depends: []string{"wheel-only >0"},
			Build: []lock.BuildPackage{{Name: "setuptools", Version: "66", URL: "https://me:secret@files.example.com/setuptools-66-py3-none-any.whl", SHA256: sha256Sum}},
		},
	})
	require.Empty(t, before.Pip, "the lock before is as it was")
	want, err := chosen.Platform(conda.Linux64)
	require.NoError(t, err)
	require.False(t, want.LacksPip())
	require.Equal(t, "https://files.example.com/setuptools-66-py3-none-any.whl", want.Pip[0].Build[0].URL)

	var full, list bytes.Buffer
	require.NoError(t, chosen.WriteCondaLock(&full))
	require.NoError(t, chosen.WriteExplicit(&list, conda.Linux64))
	second, err := lock.Read(&full, "conda-lock.yml", lock.Options{})
	require.NoError(t, err)
	got, err := second.Platform(conda.Linux64)
	require.NoError(t, err)
	require.Equal(t, want.Pip, got.Pip)
	require.Equal(t, "23.0.1", got.PipVersion)

	third, err := lock.Read(&list, "explicit.txt", lock.Options{})
	require.NoError(t, err)
	got, err = third.Platform(conda.Linux64)
	require.NoError(t, err)
	require.Equal(t, "23.0.1", got.PipVersion)
	require.Len(t, got.Pip, 2)
	require.Equal(t, "./sources/built%20here", got.Pip[0].URL)
	require.Equal(t, sha256Sum, got.Pip[0].SHA256)
}

// Whatever a record has is in the file: also what will be added to it.
func TestCondaLockKeepsRecords(t *testing.T) {
	r := record(forge(), conda.Linux64, "a", "1", "0")
	v := reflect.ValueOf(r).Elem()
	for i := range v.NumField() {
		f, name := v.Field(i), v.Type().Field(i).Name
		switch {
		case !f.IsZero():
		case f.Kind() == reflect.String:
			f.SetString("generic")
		case f.Kind() == reflect.Int64:
			f.SetInt(7)
		case f.Type() == reflect.TypeFor[[]string]():
			f.Set(reflect.ValueOf([]string{name}))
		case f.Type() == reflect.TypeFor[map[string][]string]():
			f.Set(reflect.ValueOf(map[string][]string{name: {"x"}}))
		default:
			t.Fatalf("%s: how is a %s written?", name, f.Type())
		}
	}
	l, err := lock.New(nil, nil, lock.Platform{Subdir: conda.Linux64, Packages: lock.Packages([]*conda.Record{r})})
	require.NoError(t, err)
	var out bytes.Buffer
	require.NoError(t, l.WriteCondaLock(&out))
	back, err := lock.Read(&out, "written", lock.Options{})
	require.NoError(t, err)
	require.Equal(t, r, back.Platforms[0].Packages[0].Record)
}

func TestCondaLockKeepsNotes(t *testing.T) {
	const metadata = "  time_metadata: {created_at: '2024-01-02T03:04:05Z'}\n  git_metadata: {git_sha: abc}\n  inputs_metadata: {environment.yml: {md5: a, sha256: b}}\n"
	first, err := lock.Read(strings.NewReader("version: 1\nmetadata:\n  content_hash: {}\n  channels: []\n  platforms: [linux-64]\n  sources: []\n"+metadata+"package: []\n"), "x.yml", lock.Options{})
	require.NoError(t, err)
	require.Equal(t, map[string]string{
		"git_metadata": `{"git_sha":"abc"}`, "inputs_metadata": `{"environment.yml":{"md5":"a","sha256":"b"}}`, "time_metadata": `{"created_at":"2024-01-02T03:04:05Z"}`,
	}, first.Notes)
	var out bytes.Buffer
	require.NoError(t, first.WriteCondaLock(&out))
	back, err := lock.Read(&out, "written", lock.Options{})
	require.NoError(t, err)
	require.Equal(t, first, back)
}

func TestWriteCondaLock(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, sample(t).WriteCondaLock(&out))
	_, text, _ := strings.Cut(out.String(), "version: 1\n")
	require.Contains(t, text, `
  channels:
  - url: conda-forge
    used_env_vars: []
  - url: https://example.com/own
    used_env_vars: []
  platforms:
  - linux-64
  - linux-aarch64
  sources:
  - environment.yml
`)
	require.Contains(t, text, `
    conda2docker/record/https://conda.anaconda.org/conda-forge/noarch/pip-24.3-pyh_0.conda: '{"depends":["python >=3.8,<3.13.0a0","setuptools","python !=3.9.0"],"noarch":"python"}'
    conda2docker/record/https://example.com/own/linux-64/yes-1!2.0-0.conda: '{"channel":"own","depends":["python>=3"],"features":"c","track_features":["a","b"]}'
    conda2docker/request/linux-64: '["spec python"]'
    conda2docker/virtual/linux-64: __cuda=12.4=0 __glibc=2.36=0
`)
	require.Contains(t, text, `
- name: pip
  version: '24.3'
  manager: conda
  platform: linux-64
  dependencies:
    python: '>=3.8,<3.13.0a0,!=3.9.0'
    setuptools: ''
  url: https://conda.anaconda.org/conda-forge/noarch/pip-24.3-pyh_0.conda
  hash:
    md5: d41d8cd98f00b204e9800998ecf8427e
    sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
  category: main
  optional: false
`)
	require.Contains(t, text, "\n- name: 'yes'\n  version: 1!2.0\n")
	require.Contains(t, text, "\n  category: dev\n  optional: true\n")
	require.Contains(t, text, "\n  source:\n    type: url\n    url: https://files.example.com/a.zip#sha256="+sha256Sum+"\n")
	names := []string{"name: openssl\n", "name: pip\n", "name: pytest\n", "name: python\n", "name: 'yes'\n", "manager: pip\n", "name: zzz\n"}
	at := 0
	for _, n := range names {
		i := strings.Index(text[at:], n)
		require.Positive(t, i, "%q is not where it belongs", n)
		at += i
	}
}

func TestRecordsAreInLinkOrder(t *testing.T) {
	records, err := sample(t).Records(conda.Linux64)
	require.NoError(t, err)
	var names []string
	for _, r := range records {
		names = append(names, string(r.Name))
	}
	require.Equal(t, []string{"openssl", "python", "pip", "yes"}, names)
	_, err = sample(t).Records("win-64")
	require.EqualError(t, err, "the lock has no packages for win-64: it has linux-64, linux-aarch64; lock the environment for it too, or choose another platform")
}

func TestChanges(t *testing.T) {
	request := []string{"channel https://conda.example/a", "channel https://conda.example/b", "spec python"}
	l, err := lock.New([]conda.Channel{forge()}, nil, lock.Platform{Subdir: conda.Linux64, Request: request})
	require.NoError(t, err)
	p, err := l.Platform(conda.Linux64)
	require.NoError(t, err)
	require.True(t, p.Own())
	require.Len(t, p.ContentHash, 64)
	require.Empty(t, p.Changes(slices.Clone(request)))
	require.Equal(t, []string{"- spec python", "+ spec numpy"}, p.Changes([]string{request[0], request[1], "spec numpy"}))
	require.Equal(t, []string{"the same in another order"}, p.Changes([]string{request[1], request[0], request[2]}))

	require.Len(t, p.Specs(), 1)
	require.Equal(t, "python", p.Specs()[0].String())

	var out bytes.Buffer
	require.NoError(t, l.WriteCondaLock(&out))
	back, err := lock.Read(&out, "written", lock.Options{})
	require.NoError(t, err)
	require.Equal(t, l.Platforms, back.Platforms)
}

func TestNewRefuses(t *testing.T) {
	a := record(forge(), conda.Linux64, "a", "1", "0")
	bare := *a
	bare.MD5, bare.SHA256 = "", ""
	odd := *a
	odd.SHA256 = "zz"
	for want, platforms := range map[string][]lock.Platform{
		"a platform such as linux-64":                                 {{Subdir: conda.NoArchSubdir}},
		"linux-64 is there twice":                                     {{Subdir: conda.Linux64}, {Subdir: conda.Linux64}},
		"has no checksum of it":                                       {{Subdir: conda.Linux64, Packages: lock.Packages([]*conda.Record{&bare})}},
		`in its channel's index, sha256 "zz" does not have 64 digits`: {{Subdir: conda.Linux64, Packages: lock.Packages([]*conda.Record{&odd})}},
	} {
		_, err := lock.New(nil, nil, platforms...)
		require.ErrorContains(t, err, want)
	}
}

func TestExplicit(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, sample(t).WriteExplicit(&out, conda.Linux64))
	require.Equal(t, `# This file may be used to create an environment using:
# $ conda create --name <env> --file <this file>
# platform: linux-64
# input_hash: `+sha256Sum+`
# channels: conda-forge,https://example.com/own
# conda2docker/virtual: __cuda=12.4=0 __glibc=2.36=0
# conda2docker/request: ["spec python"]
# created-by: conda2docker
@EXPLICIT
https://conda.anaconda.org/conda-forge/linux-64/openssl-3.4.0-hb_1.conda#sha256:`+sha256Sum+`
https://conda.anaconda.org/conda-forge/linux-64/python-3.13.1-h_0_cp313.conda#sha256:`+sha256Sum+`
https://conda.anaconda.org/conda-forge/noarch/pip-24.3-pyh_0.conda#sha256:`+sha256Sum+`
https://example.com/own/linux-64/yes-1!2.0-0.conda#sha256:`+sha256Sum+`
# pip aaa==1 @ https://files.example.com/a.zip --hash=sha256:`+sha256Sum+`
# pip zzz==1.0 @ https://files.example.com/zzz-1.0-py3-none-any.whl --hash=sha256:`+sha256Sum+`
`, out.String())

	l, err := lock.Read(&out, "explicit.txt", lock.Options{})
	require.NoError(t, err)
	p, err := l.Platform(conda.Linux64)
	require.NoError(t, err)
	require.Equal(t, sha256Sum, p.ContentHash)
	require.Empty(t, p.Changes([]string{"spec python"}))
	require.Len(t, p.Virtual, 2)
	records, err := l.Records(conda.Linux64)
	require.NoError(t, err)
	require.Len(t, records, 4)
	require.Equal(t, "1!2.0", records[3].Version.String())
	require.Equal(t, conda.NoArchSubdir, records[2].Subdir)
	require.Equal(t, forge(), records[2].Channel)
	pip, err := l.PipPackages(conda.Linux64)
	require.NoError(t, err)
	require.Equal(t, "zzz", pip[1].Name)
	require.Equal(t, sha256Sum, pip[1].SHA256)
}

// The order of an @EXPLICIT file is kept, what its URLs say is read, and what it does not say is guessed.
func TestReadExplicit(t *testing.T) {
	l, err := lock.Read(strings.NewReader(`# made by hand
  @EXPLICIT

https://conda.anaconda.org/conda-forge/noarch/zeta-2-0.tar.bz2#`+md5Sum+`
https://conda.anaconda.org/conda-forge/linux-64/x264-1%21164.3095-h166bdaf_2.tar.bz2#`+sha256Sum+`
https://user:secret@example.com/t/tk-1/ch/linux-64/alpha-1-0.conda
/opt/pkgs/beta-1-0.conda
`), "explicit.txt", lock.Options{})
	require.NoError(t, err)
	records, err := l.Records(conda.Linux64)
	require.NoError(t, err)
	require.Len(t, records, 4)
	require.Equal(t, "zeta", string(records[0].Name))
	require.Equal(t, md5Sum, records[0].MD5)
	require.Equal(t, "1!164.3095", records[1].Version.String())
	require.Equal(t, "x264-1!164.3095-h166bdaf_2.tar.bz2", records[1].FileName)
	require.Equal(t, sha256Sum, records[1].SHA256)
	require.Equal(t, "https://example.com/ch/linux-64/alpha-1-0.conda", records[2].URL)
	require.Equal(t, "file:///opt/pkgs/beta-1-0.conda", records[3].URL)
	require.Equal(t, conda.Linux64, records[3].Subdir)
	require.Equal(t, conda.Linux64, l.Platforms[0].Subdir)
}

const entry = `- name: a
  version: '1'
  manager: conda
  platform: linux-64
  dependencies: {}
  url: https://example.com/linux-64/a-1-0.conda
  hash: {md5: ` + md5Sum + `}
  category: main
  optional: false
`

func TestReadRefuses(t *testing.T) {
	const head = "version: 1\nmetadata:\n  content_hash: {linux-64: x}\n  channels: []\n  platforms: [linux-64]\n  sources: []\npackage:\n"
	replace := func(old, with string) string { return head + strings.Replace(entry, old, with, 1) }
	for _, c := range []struct{ in, want string }{
		{"- numpy\n", "neither a conda-lock file"},
		{"", "neither a conda-lock file"},
		{"name: x\ndependencies: [a]\n", "neither a conda-lock file"},
		{"a: [\n", "x.yml"},
		{"version: 1000\nmetadata: {}\npackage: []\n", `x.yml:1: version "1000" of the format is not known`},
		{replace("linux-64\n  dep", "osx-64\n  dep"), `x.yml:11: a: platform "osx-64" is not among metadata.platforms`},
		{replace("manager: conda", "manager: npm"), `x.yml:10: a: manager "npm"`},
		{replace("  hash: {md5: "+md5Sum+"}\n", ""), "x.yml:8: a: hash is missing"},
		{replace(md5Sum, "abc"), `x.yml:14: a: md5 "abc" does not have 32 digits`},
		{replace("{md5: "+md5Sum+"}", "{}"), "x.yml:14: a: a checksum is needed"},
		{replace("version: '1'\n  ", ""), "x.yml:8: version is missing"},
		{replace("a-1-0.conda", "a.whl"), "x.yml:8: a: the URL is not that of a .conda or .tar.bz2 archive"},
		{replace("version: '1'", "version: '1..2'"), `x.yml:8: a: version "1..2": empty component`},
		{replace("dependencies: {}", "dependencies: [b]"), "x.yml:12: dependencies: want a mapping"},
		{head + entry + entry, "x.yml:17: a for linux-64 is also in line 8"},
		{replace("  category: main", "  name: b"), "x.yml:15: package: name is there twice"},
		{replace("linux-64/a-1", "linux-64/b-1"), "x.yml:13: a: its URL is that of b-1-0.conda, and not of a-1-0: whoever changed one of them has to change the other"},
		{replace("linux-64/a-1-0", "linux-64/a-2-0"), "x.yml:13: a: its URL is that of a-2-0.conda"},
		{replace("linux-64/a-1", "osx-64/a-1"), "x.yml:13: a: it is a package for osx-64, in an environment for linux-64"},
		{strings.Replace(head, "[linux-64]", "[linux-64, linux-64]", 1), "x.yml:5: platforms: linux-64 is there twice"},
		{strings.Replace(head, "  sources", "  custom_metadata: {conda2docker/virtual/linux-64: glibc}\n  sources", 1), "x.yml:6: custom_metadata conda2docker/virtual/linux-64: virtual package"},
		{strings.Replace(head, "  sources", "  custom_metadata: {conda2docker/virtual/linux-64: '__a/b=1'}\n  sources", 1), `virtual package "__a/b=1": package name "__a/b"`},
		{"version: 3\nmetadata: {}\npackage: []\n", "x.yml:1: version 3 is none of conda-lock's, of which 1 is read, and as that of a pixi.lock it is too old"},
		{"environments: {}\npackages: []\n", `x.yml:1: version "" of pixi.lock is not known`},
		{"version: 8\nenvironments: {}\npackages: []\n", `x.yml:1: version "8" of pixi.lock is not known: versions 4 to 7 are read`},
		{"lockVersion: 1.0.0\npackages: {}\n", "neither a conda-lock file"},
		{"@EXPLICIT\nhttps://example.com/linux-64/a-1-0.conda\nhttps://example.com/linux-64/a-2-0.conda\n", "x.yml:3: a-2-0.conda: a is also in line 2"},
		{"# platform: linux-64\n@EXPLICIT\nhttps://example.com/osx-64/a-1-0.conda\n", "x.yml:3: a-1-0.conda: it is a package for osx-64, in an environment for linux-64"},
		{"# conda2docker/request: [\n@EXPLICIT\n", "x.yml:1: reading"},
		{head + "  - 7\n", "x.yml:8: package: want a mapping"},
		{"@EXPLICIT\nnumpy=1.2\n", "x.yml:2: numpy=1.2: a URL"},
		{"@EXPLICIT\nhttps://u:secret@example.com/linux-64/a-1-0.conda#abc\n", `x.yml:2: https://example.com/linux-64/a-1-0.conda#abc: md5 "abc"`},
		{"# platform: 7\n@EXPLICIT\n", "x.yml:1: subdir"},
		{"@EXPLICIT\nhttps://u:$secret@example.com/${CHANNEL}/linux-64/a-1-0.conda\n", "x.yml:2: https://example.com/${CHANNEL}/linux-64/a-1-0.conda: variables and ~ are not replaced in a lock"},
		{"@EXPLICIT\n~/channel/linux-64/a-1-0.conda\n", "x.yml:2: ~/channel/linux-64/a-1-0.conda: variables and ~ are not replaced"},
		{replace("  version: '1'\n  manager: conda\n", ""), "x.yml:8: version is missing"},
	} {
		_, err := lock.Read(strings.NewReader(c.in), "x.yml", lock.Options{})
		require.ErrorContains(t, err, c.want, c.in)
		require.NotContains(t, err.Error(), "secret")
	}
	_, err := lock.ReadFile("no-such-file.yml", lock.Options{})
	require.ErrorContains(t, err, "reading the lock: ")
}

func FuzzRead(f *testing.F) {
	f.Add("version: 1\nmetadata:\n  content_hash: {linux-64: x}\n  channels: [conda-forge]\n  platforms: [linux-64]\n  sources: [a]\npackage:\n" + entry)
	f.Add("# platform: linux-64\n@EXPLICIT\nhttps://example.com/linux-64/a-1-0.conda#" + md5Sum + "\n# pip a==1 @ https://b/c --hash=sha256:" + sha256Sum + "\n")
	f.Add(pixi7)
	f.Add(pixi4)
	f.Fuzz(func(t *testing.T, s string) {
		l, err := lock.Read(strings.NewReader(s), "fuzzed", lock.Options{})
		if err != nil || len(l.Platforms) == 0 || l.Platforms[0].Subdir == "" {
			return
		}
		if lock.Detect([]byte(s)) == lock.Explicit {
			return // such a file may lack checksums, which the other format wants
		}
		if _, err := l.Platform(l.Platforms[0].Subdir); err != nil || len(l.Platforms) > 1 {
			return // a pixi.lock may name what cannot be had
		}
		var out, again bytes.Buffer
		require.NoError(t, l.WriteCondaLock(&out))
		back, err := lock.Read(bytes.NewReader(out.Bytes()), "written", lock.Options{})
		require.NoError(t, err, out.String())
		require.NoError(t, back.WriteCondaLock(&again))
		require.Equal(t, out.String(), again.String())
	})
}
