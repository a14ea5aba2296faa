package version_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda/version"
)

// TestMeaningIsCondas holds the table of the package's comment, in which conda and rattler differ.
func TestMeaningIsCondas(t *testing.T) {
	for _, c := range []struct{ constraint, met, unmet string }{
		{"=1.8", "1.8 1.8.2 1.8rc1 1.8a 1.8post1 1.8.0rc1 1.8_1 1.8+local", "1.80 1.7.9 1.9 1!1.8"},
		{"=1.1.1", "1.1.1 1.1.1w 1.1.1a 1.1.1.2", "1.1.10 1.1.0w"},
		{"1.8.*", "1.8 1.8rc1 1.8.10", "1.80 1.9rc1"},
		{"1.8*", "1.8 1.8rc1 1.8.10", "1.80 1.9rc1"},
		{"=1.8.*", "1.8 1.8rc1 1.8.10", "1.80"},
		{"!=1.8.*", "1.80 1.9rc1", "1.8 1.8rc1 1.8a"},
		{"~=1.8.2", "1.8.2 1.8.10 1.8post1", "1.8.1 1.9"},
		{"1.8|1.9.*", "1.8 1.9rc1", "1.8.1 1.10"},
		{"=1.8*", "", "1.8 1.8.0 1.8.2 1.8rc1"},
		{"!=1.8*", "1.8 1.8.0 1.8.2 1.8rc1", ""},
		{"=*", "", "1.8 2 10"},
		{"*.*", "1.8 1.8.2", "2 18"},
		{"1.*.*", "1.8.2 1.10.1", "1.8 1.80"},
		{"1.*.1", "1.8.1 1.10.1", "1.8.2"},
		{`^1\.8$`, "1.8", "1.8.0 1x8"},
		{">1.8.*", "1.8.1 1.9", "1.8 1.8.0"},
	} {
		parsed, err := version.ParseConstraint(c.constraint)
		require.NoError(t, err)
		for v := range strings.FieldsSeq(c.met) {
			require.True(t, parsed.Match(version.MustParse(v)), "%s is met by %s", c.constraint, v)
		}
		for v := range strings.FieldsSeq(c.unmet) {
			require.False(t, parsed.Match(version.MustParse(v)), "%s is not met by %s", c.constraint, v)
		}
	}
	_, err := version.Parse("1.0*")
	require.NoError(t, err)
}

// TestTheTableIsInTheComment keeps the table where users of the package read it.
func TestTheTableIsInTheComment(t *testing.T) {
	source, err := os.ReadFile("version.go")
	require.NoError(t, err)
	comment, _, _ := strings.Cut(string(source), "\npackage version")
	for _, written := range []string{"=1.8  1.8.*  1.8*", "!=1.8.*", "~=1.8.2", "=1.8*", "!=1.8*", "=*", "*.*", "1.*.*  1.*.1", `^1\.8$`, ">1.8.*", "1.0*"} {
		require.Contains(t, comment, "//\t"+written+" ")
	}
}
