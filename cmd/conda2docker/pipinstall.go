package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/datalayer/conda2docker/builder/graph"
	"github.com/datalayer/conda2docker/conda/pip"
	condaversion "github.com/datalayer/conda2docker/conda/version"
)

const (
	installerPath = "/run/conda2docker/install.py"
	planPath      = "/run/conda2docker/install.json"
	wheelsPath    = "/run/conda2docker/wheels"
)

// wheelInstaller runs pip, and makes the result one that depends on the wheels alone.
//
//go:embed pipinstall.py
var wheelInstaller []byte

// installPlan is what the installer does with a distribution after pip.
type installPlan struct {
	Implied   bool       `json:"implied"`
	DirectURL *directURL `json:"direct_url"`
}

// directURL is what pip notes of a package that was asked for by its URL (PEP 610).
type directURL struct {
	URL     string `json:"url"`
	Archive struct {
		Hashes map[string]string `json:"hashes"`
	} `json:"archive_info"`
}

// installStep installs the wheels without a network. It depends on their bytes, and on nothing that this machine has set.
func (b *build) installStep(env resolved) (graph.Step, error) {
	wheels := slices.Clone(env.wheels)
	slices.SortFunc(wheels, func(a, b wheel) int { return strings.Compare(pip.NormalName(a.Name), pip.NormalName(b.Name)) })
	var requirements strings.Builder
	names := make([]string, len(wheels))
	plan := map[string]installPlan{}
	step := graph.Step{
		Args: []string{prefix + "/bin/python", installerPath, planPath, requirementsPath, wheelsPath},
		Env:  append(stepEnvironment(env), "PIP_CONFIG_FILE=/dev/null", "PYTHONHASHSEED=0"),
		Dir:  prefix,
	}
	for i, w := range wheels {
		names[i] = w.Name
		fmt.Fprintf(&requirements, "%s==%s --hash=sha256:%s\n", w.Name, w.Version, w.sha256)
		of := installPlan{Implied: w.implied}
		if w.direct != "" {
			of.DirectURL = &directURL{URL: w.direct}
			of.DirectURL.Archive.Hashes = map[string]string{"sha256": w.sha256}
		}
		plan[pip.NormalName(w.Name)] = of
		step.Files = append(step.Files, graph.File{
			Path: path.Join(wheelsPath, archivedName(w.path)), Source: w.path, Digest: digest.NewDigestFromEncoded(digest.SHA256, w.sha256),
		})
	}
	step.Name = "pip section: " + strings.Join(names, ", ")
	if !b.withBytecode() || !compilesWithHashes(env) {
		step.Args = append(step.Args, "--no-compile")
	}
	if pipAtLeast(env, "22.1") {
		step.Args = append(step.Args, "--root-user-action=ignore")
	}
	body, err := json.Marshal(plan)
	step.Files = append(step.Files, graph.File{Path: installerPath, Body: wheelInstaller}, graph.File{Path: planPath, Body: body},
		graph.File{Path: requirementsPath, Body: []byte(requirements.String())})
	return step, err
}

// pipAtLeast reports whether the environment's pip is that version or newer.
func pipAtLeast(env resolved, least string) bool {
	r := pipRecord(env.records)
	return r != nil && r.Version.Compare(condaversion.MustParse(least)) >= 0
}

// compilesWithHashes reports whether python's compiled files can be independent of times (PEP 552).
func compilesWithHashes(env resolved) bool {
	py := pythonOf(env.records)
	if py == nil {
		return false
	}
	v, err := condaversion.Parse(py.Version)
	return err == nil && v.Compare(condaversion.MustParse("3.7")) >= 0
}
