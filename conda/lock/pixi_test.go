package lock_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/lock"
)

const pixi7 = `version: 7
platforms:
- name: linux-64
  virtual-packages: [__glibc=2.28, "__libc >= 2"]
- name: linux-cuda
  subdir: linux-64
  virtual-packages: [__glibc=2.28, __cuda=12.4]
- name: mac
  subdir: osx-arm64
environments:
  default:
    channels:
    - url: https://me:secret@conda.anaconda.org/conda-forge/
    - url: https://conda.example/t/tk-secret/own
    indexes: [https://pypi.example/simple]
    options: {channel-priority: disabled}
    packages:
      linux-64:
      - conda: https://conda.anaconda.org/conda-forge/linux-64/python-3.13.1-h9_3_cp313.conda
      - conda: https://conda.anaconda.org/conda-forge/noarch/pip-24.3-pyh8b19718_2.conda
      - conda: https://conda.anaconda.org/conda-forge/noarch/tzdata-2024b-h1_0.conda
      - pypi: https://files.example/idna-3.7-py3-none-any.whl
      linux-cuda:
      - conda: https://conda.anaconda.org/conda-forge/noarch/tzdata-2024b-h1_0.conda
      mac:
      - conda_source: own[1234] @ .
  docs:
    channels: []
    packages:
      linux-cuda:
      - pypi: ./docs
      - conda: https://conda.anaconda.org/conda-forge/linux-64/bare-1-0.conda
packages:
- conda: https://conda.anaconda.org/conda-forge/linux-64/python-3.13.1-h9_3_cp313.conda
  build_number: 3
  sha256: ` + sha256Sum + `
  depends: [tzdata, "__glibc >=2.17,<3.0.a0"]
  constrains: [python_abi 3.13.* *_cp313]
  extra_depends: {test: [pytest]}
  flags: [gpu]
  license: Python-2.0
  license_family: PSF
  purls: ["pkg:generic/python"]
  python_site_packages_path: lib/python3.13/site-packages
  size: 12
  timestamp: 1700000000000
- conda: https://conda.anaconda.org/conda-forge/noarch/pip-24.3-pyh8b19718_2.conda
  md5: ` + md5Sum + `
  depends: ["python >=3.13.0a0"]
  track_features: [slow]
- conda: https://conda.anaconda.org/conda-forge/noarch/tzdata-2024b-h1_0.conda
  sha256: ` + sha256Sum + `
- conda: https://conda.anaconda.org/conda-forge/linux-64/bare-1-0.conda
- conda_source: own[1234] @ .
- pypi: https://files.example/idna-3.7-py3-none-any.whl
  name: idna
  version: '3.7'
  sha256: ` + sha256Sum + `
  index: https://me:secret@pypi.example/simple
  requires_dist: [brotli>=1 ; extra == 'a', brotli>=2 ; extra == 'b', h2]
  requires_python: '>=3.5'
- pypi: ./docs
  name: docs
`

const pixi4 = `version: 4
environments:
  default:
    channels: [{url: https://conda.anaconda.org/conda-forge/}]
    packages:
      linux-64:
      - conda: https://conda.anaconda.org/conda-forge/noarch/zipp-3.13.0-pyhd8ed1ab_0.conda
      - pypi: https://files.example/six-1.16-py2.py3-none-any.whl
packages:
- kind: conda
  name: zipp
  version: 3.13.0
  build: pyhd8ed1ab_0
  subdir: linux-64
  url: https://conda.anaconda.org/conda-forge/noarch/zipp-3.13.0-pyhd8ed1ab_0.conda
  md5: ` + md5Sum + `
  platform: linux
- kind: pypi
  name: six
  version: '1.16'
  url: https://files.example/six-1.16-py2.py3-none-any.whl
`

func TestReadPixi(t *testing.T) {
	l, err := lock.Read(strings.NewReader(pixi7), "pixi.lock", lock.Options{})
	require.NoError(t, err)
	require.Equal(t, []conda.Subdir{conda.Linux64, "osx-arm64"}, l.Subdirs())
	require.Equal(t, []lock.Channel{{URL: "conda-forge"}, {URL: "https://conda.example/own"}}, l.Channels)
	require.Equal(t, map[string]string{
		"pixi/environment": "default", "pixi/indexes": `["https://pypi.example/simple"]`, "pixi/options": `{"channel-priority":"disabled"}`,
	}, l.Custom)

	p, err := l.Platform(conda.Linux64)
	require.NoError(t, err)
	require.False(t, p.Own())
	require.Len(t, p.Virtual, 1)
	require.Equal(t, "__glibc=2.28=0", p.Virtual[0].String())
	records, err := l.Records(conda.Linux64)
	require.NoError(t, err)
	require.Len(t, records, 3)
	python, pip, tzdata := records[1], records[2], records[0]
	want := record(forge(), conda.Linux64, "python", "3.13.1", "h9_3_cp313", "tzdata", "__glibc >=2.17,<3.0.a0")
	want.MD5, want.BuildNumber, want.License, want.LicenseFamily, want.Size, want.Timestamp = "", 3, "Python-2.0", "PSF", 12, 1700000000000
	want.Constrains, want.PythonSitePackagesPath = []string{"python_abi 3.13.* *_cp313"}, "lib/python3.13/site-packages"
	want.Extras, want.Flags = map[string][]string{"test": {"pytest"}}, []string{"gpu"}
	require.Equal(t, want, python)
	require.JSONEq(t, `{"purls":["pkg:generic/python"]}`, p.Packages[1].Other)
	require.Equal(t, conda.NoArchPython, pip.NoArch)
	require.EqualValues(t, 2, pip.BuildNumber)
	require.Equal(t, []string{"slow"}, pip.TrackFeatures)
	require.Equal(t, conda.NoArchGeneric, tzdata.NoArch)
	require.Equal(t, []lock.PipPackage{{
		Name: "idna", Version: "3.7", URL: "https://files.example/idna-3.7-py3-none-any.whl", SHA256: sha256Sum, Category: lock.Main,
		Depends: []string{"brotli >=1 ; extra == 'a'", "brotli >=2 ; extra == 'b'", "h2"}, Index: "https://pypi.example/simple", RequiresPython: ">=3.5",
	}}, p.Pip)

	_, err = l.Records("osx-arm64")
	require.EqualError(t, err, "pixi.lock:54: own[1234] @ . is built from its source: only packages of channels can be had; put it into a channel, or leave it out of the environment")
}

// What only a pixi.lock says is in the conda-lock file that is written of it, too.
func TestPixiRoundTrip(t *testing.T) {
	for _, text := range []string{strings.Replace(pixi7, "      mac:\n      - conda_source: own[1234] @ .\n", "", 1), pixi4} {
		first, err := lock.Read(strings.NewReader(text), "pixi.lock", lock.Options{})
		require.NoError(t, err)
		var out bytes.Buffer
		require.NoError(t, first.WriteCondaLock(&out))
		require.NotContains(t, out.String(), "secret")
		second, err := lock.Read(&out, "written", lock.Options{})
		require.NoError(t, err)
		require.Equal(t, first, second)
	}
}

func TestReadPixiEnvironment(t *testing.T) {
	l, err := lock.Read(strings.NewReader(pixi7), "pixi.lock", lock.Options{Environment: "default@linux-cuda"})
	require.NoError(t, err)
	p, err := l.Platform(conda.Linux64)
	require.NoError(t, err)
	require.Len(t, p.Packages, 1)
	require.Len(t, p.Virtual, 2)

	l, err = lock.Read(strings.NewReader(pixi7), "pixi.lock", lock.Options{Environment: "docs"})
	require.NoError(t, err)
	_, err = l.Records(conda.Linux64)
	require.EqualError(t, err, "pixi.lock:62: ./docs is a folder, a file or a repository, and not a release on a package index: publish it, or leave it out of the environment")

	l, err = lock.Read(strings.NewReader(pixi4), "pixi.lock", lock.Options{})
	require.NoError(t, err)
	records, err := l.Records(conda.Linux64)
	require.NoError(t, err)
	require.Equal(t, conda.NoArchSubdir, records[0].Subdir)
	require.Empty(t, records[0].NoArch, "the package itself says it")
}

func TestReadPixiRefuses(t *testing.T) {
	for _, c := range []struct{ old, fresh, environment, want string }{
		{environment: "test", want: `pixi.lock:11: there is no environment "test", but default, docs`},
		{environment: "default@linux-gpu", want: `pixi.lock:18: environment default has no platform "linux-gpu"`},
		{old: "- name: linux-64\n", fresh: "- name: linux-a\n  subdir: linux-64\n", want: `pixi.lock:20: linux-64 is none of the file's platforms`},
		{old: "      linux-64:\n", fresh: "      mac:\n", want: "pixi.lock:25: packages: mac is there twice"},
		{old: "- pypi: ./docs\n  name: docs\n", environment: "docs", want: "pixi.lock:31: ./docs is not among the packages of the file: it is cut off, or was edited"},
		{old: "noarch/tzdata-2024b-h1_0.conda\n      - pypi", fresh: "noarch/pip-24.3-pyh8b19718_2.conda\n      - pypi", want: "pixi.lock:21: pip for linux-64 is also in line 20"},
		{old: "sha256: " + sha256Sum, fresh: "sha256: abc", want: `pixi.lock:34: https://conda.anaconda.org/conda-forge/linux-64/python-3.13.1-h9_3_cp313.conda: sha256 "abc" does not have 64 digits`},
		{old: "conda-forge/linux-64/python", fresh: "conda-forge/osx-64/python", want: "is a package for osx-64, in an environment for linux-64"},
		{old: "size: 12", fresh: "size: twelve", want: "pixi.lock:45: size: want a number"},
		{old: "  build_number: 3\n", fresh: "  noarch: perl\n", want: `pixi.lock:34: python: noarch "perl" is neither python nor generic`},
		{old: "depends: [tzdata,", fresh: "depends: [[tzdata],", want: "pixi.lock:37: depends: want a list of texts"},
		{old: "- pypi: ./docs\n  name", fresh: "- name", want: "pixi.lock:62: it is neither a conda nor a pypi package"},
		{old: "  name: idna\n", want: "pixi.lock:55: name is missing"},
	} {
		text := strings.ReplaceAll(pixi7, c.old, c.fresh)
		if c.old == "" {
			text = pixi7
		}
		_, err := lock.Read(strings.NewReader(text), "pixi.lock", lock.Options{Environment: c.environment})
		require.ErrorContains(t, err, c.want)
	}
	_, err := lock.Read(strings.NewReader("@EXPLICIT\n"), "explicit.txt", lock.Options{Environment: "docs"})
	require.EqualError(t, err, "reading the lock explicit.txt: it has one environment, which has no name: only a pixi.lock has several")
}

// Several platforms for one system, of which none is called as the system is, have to be told apart.
func TestReadPixiAmbiguous(t *testing.T) {
	text := strings.NewReplacer("- name: linux-64\n", "- name: linux-cpu\n  subdir: linux-64\n", "      linux-64:\n", "      linux-cpu:\n").Replace(pixi7)
	l, err := lock.Read(strings.NewReader(text), "pixi.lock", lock.Options{})
	require.NoError(t, err, "other systems may be meant")
	_, err = l.Platform(conda.Linux64)
	require.ErrorContains(t, err, "environment default has several platforms for linux-64: choose one with default@linux-cpu or default@linux-cuda")
	require.True(t, l.Has(conda.Linux64))
	require.False(t, l.Has("win-64"))
}
