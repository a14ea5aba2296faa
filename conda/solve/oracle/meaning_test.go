package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda/matchspec"
	"github.com/datalayer/conda2docker/conda/version"
)

func TestRattlersMeaning(t *testing.T) {
	for spec, c := range map[string]struct {
		is         string
		met, unmet string
	}{
		"openssl=1.1.1":             {`openssl[version='^1\.1\.1([._+-].*)?$']`, "1.1.1.2", "1.1.1w"},
		"numpy 1.8.*":               {`numpy[version='^1\.8([._+-].*)?$']`, "1.8", "1.8rc1"},
		"numpy >=1.2,1.8*":          {`numpy[version='>=1.2,^1\.8([._+-].*)?$']`, "1.8.2", "1.80"},
		"python_abi 3.11.* *_cp311": {`python_abi[version='^3\.11([._+-].*)?$',build='*_cp311']`, "3.11", "3.1"},
		"numpy=1.2=py_0":            {"numpy=1.2=py_0", "1.2", "1.2.0.1"},
		"numpy >=1.2":               {"numpy >=1.2", "1.3", "1.1"},
		"numpy":                     {"numpy", "1", ""},
	} {
		got := rattlersMeaning(spec)
		require.Equal(t, c.is, got)
		parsed, err := matchspec.Parse(got)
		require.NoError(t, err)
		require.True(t, parsed.Version.Match(version.MustParse(c.met)), spec)
		if c.unmet != "" {
			require.False(t, parsed.Version.Match(version.MustParse(c.unmet)), spec)
		}
	}
}

// TestWithoutNode must be an error: an oracle that is not there proves nothing.
func TestWithoutNode(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	err := run(t.Context(), options{n: 1, cache: t.TempDir()})
	require.ErrorContains(t, err, "npm")
}
