package version_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda/version"
)

// Each constraint is followed by versions that meet it, a bar, and versions that do not.
const constraints = `
*             1 0dev 1!1             |
1.8           1.8 1.8.0 1.8+0        | 1.8.1 1.8rc1 1.8+1
==1.8.*       1.8                    | 1.8.1
=1.8          1.8 1.8.1 1.8rc1 1.8+1 | 1.80 1.9
=1.1.1        1.1.1 1.1.1w 1.1.1_    | 1.1.10 1.1.2
=1.1.1_       1.1.1_                 | 1.1.1 1.1.1a
=1.8r         1.8rc1 1.8r            | 1.8 1.8b
=1.0          1 1.0 1.0.1 1.a        | 1.1
=1.8post      1.8post 1.8post1       | 1.8pos 1.8
=1.8+1        1.8+1 1.8.0+1.2        | 1.8 1.8+2
1.8*          1.8 1.8.1 1.8rc1       | 1.80 1.9
=1.8*         1.8*                   | 1.8 1.8.1
=*            *                      | 1 2.0
1.*.1         1.2.1 1.2.3.1          | 1.2 1.1
*.*           1.2                    | 2
!=1.8.*       1.9 1.80               | 1.8 1.8.1 1.8a
!=1.8*        1.8 1.8.1              | 1.8*
>1.8.*        1.8.1 1.9              | 1.8 1.7
>=1.8.*       1.8 1.8.1              | 1.8a
~=1.8.2       1.8.2 1.8.10 1.8post1  | 1.8.1 1.9
~=1!1.8       1!1.8 1!1.9            | 1.8 1!2
>=1.8,<2|3    1.8 1.9 3              | 1.7 2 3.1
(1.8|1.9),!=1.9  1.8                 | 1.9 1.7
^1\.(8|9)$    1.8 1.9                | 1.8.0 1.10
^1.8$|2       1.8 1x8 2              | 1.8.1
`

func TestConstraintMatch(t *testing.T) {
	for line := range linesOf(constraints) {
		text := strings.Fields(line)[0]
		meets, not, _ := strings.Cut(strings.TrimPrefix(line, text), " |")
		c, err := version.ParseConstraint(text)
		require.NoError(t, err)
		require.False(t, c.Match(version.Version{}) && !c.IsAny() && !strings.Contains(text, "!="), "%s without a version", text)
		for _, v := range strings.Fields(meets) {
			require.True(t, c.Match(version.MustParse(v)), "%s tested with %s", text, v)
		}
		for _, v := range strings.Fields(not) {
			require.False(t, c.Match(version.MustParse(v)), "%s tested with %s", text, v)
		}
	}
}

func TestConstraintString(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{" 1.8 ", "1.8"},
		{"1.8*", "1.8.*"},
		{"(1.8)", "1.8"},
		{">=1.8 , <2", ">=1.8,<2"},
		{"((1.5|((1.6|1.7), 1.8), 1.9 |2.0))|2.1", "1.5|(1.6|1.7),1.8,1.9|2.0|2.1"},
		{"(1.8|1.9),!=1.9", "(1.8|1.9),!=1.9"},
		{"^1,2$|3", "^1,2$|3"},
	} {
		got, err := version.ParseConstraint(c.in)
		require.NoError(t, err)
		require.Equal(t, c.want, got.String())
	}
	require.Equal(t, "*", version.Constraint{}.String())
	require.True(t, version.Constraint{}.IsAny())
}

func TestConstraintExact(t *testing.T) {
	for text, want := range map[string]string{
		"1.8": "1.8", "==1.8": "1.8", "==1.8.*": "1.8",
		"=1.8": "", "1.8.*": "", "*": "", ">=1.8": "", "1.8|1.9": "", "!=1.8": "", "<=1.8": "",
	} {
		c, err := version.ParseConstraint(text)
		require.NoError(t, err)
		v, ok := c.Exact()
		require.Equal(t, want != "", ok, text)
		require.Equal(t, want, v.String())
	}
}

func TestParseConstraintRefuses(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", "a version is missing"},
		{"1.8,", "a version is missing"},
		{"|1.8", "a version is missing"},
		{"===1.8", "invalid operator"},
		{"<>1.8", "invalid operator"},
		{">= 1.8", "invalid operator"},
		{"!1.8", "invalid operator"},
		{">=", "invalid operator"},
		{"~=1.8.*", "does not go with"},
		{"~=1", "two components or more"},
		{"1@", "'@' (character 2) is not allowed"},
		{"1**", "and then one '*'"},
		{"1 *", "' ' (character 2) is not allowed"},
		{"1..*", "and then one '*'"},
		{"(1.8", "')' is missing"},
		{"1.8)", `")" follows`},
		{"(1.8)(1.9)", `"(1.9)" follows`},
		{"^1.8", "regular expression"},
		{"^(1.8$", "regular expression"},
		{"=1..8", "empty component"},
		{"1.2.3<4", "is not allowed"},
		{strings.Repeat("(", 100) + "1" + strings.Repeat(")", 100), "nest too deep"},
	} {
		_, err := version.ParseConstraint(c.in)
		require.ErrorContains(t, err, c.want, c.in)
		require.ErrorContains(t, err, "version constraint")
	}
}

func FuzzConstraint(f *testing.F) {
	for line := range linesOf(constraints) {
		f.Add(strings.Fields(line)[0], "1.8")
	}
	f.Add("\n^$*^*$", "1.8")
	f.Fuzz(func(t *testing.T, s, v string) {
		c, err := version.ParseConstraint(s)
		if err != nil {
			return
		}
		again, err := version.ParseConstraint(c.String())
		require.NoError(t, err)
		require.Equal(t, c.String(), again.String())
		if parsed, err := version.Parse(v); err == nil && !strings.Contains(s, "**") { // conda reads ** as a prefix and writes it as a glob
			require.Equal(t, c.Match(parsed), again.Match(parsed), "%s and %s", s, c)
		}
	})
}
