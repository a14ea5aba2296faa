package envspec

import (
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
)

var update = flag.Bool("update", false, "write what the goldens should be") //nolint:gochecknoglobals // the flag package has it so

// eachArchive runs a test for every txtar file of a folder. The test is given the archive's files, and the
// settings "KEY VALUE" of its comment; it returns the files that follow from them, which the archive must have.
func eachArchive(t *testing.T, dir string, run func(t *testing.T, files []txtar.File, set map[string]string) []txtar.File) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", dir, "*.txtar"))
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, p := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(p), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(p)
			require.NoError(t, err)
			set := map[string]string{}
			for line := range strings.Lines(string(archive.Comment)) {
				if key, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && !strings.HasPrefix(line, "#") {
					set[key] = value
				}
			}
			isResult := func(f txtar.File) bool { return strings.HasPrefix(f.Name, "want") }
			var inputs, wants []txtar.File
			for _, f := range archive.Files {
				if isResult(f) {
					wants = append(wants, f)
				} else {
					inputs = append(inputs, f)
				}
			}
			got := run(t, inputs, set)
			if *update {
				archive.Files = slices.Concat(inputs, got)
				require.NoError(t, os.WriteFile(p, txtar.Format(archive), 0o644))
				return
			}
			for i := range got {
				require.Less(t, i, len(wants), "%s is not in the archive", got[i].Name)
				require.Equal(t, string(wants[i].Data), string(got[i].Data), got[i].Name)
			}
			require.Len(t, wants, len(got))
		})
	}
}

func result(name, text string) txtar.File {
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return txtar.File{Name: name, Data: []byte(text)}
}

// getenv looks a variable up in a setting such as "A=1 B=2".
func getenv(setting string) func(string) string {
	return func(name string) string {
		for _, kv := range strings.Fields(setting) {
			if value, ok := strings.CutPrefix(kv, name+"="); ok {
				return value
			}
		}
		return ""
	}
}

func TestEnvironments(t *testing.T) {
	t.Parallel()
	eachArchive(t, "environment", func(_ *testing.T, inputs []txtar.File, set map[string]string) []txtar.File {
		var files []File
		texts := map[string][]byte{}
		for _, f := range inputs {
			texts[f.Name] = f.Data
			if ext := path.Ext(f.Name); ext == ".yml" || ext == ".yaml" {
				files = append(files, File{Path: f.Name, Data: f.Data})
			}
		}
		env, warnings, err := ParseEnvironment(files, Options{
			Subdir: conda.Subdir(set["subdir"]),
			Getenv: getenv(set["env"]),
			ReadFile: func(p string) ([]byte, error) {
				if data, ok := texts[filepath.ToSlash(p)]; ok {
					return data, nil
				}
				return nil, &fs.PathError{Op: "open", Path: p, Err: fs.ErrNotExist}
			},
		})
		if err != nil {
			return []txtar.File{result("want error", err.Error())}
		}
		return []txtar.File{result("want", dump(env, warnings))}
	})
}

// dump is an environment, a line for each thing in it.
func dump(e Environment, warnings []Warning) string {
	var b strings.Builder
	line := func(at Position, format string, args ...any) {
		fmt.Fprintf(&b, "%-24s %s\n", at, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(&b, "name %q, platforms %v, files %v\n", e.Name, e.Platforms, e.Files)
	for _, c := range e.Channels {
		line(c.Position, "channel %s -> %s", c.Text, c.Ref())
	}
	fmt.Fprintf(&b, "channels with defaults %q\n", e.ChannelRefs("conda-forge"))
	for _, d := range e.Dependencies {
		implied := ""
		if d.Implied {
			implied = " (implied)"
		}
		line(d.Position, "spec %s%s%s", d.Text, strings.TrimRight(" "+d.Category, " "), implied)
	}
	for _, r := range e.Pip {
		if r.Local != "" {
			line(r.Position, "pip %s: %s is %s, and there %s", r.Name, r, r.Local, r.At("/there"))
			continue
		}
		line(r.Position, "pip %s: %s", r.Name, r.Line())
	}
	for _, r := range e.PipConstraints {
		line(r.Position, "pip constraint %s: %s", r.Name, r.Line())
	}
	for _, o := range e.PipOptions {
		line(o.Position, "pip option %s -> %s", o, o.Value())
	}
	for _, v := range e.Variables {
		line(v.Position, "variable %s=%q", v.Name, v.Value)
	}
	if hint, ok := e.WantsCUDA(); ok {
		fmt.Fprintf(&b, "CUDA: %s\n", hint)
	}
	for _, w := range warnings {
		fmt.Fprintln(&b, w)
	}
	return b.String()
}

const testDigest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestOverlays(t *testing.T) {
	t.Parallel()
	ref, err := name.NewDigest("registry.example.org/team/env@" + testDigest)
	require.NoError(t, err)
	eachArchive(t, "overlay", func(t *testing.T, inputs []txtar.File, set map[string]string) []txtar.File {
		data := inputs[0].Data
		if set["lines"] == "CRLF" {
			data = []byte(strings.ReplaceAll(string(data), "\n", "\r\n"))
		}
		o, err := ParseOverlay(File{Path: inputs[0].Name, Data: data}, getenv(set["env"]))
		if err != nil {
			return []txtar.File{result("want error", err.Error())}
		}
		annotations := map[string]string{}
		for kv := range strings.FieldsSeq(set["annotate"]) {
			k, v, _ := strings.Cut(kv, "=")
			annotations[k] = strings.ReplaceAll(v, "~", " ")
		}
		pinned, err := o.Pin(ref, annotations)
		require.NoError(t, err)
		again, err := ParseOverlay(File{Path: "pinned.yaml", Data: pinned}, nil)
		require.NoError(t, err)
		require.Equal(t, ref.Name(), again.DockerImage())
		twice, err := again.Pin(ref, annotations)
		require.NoError(t, err)
		require.Equal(t, string(pinned), string(twice), "pinning what is pinned changes nothing")
		if set["lines"] == "CRLF" {
			require.Equal(t, strings.Count(string(pinned), "\n"), strings.Count(string(pinned), "\r\n"))
			pinned = []byte(strings.ReplaceAll(string(pinned), "\r\n", "\n"))
		}
		return []txtar.File{result("want", dumpOverlay(o)), result("want pinned", changedLines(string(inputs[0].Data), string(pinned)))}
	})
}

func dumpOverlay(o *Overlay) string {
	var b strings.Builder
	fmt.Fprintf(&b, "name %q, namespace %q, title %q, language %q, gpus %v\n", o.Name(), o.Namespace(), o.Title(), o.Language(), o.GPUs())
	fmt.Fprintf(&b, "%s image %s\n", o.DockerImagePosition(), o.DockerImage())
	for _, k := range slices.Sorted(maps.Keys(o.Labels())) {
		fmt.Fprintf(&b, "label %s=%q\n", k, o.Labels()[k])
	}
	for _, v := range o.Env() {
		fmt.Fprintf(&b, "env %s=%q\n", v.Name, v.Value)
	}
	for _, w := range o.Warnings() {
		fmt.Fprintln(&b, w)
	}
	return b.String()
}

// changedLines is the lines by which two texts differ, "-" those of a and "+" those of b, each at its place.
func changedLines(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	common := make([][]int, len(x)+1) // of the tails of x and y, the longest common list of lines
	for i := range common {
		common[i] = make([]int, len(y)+1)
	}
	for i := len(x) - 1; i >= 0; i-- {
		for j := len(y) - 1; j >= 0; j-- {
			if common[i][j] = max(common[i+1][j], common[i][j+1]); x[i] == y[j] {
				common[i][j] = common[i+1][j+1] + 1
			}
		}
	}
	var out strings.Builder
	for i, j := 0, 0; i < len(x) || j < len(y); {
		switch {
		case i < len(x) && j < len(y) && x[i] == y[j]:
			i, j = i+1, j+1
		case i < len(x) && (j == len(y) || common[i+1][j] >= common[i][j+1]):
			fmt.Fprintf(&out, "-%d %s\n", i+1, x[i])
			i++
		default:
			fmt.Fprintf(&out, "+%d %s\n", j+1, y[j])
			j++
		}
	}
	return out.String()
}
