package version_test

import (
	"iter"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda/version"
)

func linesOf(s string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for line := range strings.Lines(s) {
			if line = strings.TrimSpace(line); line != "" && !yield(line) {
				return
			}
		}
	}
}

// Each line is older than the next; versions on one line are the same version.
const ascending = `
0.4 0.4.0
0.4.1.rc 0.4.1.RC
0.4.1
0.5a1
0.5b3
0.5C1
0.5
0.9.6
0.960923
1.0 1.0.0 1 01.00
1.0.1* 1.0.1*0
1.0.1dev
1.0.1_
1.0.1a
1.0.1rc 1.0.1RC
1.0.1.dev
1.0.1.rc1
1.0.1 1.0.1+0
1.0.1+1
1.0.1.post1
1.0.1post1
1.0.2
1.1dev1
1.1_
1.1a1
1.1.0dev1 1.1.dev1
1.1.a1
1.1.0rc1
1.1.0 1.1
1.1.0post1 1.1.post1
1.1post1
2.0.0.0.0.1
2.0.0.0.1
2.0.0.1
18446744073709551615
18446744073709551616
1!0.4.1
1!3.1.1.6
2!0.4.1
10!0
`

func TestCompare(t *testing.T) {
	var groups [][]string
	for line := range linesOf(ascending) {
		groups = append(groups, strings.Fields(line))
	}
	for i, older := range groups {
		for j, newer := range groups {
			for _, a := range older {
				for _, b := range newer {
					want := 0
					if i < j {
						want = -1
					} else if i > j {
						want = 1
					}
					require.Equal(t, want, version.MustParse(a).Compare(version.MustParse(b)), "%s compared with %s", a, b)
				}
			}
		}
	}
	require.Negative(t, version.Version{}.Compare(version.MustParse("0dev")), "no version is older than every version")
}

// A hundred zeros between, and numbers of hundreds of digits, keep their order.
func TestCompareLong(t *testing.T) {
	long := func(n int, last string) version.Version {
		return version.MustParse("1" + strings.Repeat(".0", n) + last)
	}
	require.Zero(t, long(0, "").Compare(long(300, "")))
	require.Negative(t, long(299, ".rc").Compare(long(300, ".rc")))
	require.Positive(t, long(299, ".1").Compare(long(300, ".1")))
	for _, n := range []int{1, 9, 249, 250, 251, 499, 500, 501} {
		shorter, longer := version.MustParse(strings.Repeat("9", n)), version.MustParse("1"+strings.Repeat("0", n))
		require.Negative(t, shorter.Compare(longer), "%d digits", n)
		require.Negative(t, version.MustParse("1*"+longer.String()).Compare(version.MustParse("1*post")))
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", "it is empty"},
		{"1.0é", `'é' (character 4) is not allowed`},
		{"1,2", `',' (character 2) is not allowed`},
		{"1..2", `empty component in "1..2"`},
		{"1.0+", `empty component in ""`},
		{"+1", "nothing between the epoch and the local version"},
		{"1!2!3", "more than one epoch"},
		{"a!1.0", `the epoch "a" is not a number`},
		{"1+2+3", "more than one local version"},
		{"1-_2", "both '-' and '_'"},
	} {
		_, err := version.Parse(c.in)
		require.ErrorContains(t, err, c.want, c.in)
		require.ErrorContains(t, err, "version ")
	}
}

func TestParseKeepsTheText(t *testing.T) {
	v, err := version.Parse(" 1.0-RC1 ")
	require.NoError(t, err)
	require.Equal(t, "1.0-RC1", v.String())
	require.Zero(t, v.Compare(version.MustParse("1.0_rc1")))
	require.False(t, v.IsZero())
	require.True(t, version.Version{}.IsZero())
}

func TestCompareAllocatesNothing(t *testing.T) {
	a, b := version.MustParse("1.26.4"), version.MustParse("1.26.10rc1")
	c, err := version.ParseConstraint(">=1.8,<2|3.*")
	require.NoError(t, err)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		_ = a.Compare(b)
		_ = c.Match(a)
	}))
}

func FuzzVersion(f *testing.F) {
	for line := range linesOf(ascending) {
		s := strings.Fields(line)
		f.Add(s[0], s[len(s)-1], "1.0")
	}
	f.Fuzz(func(t *testing.T, a, b, c string) {
		var v [3]version.Version
		for i, s := range []string{a, b, c} {
			var err error
			if v[i], err = version.Parse(s); err != nil {
				return
			}
			again, err := version.Parse(v[i].String())
			require.NoError(t, err)
			require.Zero(t, v[i].Compare(again))
			require.Equal(t, v[i].String(), again.String())
		}
		require.Equal(t, v[0].Compare(v[1]), -v[1].Compare(v[0]))
		if v[0].Compare(v[1]) <= 0 && v[1].Compare(v[2]) <= 0 {
			require.LessOrEqual(t, v[0].Compare(v[2]), 0)
		}
		// A trailing zero changes nothing; what is appended in a new component begins with the version.
		more, err := version.Parse(a + ".0")
		if err == nil && !strings.ContainsAny(a, "+_-") {
			require.Zero(t, v[0].Compare(more))
		}
		constraintsHold(t, v[0], v[1])
	})
}

// constraintsHold checks that the operators say of two versions what their order says.
func constraintsHold(t *testing.T, v, w version.Version) {
	t.Helper()
	for op, want := range map[string]bool{
		"==": v.Compare(w) == 0, "!=": v.Compare(w) != 0,
		"<": v.Compare(w) < 0, "<=": v.Compare(w) <= 0, ">": v.Compare(w) > 0, ">=": v.Compare(w) >= 0,
	} {
		text := w.String()
		if strings.HasSuffix(text, ".*") {
			return // there the operators read the version without it
		}
		c, err := version.ParseConstraint(op + text)
		require.NoError(t, err)
		require.Equal(t, want, c.Match(v), "%s tested with %s", c, v)
	}
	c, err := version.ParseConstraint("=" + v.String())
	require.NoError(t, err)
	if !strings.HasSuffix(v.String(), ".*") {
		require.True(t, c.Match(v), "%s tested with itself", c)
	}
}

func BenchmarkParse(b *testing.B) {
	for b.Loop() {
		_, _ = version.Parse("1.26.4")
	}
}

func BenchmarkCompare(b *testing.B) {
	v, w := version.MustParse("2024.3.11"), version.MustParse("2024.3.9")
	for b.Loop() {
		_ = v.Compare(w)
	}
}

func BenchmarkConstraintMatch(b *testing.B) {
	c, err := version.ParseConstraint(">=3.11,<3.12.0a0")
	require.NoError(b, err)
	v := version.MustParse("3.11.9")
	for b.Loop() {
		_ = c.Match(v)
	}
}
