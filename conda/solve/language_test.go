package solve_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/matchspec"
	"github.com/datalayer/conda2docker/conda/solve"
	"github.com/datalayer/conda2docker/conda/version"
)

var update = flag.Bool("update", false, "write what the solver answers into testdata") //nolint:gochecknoglobals // a flag of the test binary

// TestLanguage runs the cases of testdata. Each is a txtar file of three parts:
//
//	-- packages --     NAME VERSION [BUILD], in the order of the channel; indented below: needs SPEC, allows SPEC,
//	                   track FEATURE, flag NAME, number N, time N, noarch python. "channel NAME" begins another channel;
//	                   "elsewhere CHANNEL SUBDIR NAME [VERSION [BUILD]]" is what is not searched.
//	-- solve --        want SPEC, with VIRTUAL=VERSION, lock DIST, favor DIST, allow SPEC, priority flexible|disabled,
//	                   channel NAME (in the order of priority), hint NAME TEXT
//	-- answer --       the records in link order, or the error
func TestLanguage(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	require.NoError(t, err)
	require.Greater(t, len(files), 20)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			require.NoError(t, err)
			require.Len(t, a.Files, 3)
			x := readPackages(t, string(a.Files[0].Data))
			got := ask0(t, x, string(a.Files[1].Data))
			if *update {
				a.Files[2].Data = []byte(got)
				require.NoError(t, os.WriteFile(file, txtar.Format(a), 0o644))
			}
			require.Equal(t, string(a.Files[2].Data), got)
			slices.Reverse(x.asked)
			require.Equal(t, got, ask0(t, x, string(a.Files[1].Data)), "the same request gives the same answer")
		})
	}
}

func readPackages(t *testing.T, text string) *index {
	x := &index{records: map[conda.PackageName][]*conda.Record{}}
	channel := "main"
	var r *conda.Record
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		rest := strings.Join(f[1:], " ")
		switch {
		case f[0] == "channel":
			channel = f[1]
		case f[0] == "elsewhere":
			at := conda.Place{Channel: conda.Channel{Name: f[1]}, Subdir: conda.Subdir(f[2])}
			x.elsewhere = append(x.elsewhere, elsewhere{record(t, at, f[3:]), at})
		case line[0] != ' ':
			r = record(t, conda.Place{Channel: conda.Channel{Name: channel}, Subdir: conda.Linux64}, f)
			x.records[r.Name] = append(x.records[r.Name], r)
		case f[0] == "needs":
			r.Depends = append(r.Depends, rest)
		case f[0] == "allows":
			r.Constrains = append(r.Constrains, rest)
		case f[0] == "track":
			r.TrackFeatures = f[1:]
		case f[0] == "flag":
			r.Flags = append(r.Flags, rest)
		case f[0] == "noarch":
			r.NoArch = conda.NoArch(rest)
		case f[0] == "number":
			r.BuildNumber = number(t, rest)
		case f[0] == "time":
			r.Timestamp = number(t, rest)
		default:
			require.Fail(t, "unknown line", line)
		}
	}
	return x
}

// record is one that is written as NAME [VERSION [BUILD]].
func record(t *testing.T, at conda.Place, f []string) *conda.Record {
	f = append(slices.Clone(f), []string{"1.0", "0"}[min(2, len(f)-1):]...)
	require.Len(t, f, 3)
	v, err := version.Parse(f[1])
	require.NoError(t, err)
	return &conda.Record{Name: conda.PackageName(f[0]), Version: v, Build: f[2], Subdir: at.Subdir, Channel: at.Channel}
}

func number(t *testing.T, s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	require.NoError(t, err)
	return n
}

func ask0(t *testing.T, x *index, text string) string {
	r := solve.Request{Hints: map[conda.PackageName]string{}}
	find := func(dist string) *conda.Record {
		for _, records := range x.records {
			for _, r := range records {
				if r.Dist() == dist {
					return r
				}
			}
		}
		require.Fail(t, "no such record", dist)
		return nil
	}
	for line := range strings.Lines(text) {
		verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch verb {
		case "want", "allow":
			spec, err := matchspec.Parse(rest)
			require.NoError(t, err)
			if verb == "want" {
				r.Specs = append(r.Specs, spec)
			} else {
				r.Constraints = append(r.Constraints, spec)
			}
		case "with":
			v, err := conda.ParseVirtualPackage(rest)
			require.NoError(t, err)
			r.Virtual = append(r.Virtual, v)
		case "lock":
			r.Locked = append(r.Locked, find(rest))
		case "favor":
			r.Favored = append(r.Favored, find(rest))
		case "hint":
			name, text, _ := strings.Cut(rest, " ")
			r.Hints[conda.PackageName(name)] = text
		case "channel":
			r.Channels = append(r.Channels, conda.Channel{Name: rest})
		case "priority":
			r.Priority = map[string]solve.Priority{"strict": solve.Strict, "flexible": solve.Flexible, "disabled": solve.Disabled}[rest]
		case "":
		default:
			require.Fail(t, "unknown line", line)
		}
	}
	s, err := solve.Solve(t.Context(), x, r)
	if unsat := (*solve.UnsatisfiableError)(nil); errors.As(err, &unsat) {
		return unsat.Error() + "\n"
	}
	if err != nil {
		return "error: " + err.Error() + "\n"
	}
	var b strings.Builder
	for _, rec := range s.Records {
		fmt.Fprintln(&b, strings.Replace(rec.String(), "/linux-64", "", 1))
	}
	return b.String()
}
