package main

import "github.com/datalayer/conda2docker/builder/graph"

// steps are what has to be executed in the image: the packages' post-link scripts, then the installation of pip's wheels. Most
// environments have neither, and are then assembled without executing anything.
func (b *build) steps(env resolved, ls layers) ([]graph.Step, error) {
	steps, err := b.postLinkSteps(env, ls.scripts)
	if err != nil || len(env.wheels) == 0 {
		return steps, err
	}
	install, err := b.installStep(env)
	return append(steps, install), err
}

// stepEnvironment is the environment of a program that runs in the prefix, besides what the builder tells every step.
func stepEnvironment(env resolved) []string {
	return []string{
		"PATH=" + prefix + "/bin:" + basePath(env.target.base), "CONDA_PREFIX=" + prefix, "CONDA_DEFAULT_ENV=base", "HOME=/root", "LANG=C.UTF-8",
		"PYTHONDONTWRITEBYTECODE=1",
	}
}
