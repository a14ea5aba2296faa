package conda_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
)

func TestDependencyName(t *testing.T) {
	for spec, want := range map[string]string{
		"python": "python", "python >=3.8": "python", "python>=3.8": "python", "numpy=1.2=py_0": "numpy",
		"numpy!=1": "numpy", "numpy~=1.2": "numpy", "Numpy[version='>=1']": "numpy", "conda-forge::numpy 1.*": "numpy",
		"__glibc >=2.17,<3.0.a0": "__glibc",
	} {
		require.Equal(t, want, string(conda.DependencyName(spec)), spec)
	}
}

func TestLinkOrder(t *testing.T) {
	record := func(name string, depends ...string) *conda.Record {
		return &conda.Record{Name: conda.PackageName(name), Depends: depends}
	}
	noarch := record("attrs")
	noarch.NoArch = conda.NoArchPython
	for _, c := range []struct {
		records []*conda.Record
		want    string
	}{
		{nil, ""},
		{[]*conda.Record{record("c"), record("a", "c >=1"), record("b")}, "c a b"},
		{[]*conda.Record{record("a", "absent", "a", "__unix")}, "a"},
		{[]*conda.Record{record("pip", "python >=3"), record("python", "pip", "zlib"), record("zlib")}, "zlib python pip"},
		{[]*conda.Record{noarch, record("python")}, "python attrs"},
		{[]*conda.Record{record("x", "y"), record("y", "x")}, "y x"},
	} {
		var got []string
		for _, r := range conda.LinkOrder(c.records) {
			got = append(got, string(r.Name))
		}
		require.Equal(t, c.want, strings.Join(got, " "))
	}
}
