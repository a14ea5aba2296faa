package main

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/builder"
	"github.com/datalayer/conda2docker/builder/base"
	"github.com/datalayer/conda2docker/builder/engine"
	"github.com/datalayer/conda2docker/builder/graph"
	"github.com/datalayer/conda2docker/examples/sandbox"
)

// compiledBuild is a build of an environment of the sandbox's channel, in whose image activation scripts are not evaluated.
type compiledBuild struct {
	sandbox *sandbox.Sandbox
	cache   string
	path    string // PATH, where it is not the test's
	args    []string
}

// run builds packages into an OCI layout, which it returns with what was said.
func (b compiledBuild) run(t *testing.T, packages string) (dir, stderr string) {
	t.Helper()
	work := t.TempDir()
	write := func(name, body string) string {
		require.NoError(t, os.WriteFile(filepath.Join(work, name), []byte(body), 0o600))
		return filepath.Join(work, name)
	}
	require.NoError(t, settingsFile{
		CPU: b.sandbox.Base(), CUDA: b.sandbox.CUDABase(), DB: b.sandbox.Advisories(), Bytecode: true,
		Mirrors: map[string][]string{"https://conda.anaconda.org/conda-forge": {"file://" + filepath.Join(filepath.Dir(b.sandbox.Advisories()), "channel")}},
	}.write(filepath.Join(work, "settings.yaml")))
	program, err := exec.LookPath("conda2docker")
	require.NoError(t, err)
	dir = filepath.Join(work, "out")
	args := append([]string{"build", "--progress", "plain", "--activation", "entrypoint", "-o", "oci-dir=" + dir}, b.args...)
	write("environment.yml", "channels: [conda-forge]\ndependencies: ["+packages+"]\n")
	cmd := exec.CommandContext(t.Context(), program, append(args, "environment.yml")...)
	cmd.Dir = work
	if b.path == "" {
		b.path = os.Getenv("PATH")
	}
	cmd.Env = []string{
		"PATH=" + b.path, "HOME=" + work, "CONDARC=" + write("condarc", "{}\n"), "CONDA2DOCKER_CONFIG=" + filepath.Join(work, "settings.yaml"),
		"CONDA2DOCKER_CACHE=" + b.cache,
	}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.Discard, &said
	require.NoError(t, cmd.Run(), "%s", &said)
	return dir, said.String()
}

func imageOf(t *testing.T, dir string) v1.Image {
	t.Helper()
	index, err := layout.ImageIndexFromPath(dir)
	require.NoError(t, err)
	manifest, err := index.IndexManifest()
	require.NoError(t, err)
	image, err := index.Image(manifest.Manifests[0].Digest)
	require.NoError(t, err)
	return image
}

// compiledFiles are the sums of the compiled files of noarch packages, by path.
func compiledFiles(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for at, f := range readImage(t, imageOf(t, dir)).files {
		if strings.HasPrefix(at, prefix+"/lib/python3.11/site-packages/") && strings.HasSuffix(at, ".pyc") {
			out[at] = f.sum
		}
	}
	return out
}

// usesBytecode is run by the image's python: it loads a package, and says of each of its modules whether it was loaded from a
// file that python takes without looking at the source.
const usesBytecode = `
import importlib, importlib.util, os, pkgutil, sys
out = open(sys.argv[1] + "/said", "w")
for name in sys.argv[2:]:
    package = importlib.import_module(name)
    for m in [name] + [name + "." + m.name for m in pkgutil.iter_modules(getattr(package, "__path__", []))]:
        spec = importlib.util.find_spec(m)
        if not spec or not spec.origin or not spec.origin.endswith(".py"):
            continue
        with open(spec.cached, "rb") as f:
            head = f.read(16)
        importlib.import_module(m)
        code = spec.loader.get_code(m)
        fresh = head[:4] == importlib.util.MAGIC_NUMBER and head[4:8] == b"\1\0\0\0" and head[8:] == importlib.util.source_hash(open(spec.origin, "rb").read())
        print(m, "fresh" if fresh and code.co_filename == spec.origin else "stale", file=out)
out.close()
`

// A package's files are compiled once: with the same bytes in whichever engine and company, and never again. Python takes them.
func TestBytecode(t *testing.T) {
	t.Parallel()
	made := makeSandbox(t)
	first := compiledBuild{sandbox: made, cache: t.TempDir()}
	dir, said := first.run(t, "python=3.11, idna, requests")
	require.Contains(t, said, "compile the python files of ")
	require.NotContains(t, said, "do not compile")

	// What executes steps is not needed any more.
	require.NoError(t, engine.Remove(t.Context(), engine.Options{Root: filepath.Join(first.cache, "buildkit")}))
	first.path = t.TempDir()
	again, said := first.run(t, "python=3.11, idna, requests")
	require.NotContains(t, said, "compile the python files of ")
	want, err := imageOf(t, dir).Digest()
	require.NoError(t, err)
	got, err := imageOf(t, again).Digest()
	require.NoError(t, err)
	require.Equal(t, want, got)

	// In another engine, with other packages before, between and behind.
	other := compiledBuild{sandbox: made, cache: t.TempDir()}
	otherDir, _ := other.run(t, "python=3.11, idna, chardet, pyparsing, requests, wcwidth")
	files, others := compiledFiles(t, dir), compiledFiles(t, otherDir)
	require.Greater(t, len(files), 100)
	require.Greater(t, len(others), len(files))
	for at, sum := range files {
		require.Equal(t, sum, others[at], at)
	}
	other.args = []string{"--no-bytecode"}
	bare, _ := other.run(t, "python=3.11, idna, requests")
	require.Empty(t, compiledFiles(t, bare))

	said = inImage(t, dir, usesBytecode, "idna", "requests", "urllib3", "charset_normalizer")
	require.Contains(t, said, "idna.core fresh\n")
	require.Contains(t, said, "requests.api fresh\n")
	require.NotContains(t, said, "stale")
}

// inImage has the image's python run a program on a root that cannot be written, and returns what it says.
func inImage(t *testing.T, dir, program string, args ...string) string {
	t.Helper()
	img, err := base.Open(t.Context(), "oci-layout:"+dir, base.Options{Dir: t.TempDir(), Platform: ocispecs.Platform{OS: "linux", Architecture: "amd64"}})
	require.NoError(t, err)
	eng, err := engine.Open(t.Context(), engine.Options{Root: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, eng.Close()) })
	said := ""
	step := graph.Step{
		Name: "python", ReadOnly: true, Args: append([]string{prefix + "/bin/python", "-B", "-c", program, graph.OutputDir}, args...), User: "1000:100",
	}
	require.NoError(t, builder.Run(t.Context(), eng, builder.Request{Base: img, Steps: []graph.Step{step}, Dir: t.TempDir()}, func(_ *tar.Header, r io.Reader) error {
		b, err := io.ReadAll(r)
		said += string(b)
		return err
	}))
	return said
}
