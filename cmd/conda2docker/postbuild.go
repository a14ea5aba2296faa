package main

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/datalayer/conda2docker/builder/graph"
)

//go:embed postbuild.sh
var postBuildRunner []byte

const (
	postBuildName       = "postBuild"
	postBuildPath       = "/run/conda2docker/postBuild"
	postBuildRunnerPath = "/run/conda2docker/activated.sh"
	postBuildLimit      = 1 << 20
)

// checkPostBuild refuses what the kernel could not execute.
func checkPostBuild(file string) error {
	body, err := os.ReadFile(file)
	switch {
	case err != nil:
		return err
	case len(body) > postBuildLimit:
		return fmt.Errorf("%s has %s: a script of at most %s is wanted; programs are copied with --copy", file, bytesize(int64(len(body))), bytesize(postBuildLimit))
	case !bytes.HasPrefix(body, []byte("#!")):
		return fmt.Errorf("%s does not say which program runs it: its first line must be like #!/bin/bash", file)
	case bytes.ContainsRune(bytes.SplitN(body, []byte("\n"), 2)[0], '\r'):
		return errors.New(file + " has Windows' line ends, which are no part of a program's name")
	}
	return nil
}

// postBuildStep runs the script as root, last, in the activated environment. Its bytes are what it is recognised by.
func (b *build) postBuildStep(in input, env resolved) ([]graph.Step, error) {
	if b.options.PostBuild == "" {
		return nil, nil
	}
	body, err := os.ReadFile(b.options.PostBuild)
	if err != nil {
		return nil, fmt.Errorf("reading postBuild: %w", err)
	}
	step := graph.Step{
		Name: postBuildName, Args: []string{postBuildPath}, Network: b.options.PostBuildNet,
		Env:   append(slices.Clone(env.target.base.Config.Config.Env), stepEnvironment(env)...),
		Files: []graph.File{{Path: postBuildPath, Mode: 0o555, Body: body}},
	}
	for _, v := range in.env.Variables {
		step.Env = append(step.Env, v.Name+"="+v.Value)
	}
	if env.target.base.Facts.Bash {
		step.Args = []string{"/bin/bash", postBuildRunnerPath, postBuildPath}
		step.Files = append(step.Files, graph.File{Path: postBuildRunnerPath, Body: postBuildRunner})
	}
	return []graph.Step{step}, nil
}
