package envspec

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/condatest"
)

// refusedTable lists what is refused of the corpus: place and reason, the file's path from the corpus' folder.
const refusedTable = "testdata/corpus-refused.txt"

// Every YAML file of the corpus is read, or is in the table of those that are refused.
func TestCorpusEnvironments(t *testing.T) {
	t.Parallel()
	root := filepath.Dir(condatest.Corpus(t, "env"))
	table, err := os.ReadFile(refusedTable)
	require.NoError(t, err)
	var header, want, got []string
	for line := range strings.Lines(string(table)) {
		if strings.HasPrefix(line, "#") {
			header = append(header, line)
		} else {
			want = append(want, strings.TrimSpace(line))
		}
	}
	read := 0
	for _, path := range yamlFiles(t, root) {
		f, err := ReadFile(path)
		require.NoError(t, err)
		f.Path, err = filepath.Rel(root, path)
		require.NoError(t, err)
		env, _, err := ParseEnvironment([]File{f}, Options{
			Getenv:   func(name string) string { return name },
			ReadFile: func(p string) ([]byte, error) { return readBelow(root, p) },
		})
		if err != nil {
			var e *Error
			require.ErrorAs(t, err, &e)
			got = append(got, strings.SplitN(err.Error(), "\n", 2)[0])
			continue
		}
		read++
		requireEverythingRead(t, f, env)
		requireAsPlainYAML(t, f, env)
	}
	slices.Sort(got)
	t.Logf("%d environments read, %d refused", read, len(got))
	if *update {
		text := strings.Join(header, "") + strings.Join(got, "\n") + "\n"
		require.NoError(t, os.WriteFile(refusedTable, []byte(text), 0o644))
		return
	}
	require.Equal(t, want, got)
}

func readBelow(root, path string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(root, path))
	var pe *fs.PathError
	if errors.As(err, &pe) {
		pe.Path = path
	}
	return data, err
}

func yamlFiles(t *testing.T, dirs ...string) []string {
	t.Helper()
	var paths []string
	for _, dir := range dirs {
		require.NoError(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if ext := filepath.Ext(path); ext == ".yml" || ext == ".yaml" {
				paths = append(paths, path)
			}
			return err
		}))
	}
	require.NotEmpty(t, paths)
	return paths
}

// requireEverythingRead holds an environment against its file: every line that begins with a dash is in it, as
// a channel, dependency, requirement or platform, and each of them is where it says. What is there twice counts once.
func requireEverythingRead(t *testing.T, f File, env Environment) {
	t.Helper()
	at := map[string]bool{}
	for _, c := range env.Channels {
		at[c.Position.String()] = true
	}
	for _, d := range env.Dependencies {
		if !d.Implied {
			require.Contains(t, newSource(f).line(d.Position.Line), d.Text)
		}
		at[d.Position.String()] = true
	}
	for _, r := range env.Pip {
		at[r.Position.String()] = true
	}
	before := map[string]bool{}
	for n, line := range strings.Split(string(f.Data), "\n") {
		item := strings.TrimLeft(line, " ")
		text, ok := strings.CutPrefix(item, "- ")
		text = strings.TrimSpace(text)
		if !ok || strings.Contains(text, "# [") || slices.Contains([]string{"pip:", "nodefaults", "linux-64"}, text) ||
			strings.HasPrefix(text, "sel(") || strings.Contains(text, "://$PIP_USER") || slices.ContainsFunc(env.Platforms, func(s conda.Subdir) bool { return string(s) == text }) {
			continue
		}
		column := len(line) - len(strings.TrimLeft(line[len(line)-len(item)+1:], " ")) + 1
		require.True(t, before[text] || at[fmt.Sprintf("%s:%d:%d", f.Path, n+1, column)], "%s:%d: %s", f.Path, n+1, line)
		before[text] = true
	}
}

// otherSelector is the end of a line that is for another platform than linux-64, of those that the corpus has.
var otherSelector = regexp.MustCompile(`(?m)^.*# \[(?:win|osx|arm64|not linux|osx64)\]\s*$`)

// requireAsPlainYAML holds an environment against a reading of its file by nothing but a YAML decoder: the same channels, packages,
// requirements and variables, in the same order and text, each once.
func requireAsPlainYAML(t *testing.T, f File, env Environment) {
	t.Helper()
	var plain struct {
		Channels     []string
		Dependencies []any
		Variables    map[string]string
	}
	require.NoError(t, yaml.Unmarshal(otherSelector.ReplaceAll(bytes.TrimPrefix(f.Data, []byte(bom)), nil), &plain), f.Path)
	var packages, pip []string
	for _, d := range plain.Dependencies {
		switch d := d.(type) {
		case string:
			packages = append(packages, strings.TrimSpace(d))
		case map[string]any:
			for key, value := range d {
				text, isText := value.(string)
				switch {
				case isText && slices.Contains([]string{"sel(linux)", "sel(unix)"}, key):
					packages = append(packages, text)
				case isText:
					require.Contains(t, []string{"sel(win)", "sel(osx)"}, key, f.Path)
				case key == "pip" && value != nil:
					for _, line := range value.([]any) {
						pip = append(pip, line.(string))
					}
				}
			}
		}
	}
	var gotChannels, gotPackages []string
	for _, c := range env.Channels {
		gotChannels = append(gotChannels, c.Text)
	}
	for _, d := range env.Dependencies {
		if !d.Implied {
			gotPackages = append(gotPackages, d.Text)
		}
	}
	channels := slices.DeleteFunc(once(plain.Channels), func(c string) bool { return c == "nodefaults" })
	require.Equal(t, channels, gotChannels, f.Path)
	require.Equal(t, once(packages), gotPackages, f.Path)
	require.Len(t, env.Variables, len(plain.Variables), f.Path)
	for _, v := range env.Variables {
		require.Equal(t, plain.Variables[v.Name], v.Value, f.Path)
	}
	options, own := 0, 0
	for _, line := range pip {
		if strings.HasPrefix(line, "-r") {
			return // what it names is read too, and is not looked at here
		}
		if strings.HasPrefix(line, "-") {
			options++
			continue
		}
		text, _, _ := strings.Cut(line, " #")
		read := env.Pip[own].Text
		for _, h := range env.Pip[own].Hashes {
			read += " --hash=" + h
		}
		require.Equal(t, strings.TrimSpace(text), read, f.Path)
		own++
	}
	require.Len(t, env.Pip, own, f.Path)
	require.Len(t, env.PipOptions, options, f.Path)
}

// once is the texts without those that were there before.
func once(texts []string) []string {
	var out []string
	for _, s := range texts {
		if s = strings.TrimSpace(s); !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// Every RuntimeEnvironment of the corpus is read and pinned, by nothing but the intended lines; what is none, or
// not a whole one, is refused.
func TestCorpusRuntimeEnvironments(t *testing.T) {
	t.Parallel()
	dir := condatest.Corpus(t, "runtimeenvironment")
	ref, err := name.NewDigest("registry.example.org/datalayer/env@" + testDigest)
	require.NoError(t, err)
	refused := map[string]string{
		"contents-by-uid.fragment.yaml":                    ":2:1: metadata is missing",
		"git.with-uid.yaml":                                ":3:7: this is a RuntimeContent, want a RuntimeEnvironment",
		"python-cpu-env.cpu.DERIVED-from-api-2025-07.yaml": ":4:7: kind JupyterEnvironment is the older name of RuntimeEnvironment",
	}
	image := map[string]int{"python-simple-env.v-seed.yaml": 16, "xarray-env.v-seed.yaml": 33}
	for _, path := range yamlFiles(t, dir) {
		f, err := ReadFile(path)
		require.NoError(t, err)
		base := filepath.Base(path)
		o, err := ParseOverlay(f, getenv("DATALAYER_DOCKER_REGISTRY=registry.example.org"))
		if want, ok := refused[base]; ok {
			require.ErrorContains(t, err, base+want)
			continue
		}
		require.NoError(t, err)
		require.Empty(t, o.Warnings())
		require.False(t, o.GPUs())
		pinned, err := o.Pin(ref, map[string]string{"b": "2", "a": "1"})
		require.NoError(t, err)
		line := image[base]
		require.NotZero(t, line, "%s: where is its dockerImage?", base)
		old := newSource(f).line(line)
		want := fmt.Sprintf("+9   annotations:\n+10     a: \"1\"\n+11     b: \"2\"\n-%d %s\n+%d   dockerImage: %s\n", line, old, line+3, ref.Name())
		require.Equal(t, want, changedLines(string(f.Data), string(pinned)), base)
	}
}
