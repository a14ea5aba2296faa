package lock_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/lock"
	"github.com/datalayer/conda2docker/conda/matchspec"
)

func virtual(t *testing.T, texts ...string) []conda.VirtualPackage {
	t.Helper()
	var out []conda.VirtualPackage
	for _, text := range texts {
		v, err := conda.ParseVirtualPackage(text)
		require.NoError(t, err)
		out = append(out, v)
	}
	return out
}

func specs(t *testing.T, texts ...string) []matchspec.Spec {
	t.Helper()
	var out []matchspec.Spec
	for _, text := range texts {
		s, err := matchspec.Parse(text)
		require.NoError(t, err)
		out = append(out, s)
	}
	return out
}

func TestMisfits(t *testing.T) {
	python := record(forge(), conda.Linux64, "python", "3.13.1", "h_0_cp313", "openssl >=3.4,<4.0a0", "__glibc >=2.17")
	python.Constrains = []string{"openssl !=3.4.1", "absent 1"}
	openssl := record(forge(), conda.Linux64, "openssl", "3.4.0", "hb_1")
	odd := record(forge(), conda.Linux64, "odd", "1", "0", "gone; if __win", "python[when=\"x\"]", "][")
	fits := lock.Platform{Subdir: conda.Linux64, Packages: lock.Packages([]*conda.Record{python, openssl, odd})}
	newer := record(forge(), conda.Linux64, "openssl", "3.4.1", "hb_1")
	for _, c := range []struct {
		p       lock.Platform
		specs   []matchspec.Spec
		virtual []conda.VirtualPackage
		want    []string
	}{
		{fits, specs(t, "python 3.13.*", "conda-forge::openssl", "op*"), virtual(t, "__glibc=2.36"), nil},
		{fits, specs(t, "python 3.12.*"), virtual(t, "__glibc=2.36"), []string{"python-3.13.1-h_0_cp313 is not python=3.12"}},
		{fits, specs(t, "numpy >=2", "num*"), virtual(t, "__glibc=2.36"), []string{"numpy is not in it", "nothing in it is num*"}},
		{fits, nil, virtual(t, "__glibc=2.12"), []string{"python-3.13.1-h_0_cp313 needs __glibc >=2.17, but the system has __glibc=2.12"}},
		{fits, nil, nil, []string{"python-3.13.1-h_0_cp313 needs __glibc >=2.17, but the system has no __glibc"}},
		{
			lock.Platform{Subdir: conda.Linux64, Packages: lock.Packages([]*conda.Record{python})},
			nil, virtual(t, "__glibc=2.36"),
			[]string{"python-3.13.1-h_0_cp313 needs openssl >=3.4,<4.0a0, but openssl is not in it"},
		},
		{
			lock.Platform{Subdir: conda.Linux64, Packages: lock.Packages([]*conda.Record{python, newer})},
			nil, virtual(t, "__glibc=2.36"),
			[]string{"python-3.13.1-h_0_cp313 does not go with openssl-3.4.1-hb_1: it wants openssl !=3.4.1"},
		},
	} {
		l, err := lock.New(nil, nil, c.p)
		require.NoError(t, err)
		got, err := l.Misfits(conda.Linux64, c.specs, c.virtual)
		require.NoError(t, err)
		require.Equal(t, c.want, got)
	}
}

func TestBeyond(t *testing.T) {
	for _, c := range []struct{ locked, system, want string }{
		{"__glibc=2.28 __unix=0", "__glibc=2.28 __unix=0", ""},
		{"__glibc=2.28 __unix=0", "__glibc=2.36 __unix=0 __linux=5", ""},
		{"__glibc=2.28", "__glibc=2.17", "it was made for __glibc=2.28, and the system has __glibc=2.17"},
		{"__glibc=2.28", "__unix=0", "it was made for __glibc=2.28, which the system does not have"},
		{"__cuda=12.4", "__cuda=12.6", ""},
		{"__cuda=12.4", "__cuda=11.8", "it was made for __cuda=12.4, and the system has __cuda=11.8"},
		{"__unix=0", "__unix=0 __cuda=12", "it was made for a system without a GPU's driver, and this one has __cuda=12"},
		{"", "__cuda=12", ""}, // nothing was noted
		{"__archspec=1=x86_64", "__archspec=1=x86_64_v3", ""},
		{"__archspec=1=x86_64_v2", "__archspec=1=x86_64_v3", ""},
		{"__archspec=1=x86_64_v3", "__archspec=1=x86_64", "it was made for __archspec=1=x86_64_v3, and the system has __archspec=1=x86_64"},
		{"__archspec=1=zen3", "__archspec=1=x86_64_v3", "it was made for __archspec=1=zen3, and the system has __archspec=1=x86_64_v3"},
	} {
		p := lock.Platform{Virtual: virtual(t, strings.Fields(c.locked)...)}
		require.Equal(t, c.want, strings.Join(p.Beyond(virtual(t, strings.Fields(c.system)...)), "; "), "%s on %s", c.locked, c.system)
	}
}

func TestDiff(t *testing.T) {
	a, b := sample(t), sample(t)
	require.Empty(t, lock.Diff(a, b))

	changed := record(forge(), conda.Linux64, "python", "3.13.2", "h_0_cp313")
	changed.SHA256 = strings.Repeat("a", 64)
	onlyMD5 := record(forge(), conda.Linux64, "openssl", "3.4.0", "hb_1")
	onlyMD5.SHA256 = ""
	b, err := lock.New([]conda.Channel{forge()}, nil, lock.Platform{
		Subdir: conda.Linux64, Packages: lock.Packages([]*conda.Record{changed, onlyMD5}), Pip: []lock.PipPackage{{Name: "new", Version: "1", URL: "https://x/y", Category: lock.Main}},
	})
	require.NoError(t, err)
	var got []string
	for _, c := range lock.Diff(a, b) {
		line := string(c.Subdir) + " " + c.Manager + " " + c.Name + " " + c.Category
		if c.Old != nil {
			line += " " + c.Old.Version
		}
		if c.New != nil {
			line += " -> " + c.New.Version
		}
		got = append(got, line)
	}
	require.Equal(t, []string{
		"linux-64 conda pip main 24.3", "linux-64 conda pytest dev 8", "linux-64 conda python main 3.13.1 -> 3.13.2", "linux-64 conda yes main 1!2.0",
		"linux-64 pip aaa main 1", "linux-64 pip new main -> 1", "linux-64 pip zzz main 1.0", "linux-aarch64 conda openssl main 3.4.0",
	}, got)
}

func TestWith(t *testing.T) {
	a := sample(t)
	b, err := lock.New(nil, nil, lock.Platform{Subdir: conda.Linux64})
	require.NoError(t, err)
	both := b.With(a)
	require.Equal(t, []conda.Subdir{conda.Linux64, conda.LinuxAarch64}, both.Subdirs())
	require.Empty(t, both.Platforms[0].Packages)
	require.Len(t, both.Platforms[1].Packages, 1)
	require.Len(t, b.Platforms, 1)
}

func TestOnly(t *testing.T) {
	l := sample(t)
	main, err := l.Only(conda.Linux64)
	require.NoError(t, err)
	require.Len(t, main.Platforms, 1)
	require.Len(t, main.Platforms[0].Packages, 4)
	dev, err := l.Only(conda.Linux64, "dev")
	require.NoError(t, err)
	records, err := dev.Records(conda.Linux64)
	require.NoError(t, err)
	require.Len(t, records, 5, "what was of another category is Main")
	require.Len(t, dev.Platforms[0].Pip, 2)
	_, err = l.Only("win-64")
	require.ErrorContains(t, err, "the lock has no packages for win-64")
	require.Len(t, l.Platforms, 2)

	noarch, err := lock.Read(strings.NewReader("@EXPLICIT\nhttps://x/noarch/a-1-0.conda#"+md5Sum+"\n"), "x", lock.Options{})
	require.NoError(t, err)
	here, err := noarch.Only(conda.Linux64)
	require.NoError(t, err)
	require.Equal(t, []conda.Subdir{conda.Linux64}, here.Subdirs())
}
