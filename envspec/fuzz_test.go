package envspec

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"
)

// seeds adds the input files of a folder's archives.
func seeds(f *testing.F, dir string) {
	f.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", dir, "*.txtar"))
	require.NoError(f, err)
	for _, p := range paths {
		a, err := txtar.ParseFile(p)
		require.NoError(f, err)
		for _, file := range a.Files {
			if !strings.HasPrefix(file.Name, "want") {
				f.Add(file.Data)
			}
		}
	}
}

// FuzzEnvironment: every text is read, or refused at a place that is in it.
func FuzzEnvironment(f *testing.F) {
	seeds(f, "environment")
	f.Fuzz(func(t *testing.T, data []byte) {
		opts := Options{
			Getenv:   func(string) string { return "value" },
			ReadFile: func(string) ([]byte, error) { return nil, fs.ErrNotExist },
		}
		env, warnings, err := ParseEnvironment([]File{{Path: "e.yml", Data: data}}, opts)
		if err != nil {
			requirePlace(t, data, err)
			return
		}
		for _, w := range warnings {
			require.Positive(t, w.Line)
		}
		require.GreaterOrEqual(t, len(env.Request(RequestInput{})), 2)
		for _, d := range env.Dependencies {
			require.NotEmpty(t, d.Text)
			require.Positive(t, d.Position.Line)
		}
	})
}

func requirePlace(t *testing.T, data []byte, err error) {
	t.Helper()
	var e *Error
	require.ErrorAs(t, err, &e)
	s := newSource(File{Data: data})
	require.LessOrEqual(t, e.Line, len(s.starts))
	require.LessOrEqual(t, e.Column, len([]rune(s.line(e.Line)))+1, "%s", err)
	require.GreaterOrEqual(t, len(strings.Split(err.Error(), "\n")), 3)
}

// FuzzPin: what is read can be pinned; the pin is the same resource with another image, and stays as it is
// when it is pinned again.
func FuzzPin(f *testing.F) {
	seeds(f, "overlay")
	ref, err := name.NewDigest("registry.example.org/team/env@" + testDigest)
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := ParseOverlay(File{Path: "o.yaml", Data: data}, func(name string) string { return "v: " + name })
		if err != nil {
			requirePlace(t, data, err)
			return
		}
		annotations := map[string]string{"a.key": "value", "b": "{\"c\": [1]}"}
		pinned, err := o.Pin(ref, annotations)
		if err != nil {
			require.ErrorContains(t, err, "write spec.dockerImage as one plain word")
			return
		}
		again, err := ParseOverlay(File{Path: "o.yaml", Data: pinned}, func(name string) string { return "${" + name + "}" })
		var e *Error
		if errors.As(err, &e) {
			t.Fatalf("%s\n%s", err, pinned)
		}
		require.Equal(t, ref.Name(), again.DockerImage())
		require.Equal(t, o.Title(), again.Title())
		require.Equal(t, o.Env(), again.Env())
		require.Equal(t, o.GPUs(), again.GPUs())
		twice, err := again.Pin(ref, annotations)
		require.NoError(t, err)
		require.Equal(t, string(pinned), string(twice))
	})
}
