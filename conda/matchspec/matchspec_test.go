package matchspec_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/matchspec"
	"github.com/datalayer/conda2docker/conda/version"
)

// canonical pairs specs with their canonical form, one for each way of writing that people use.
var canonical = [][2]string{
	{"numpy", "numpy"},
	{"NumPy", "numpy"},
	{"numpy  # comment", "numpy"},
	{"numpy 1.26", "numpy==1.26"},
	{"numpy=1.26", "numpy=1.26"},
	{"numpy =1.26", "numpy=1.26"},
	{"numpy==1.26", "numpy==1.26"},
	{"numpy 1.26.*", "numpy=1.26"},
	{"numpy=1.26.4=py311h64a7726_0", "numpy==1.26.4=py311h64a7726_0"},
	{"numpy 1.26.* py311*", "numpy=1.26[build=py311*]"},
	{"numpy =1.26 py311_0", "numpy==1.26=py311_0"},
	{"numpy >=1.0 , < 2.0 py311_0", "numpy[version='>=1.0,<2.0',build=py311_0]"},
	{"numpy[version='(1.8|1.9),!=1.8.2']", "numpy[version='(1.8|1.9),!=1.8.2']"},
	{"numpy!=1.26", "numpy!=1.26"},
	{"numpy !=1.26 py311_0", "numpy[version='!=1.26',build=py311_0]"},
	{"numpy[build='^py3(10|11).*$']", "numpy[build='^py3(10|11).*$']"},
	{"numpy[version='>=1',build_number=\"<3\"]", "numpy[version='>=1',build_number=<3]"},
	{"numpy (optional)", "numpy"},
	{"*", "*"},
	{"*[md5=d41d8cd98f00b204e9800998ecf8427e]", "*[md5=d41d8cd98f00b204e9800998ecf8427e]"},
	{"jupyter*", "jupyter*"},
	{"__glibc >=2.17", "__glibc[version='>=2.17']"},
	{"conda-forge::numpy", "conda-forge::numpy"},
	{"conda-forge/linux-64::numpy=1", "conda-forge/linux-64::numpy=1"},
	{"conda-forge/label/rc::numpy", "conda-forge/label/rc::numpy"},
	{"https://conda.anaconda.org/nvidia::cudatoolkit", "nvidia::cudatoolkit"},
	{"https://me:secret@example.com/t/tk-123/ch/noarch::numpy", "https://example.com/ch/noarch::numpy"},
	{"https://example.com:8080/ch::numpy", "https://example.com:8080/ch::numpy"},
	{"numpy[channel='https://me:secret@example.com/ch']", "https://example.com/ch::numpy"},
	{"python[when='__unix and python[version=\">=3\"]']", "python[when='__unix and python[version=\">=3\"]']"},
	{"pkg[extras=dev]", "pkg[extras=['dev']]"},
	{"pkg[extras=['a', \"b\"], flags=[gpu:*], version='>=1,<2']", "pkg[version='>=1,<2',extras=['a', 'b'],flags=['gpu:*']]"},
	{"https://example.com/ch/linux-64/x264-1%21164.3095-h166bdaf_2.tar.bz2", "https://example.com/ch/linux-64::x264==1!164.3095=h166bdaf_2"},
	{"https://conda.anaconda.org/conda-forge/noarch/a-1-0.conda#d41d8cd98f00b204e9800998ecf8427e", "conda-forge/noarch::a==1=0[md5=d41d8cd98f00b204e9800998ecf8427e]"},
	{"/tmp/a-1-0.conda", "*[url=file:///tmp/a-1-0.conda]"},
	{"/tmp/noarch/../a-1-0.conda", "*[url=file:///tmp/a-1-0.conda]"},
}

func TestString(t *testing.T) {
	for _, c := range canonical {
		in, want := c[0], c[1]
		spec, err := matchspec.Parse(in)
		require.NoError(t, err)
		require.Equal(t, want, spec.String(), in)
		again, err := matchspec.Parse(want)
		require.NoError(t, err)
		require.Equal(t, want, again.String(), "the canonical form of %q is not stable", in)
	}
	require.Equal(t, "*", matchspec.Spec{}.String())
	require.Equal(t, "pip", matchspec.Spec{Name: "pip"}.String())
}

func TestParseV3(t *testing.T) {
	s := matchspec.MustParse(`numpy>=2[when="python>=3.10 or __cuda", extras=[a, b], flags=["cuda", "blas:*"]]`)
	require.Equal(t, "python>=3.10 or __cuda", s.When)
	require.Equal(t, []string{"a", "b"}, s.Extras)
	require.Equal(t, []string{"cuda", "blas:*"}, s.Flags)
	require.Equal(t, ">=2", s.Version.String())
}

func TestParseIn(t *testing.T) {
	s, err := matchspec.ParseIn("pkgs/a-1-0.conda", "/home/me/project")
	require.NoError(t, err)
	require.Equal(t, "file:///home/me/project/pkgs/a-1-0.conda", s.URL)
	require.Equal(t, "a-1-0.conda", s.FileName)
	s, err = matchspec.ParseIn("../channel/linux-64/a-1-0.conda", "/home/me/project")
	require.NoError(t, err)
	require.Equal(t, "file:///home/me/channel/linux-64::a==1=0", s.String())
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", "no package name"},
		{" numpy", "no package name"},
		{"conda-forge:: numpy", "no package name"},
		{"numpy >=1..2", `character 7: version constraint ">=1..2"`},
		{"numpy >>1", "invalid operator"},
		{"num/py", `character 1: package name "num/py" has "/" in it`},
		{"numpy; python_version < '3'", `has ";" in it`},
		{"numpy-1-0.CONDA", "extension is in lower case"},
		{"[]::a[b]", "brackets and quotes are not allowed"},
		{"numpy[subdir='a:b']", "want one such as linux-64"},
		{"-numpy", "does not begin with"},
		{"num--py", "two separators in a row"},
		{"numpy [version=1", "character 7: the bracket is not closed"},
		{"python[version=3.11", "character 7: the bracket is not closed"},
		{"python[", "character 7: the bracket is not closed"},
		{"main::python[channel=https://example.com", "character 13: the bracket is not closed"},
		{"numpy[build=py_0] [version=1", "a bracket is not closed, or there are several"},
		{"numpy[build=]", "build in brackets has no value"},
		{"numpy[colour=blue]", `character 7: "colour" is not a field`},
		{"numpy[build='^(py$']", "regular expression"},
		{"numpy[build_number='>=x']", "want a number after >="},
		{"numpy[build_number='>>1']", "invalid operator"},
		{"numpy[version=[1,2]]", "version cannot be a list"},
		{"numpy[extras=[A]]", `extras: "A" is not a name`},
		{"numpy[flags='a b']", `flags: "a b" is not a name`},
		{"@", `has "@" in it`},
		{"numpy[track_features=',']", "no feature is named"},
		{"numpy (>=1.8)", "write the version without them"},
		{"pkgs/a-1-0.conda", "is not absolute"},
		{"~/a-1-0.conda", "is not absolute"},
		{"https://example.com/noarch/a-1.conda", "not of the form name-version-build"},
		{"https://example.com/noarch/a-1-0.conda#abc", "checksum"},
	} {
		_, err := matchspec.Parse(c.in)
		require.ErrorContains(t, err, c.want, c.in)
		require.ErrorContains(t, err, "MatchSpec ")
	}
	_, err := matchspec.Parse("https://me:secret@example.com/t/tk-123/noarch::num/py")
	require.Error(t, err)
	require.NotContains(t, err.Error(), "secret")
	require.NotContains(t, err.Error(), "tk-123")
}

func record() *conda.Record {
	return &conda.Record{
		Name: "numpy", Version: version.MustParse("1.26.4"), Build: "py311h64a7726_0", BuildNumber: 10,
		Subdir:  conda.Linux64,
		Channel: conda.Channel{Name: "conda-forge", URL: "https://conda.anaconda.org/conda-forge"},
		License: "BSD-3-Clause", LicenseFamily: "BSD", TrackFeatures: []string{"mkl", "debug"}, Features: "x",
		MD5: "d41d8cd98f00b204e9800998ecf8427e", FileName: "numpy-1.26.4-py311h64a7726_0.conda",
		URL: "https://conda.anaconda.org/conda-forge/linux-64/numpy-1.26.4-py311h64a7726_0.conda",
	}
}

func TestMatch(t *testing.T) {
	for _, s := range []string{
		"numpy", "*", "num*", "*py", "n*m*y", "numpy=1.26", "numpy>=1.20,<2", "numpy==1.26.4=py311h64a7726_0",
		"numpy * py311*", "numpy * *_0", "numpy * py3*7726*", "numpy[build='^py311.*_0$']", "numpy 1.26.4 *",
		"numpy[build_number=10]", "numpy[build_number='>=10']", "numpy[build_number='!=1']", "numpy[build_number='<11']",
		"numpy[build_number=*]", "numpy[build_number='^1.$']", "numpy[build_number='=10']",
		"conda-forge::numpy", "https://conda.anaconda.org/conda-forge::numpy", "conda-*::numpy", "conda-forge/linux-64::numpy",
		"*[license=bsd-3-clause]", "*[license='bsd*']", "*[license_family=BSD]",
		"numpy[track_features='debug,mkl']", "numpy[features=x]",
		"*[md5=D41D8CD98F00B204E9800998ECF8427E]", "numpy[fn=numpy-1.26.4-py311h64a7726_0.conda]",
		"https://conda.anaconda.org/conda-forge/linux-64/numpy-1.26.4-py311h64a7726_0.conda",
	} {
		require.True(t, matchspec.MustParse(s).Match(record()), s)
	}
	for _, s := range []string{
		"scipy", "num", "*pie", "numpy*py", "numpy=1.2", "numpy<1", "numpy==1.26.4=py311h64a7726", "numpy * py312*",
		"numpy * PY311*", "numpy[build='^py312.*$']", "numpy[build_number=1]", "numpy[build_number='>10']",
		"numpy[build_number='<=9']", "numpy[build_number=string]", "bioconda::numpy", "defaults::numpy", "conda-forge/noarch::numpy",
		"https://example.com/conda-forge::numpy", "*[license=bsd]", "*[license_family=GPL]", "numpy[track_features=mkl]",
		"numpy[features='x,y']", "*[md5=*]", "*[sha256=aa]", "numpy[fn=numpy]",
		"https://example.com/conda-forge/linux-64/numpy-1.26.4-py311h64a7726_0.conda",
	} {
		require.False(t, matchspec.MustParse(s).Match(record()), s)
	}
}

func TestMatchChannel(t *testing.T) {
	for _, c := range []struct {
		spec string
		url  string
		want bool
	}{
		{"defaults::a", "https://repo.anaconda.com/pkgs/main", true},
		{"defaults::a", "https://repo.anaconda.com/pkgs/free", false},
		{"pkgs/main::a", "https://repo.anaconda.com/pkgs/main", true},
		{"pkgs/main::a", "https://repo.anaconda.com/pkgs/r", false},
		{"conda-forge::a", "https://conda.anaconda.org/conda-forge", true},
		{"conda-forge::a", "https://example.com/conda-forge", false},
	} {
		r := &conda.Record{Name: "a", Version: version.MustParse("1"), Channel: conda.Channel{Name: c.url, URL: c.url}}
		require.Equal(t, c.want, matchspec.MustParse(c.spec).Match(r), "%s in %s", c.spec, c.url)
	}
}

func TestMatchEncodedURL(t *testing.T) {
	r := &conda.Record{
		Name: "x264", Version: version.MustParse("1!164"), Build: "0", Subdir: "linux-64", FileName: "x264-1!164-0.conda",
		Channel: conda.Channel{Name: "https://example.com/ch", URL: "https://example.com/ch"},
		URL:     "https://example.com/ch/linux-64/x264-1!164-0.conda",
	}
	require.True(t, matchspec.MustParse("https://example.com/ch/linux-64/x264-1%21164-0.conda").Match(r))
}

func TestMatchAllocatesNothing(t *testing.T) {
	specs := []matchspec.Spec{
		matchspec.MustParse("numpy >=1.20,<2 py311*"), matchspec.MustParse("conda-forge::num*=1.26"),
		matchspec.MustParse("conda-*/linux-64::numpy[build_number='>2']"),
	}
	r := record()
	require.Zero(t, testing.AllocsPerRun(100, func() {
		for i := range specs {
			_ = specs[i].Match(r)
		}
	}))
}

func FuzzMatchSpec(f *testing.F) {
	for _, c := range canonical {
		f.Add(c[0], "1.26.4", "py311_0")
	}
	f.Add("mpy ==1.0 , < 2.0 p", "1.0", "p")
	f.Add("*//linux-64::0", "1.0", "0")
	f.Fuzz(func(t *testing.T, s, v, build string) {
		spec, err := matchspec.Parse(s)
		if err != nil {
			return
		}
		again, err := matchspec.Parse(spec.String())
		if spec.URL != "" || strings.Contains(strings.TrimSuffix(spec.Version.String(), "*"), "*") {
			return // the canonical form cannot say each archive's name, nor each version with globs within
		}
		require.NoError(t, err, "the canonical form of %q", s)
		if spec.String() != again.String() { // conda keeps "==" of several versions only where a build follows them
			require.Contains(t, spec.String(), "version='=")
			third, err := matchspec.Parse(again.String())
			require.NoError(t, err)
			require.Equal(t, again.String(), third.String())
		}
		parsed, err := version.Parse(v)
		if err != nil {
			return
		}
		r := record()
		r.Version, r.Build = parsed, build
		require.Equal(t, spec.Match(r), again.Match(r), "%q and its canonical form %q disagree", s, spec)
	})
}

func TestErrorsHaveAPlace(t *testing.T) {
	for s, offset := range map[string]int{
		"nümpy": 0, "numpy >=1.2,<<3": 6, "numpy[version='>>1']": 6, "numpy[colour=red]": 6, "conda-forge::na__me": 13, "numpy[build_number=>]": 6,
	} {
		_, err := matchspec.Parse(s)
		var part *matchspec.PartError
		require.ErrorAs(t, err, &part, s)
		require.Equal(t, offset, part.Offset, "%s: %v", s, err)
	}
}

func BenchmarkParse(b *testing.B) {
	for b.Loop() {
		_, _ = matchspec.Parse("python >=3.11,<3.12.0a0")
	}
}

func BenchmarkMatch(b *testing.B) {
	s, r := matchspec.MustParse("numpy >=1.20,<2"), record()
	for b.Loop() {
		_ = s.Match(r)
	}
}
