package main

import (
	"flag"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/datalayer/conda2docker/builder/engine"
)

var update = flag.Bool("update", false, "write what the scripts' goldens should be") //nolint:gochecknoglobals // a flag of the test binary

// TestMain makes the test binary the program itself: scripts run it, and it runs itself as the embedded engine.
func TestMain(m *testing.M) {
	engine.ChildMain()
	testscript.Main(m, map[string]func(){"conda2docker": main})
}

// TestScript runs the scripts, each in a world of its own: a generated channel, generated base images, a registry, a database of
// advisories, and an empty cache.
func TestScript(t *testing.T) {
	t.Parallel()
	bases, db := t.TempDir(), t.TempDir()
	digest := writeBases(t, bases)
	writeAdvisories(t, db)
	testscript.Run(t, testscript.Params{
		Dir:                "testdata/script",
		UpdateScripts:      *update,
		RequireUniqueNames: true,
		Cmds:               scriptCommands(),
		Setup: func(env *testscript.Env) error {
			env.Setenv("BASE_DIGEST", digest)
			return newWorld(env, settingsFile{CPU: bases + "/cpu", CUDA: bases + "/cuda", DB: db})
		},
	})
}
