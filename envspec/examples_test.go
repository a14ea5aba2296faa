package envspec

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/stretchr/testify/require"
)

// The examples are read without a warning, and pinning them changes the line of the image only.
func TestExamples(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("../examples/*/environment.yml")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, p := range paths {
		example := filepath.Base(filepath.Dir(p))
		t.Run(example, func(t *testing.T) {
			t.Parallel()
			f, err := ReadFile(p)
			require.NoError(t, err)
			env, warnings, err := ParseEnvironment([]File{f}, Options{})
			require.NoError(t, err)
			require.Empty(t, warnings)
			require.Equal(t, example, env.Name)
			require.Equal(t, []string{"conda-forge"}, env.ChannelRefs("conda-forge"))

			f, err = ReadFile(filepath.Join(filepath.Dir(p), "runtime.yaml"))
			require.NoError(t, err)
			o, err := ParseOverlay(f, getenv("DATALAYER_DOCKER_REGISTRY=localhost:5000"))
			require.NoError(t, err)
			require.Empty(t, o.Warnings())
			require.Equal(t, env.language(), o.Language())
			_, err = name.NewTag(o.DockerImage(), name.StrictValidation)
			require.NoError(t, err)
			_, cuda := env.WantsCUDA()
			require.Equal(t, cuda, o.GPUs(), "the environment and its overlay agree about CUDA")

			ref, err := name.NewDigest("localhost:5000/datalayer/" + example + "@" + testDigest)
			require.NoError(t, err)
			pinned, err := o.Pin(ref, nil)
			require.NoError(t, err)
			changes := strings.Split(strings.TrimSpace(changedLines(string(f.Data), string(pinned))), "\n")
			require.Len(t, changes, 2)
			require.Contains(t, changes[1], "  dockerImage: "+ref.Name())

			_, err = ParseOverlay(f, nil)
			require.ErrorContains(t, err, "${DATALAYER_DOCKER_REGISTRY} has no value")
		})
	}
}
