package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/datalayer/conda2docker/builder/graph"
	"github.com/datalayer/conda2docker/envspec"
)

// Where a step finds what it is given; nothing of it stays in the image.
const (
	requirementsPath = "/run/conda2docker/requirements.txt"
	pipSecretID      = "pip-requirements"
	pipSecretPath    = "/run/conda2docker/pip/requirements.txt" //nolint:gosec // where it is, not what
)

// steps are what has to be executed in the image: the packages' post-link scripts, then the pip section. Most environments have
// neither, and are then assembled without executing anything.
func (b *build) steps(in input, env resolved, ls layers) ([]graph.Step, map[string][]byte, error) {
	steps, err := b.postLinkSteps(env, ls.scripts)
	if err != nil {
		return nil, nil, err
	}
	if len(in.env.Pip) == 0 {
		return steps, nil, nil
	}
	shown, secret := b.requirements(in.env)
	steps = append(steps, graph.Step{
		Name: "pip section: " + pipNames(in.env.Pip),
		Args: []string{
			prefix + "/bin/python", "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--no-cache-dir", "--no-compile",
			"--root-user-action=ignore", "--no-warn-script-location", "-U", "--exists-action=b", "-r", pipSecretPath,
		},
		Env: stepEnvironment(env),
		Dir: prefix, Network: true,
		// The file is what the step is recognised by: without secrets and without this machine's own index.
		Files:   []graph.File{{Path: requirementsPath, Body: []byte(shown)}},
		Secrets: []graph.Secret{{ID: pipSecretID, Path: pipSecretPath}},
	})
	return steps, map[string][]byte{pipSecretID: []byte(secret)}, nil
}

// stepEnvironment is the environment of a program that runs in the prefix, besides what the builder tells every step.
func stepEnvironment(env resolved) []string {
	return []string{
		"PATH=" + prefix + "/bin:" + basePath(env.target.base), "CONDA_PREFIX=" + prefix, "CONDA_DEFAULT_ENV=base", "HOME=/root", "LANG=C.UTF-8",
		"PYTHONDONTWRITEBYTECODE=1",
	}
}

// requirements are the pip section as a requirements file: as it may be shown, and as pip is given it, with credentials and the
// index that this machine's settings name.
func (b *build) requirements(env envspec.Environment) (shown, secret string) {
	var public, private strings.Builder
	own := slices.ContainsFunc(env.PipOptions, func(o envspec.PipOption) bool { return o.Flag == "--index-url" || o.Flag == "--no-index" })
	if b.settings.Pip.Index != "" && !own {
		fmt.Fprintln(&private, "--index-url "+b.settings.Pip.Index) // first: to pip, it takes the place of all indexes before it
	}
	for _, o := range env.PipOptions {
		fmt.Fprintln(&public, o)
		fmt.Fprintln(&private, strings.TrimSpace(o.Flag+" "+o.Value()))
	}
	for _, r := range env.Pip {
		fmt.Fprintln(&public, r.Text, strings.Join(r.Hashes, " "))
		fmt.Fprintln(&private, r.Line())
	}
	return public.String(), private.String()
}

func pipNames(requirements []envspec.Requirement) string {
	names := make([]string, len(requirements))
	for i, r := range requirements {
		names[i] = r.Name
	}
	return strings.Join(names, ", ")
}
