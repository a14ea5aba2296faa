package main

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/datalayer/conda2docker/builder/graph"
	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/lock"
	"github.com/datalayer/conda2docker/conda/pip"
	"github.com/datalayer/conda2docker/envspec"
)

// Where pip finds what it is given; nothing of it stays in the image.
const (
	requirementsPath   = "/run/conda2docker/requirements.txt"
	pipSecretID        = "pip-requirements"
	pipSecretPath      = "/run/conda2docker/pip/requirements.txt" //nolint:gosec // where it is, not what
	constraintSecretID = "pip-constraints"
	constraintPath     = "/run/conda2docker/pip/constraints.txt"
	localPath          = "/run/conda2docker/local/" // + number + "/" + name
	reportName         = "report.json"
)

// pipStep is a run of pip that leaves nothing in the image. What is downloaded is not kept in memory, as /tmp is.
func (p *pipSection) pipStep(name string, args ...string) graph.Step {
	return graph.Step{
		Name: name,
		Args: append([]string{prefix + "/bin/python", "-m", "pip"}, args...),
		Env:  append(stepEnvironment(p.env), "TMPDIR="+graph.OutputDir),
		Dir:  prefix, ReadOnly: true,
	}
}

// ask has pip choose what the section wants.
func (p *pipSection) ask(ctx context.Context) ([]lock.PipPackage, error) {
	sources, err := p.localSources(ctx)
	if err != nil {
		return nil, err
	}
	shown, secret := p.requirements(sources)
	step := p.asking("pip section: " + pipNames(p.in.env.Pip))
	step.Args = append(step.Args, "-U", "--exists-action=b", "-r", pipSecretPath)
	// The file is what the step is recognised by: without secrets and without this machine's own index.
	step.Files = []graph.File{{Path: requirementsPath, Body: []byte(shown)}}
	step.Secrets = []graph.Secret{{ID: pipSecretID, Path: pipSecretPath}}
	secrets := map[string][]byte{pipSecretID: []byte(secret)}
	constraints := linesOf(p.in.env.PipConstraints, envspec.Requirement.Line) + strings.Join(append(slices.Clone(p.kept), ""), "\n")
	if constraints != "" {
		step.Args = append(step.Args, "-c", constraintPath)
		step.Secrets = append(step.Secrets, graph.Secret{ID: constraintSecretID, Path: constraintPath})
		secrets[constraintSecretID] = []byte(constraints)
	}
	for i, s := range sources {
		step.Files = append(step.Files, s.file(i))
	}
	chosen, err := p.reported(ctx, step, secrets)
	if err != nil {
		return nil, fmt.Errorf("pip section: %w", err)
	}
	out := make([]lock.PipPackage, len(chosen))
	for i, c := range chosen {
		if out[i], err = p.lockable(c, sources); err != nil {
			return nil, fmt.Errorf("pip section: %w", err)
		}
	}
	return out, nil
}

// asking is a run of pip that has the network, and only says what it would install. It is asked anew each time: so are channels.
func (p *pipSection) asking(name string) graph.Step {
	step := p.pipStep(name, "install", "--dry-run", "--report", graph.OutputDir+"/"+reportName, "--no-input", "--disable-pip-version-check",
		"--no-cache-dir", "--root-user-action=ignore")
	step.Network = true
	step.Env = append(step.Env, "CONDA2DOCKER_ASKED="+p.console.now().UTC().Format(time.RFC3339Nano))
	return step
}

// reported runs a step that asks, and reads the answer.
func (p *pipSection) reported(ctx context.Context, step graph.Step, secrets map[string][]byte) ([]pip.Package, error) {
	e := p.root
	e.steps, e.secrets = append(slices.Clip(e.steps), step), secrets
	var out []pip.Package
	found := false
	err := p.execute(ctx, p.stage, e, func(h *tar.Header, r io.Reader) (err error) {
		if h.Name == reportName {
			found = true
			out, err = pip.ReadReport(r)
		}
		return err
	})
	if err == nil && !found {
		err = errors.New("pip has not said what it would install")
	}
	return out, err
}

// lockable is what pip has chosen, as a lock has it.
func (p *pipSection) lockable(c pip.Package, sources []localSource) (lock.PipPackage, error) {
	k := lock.PipPackage{
		Name: pip.NormalName(c.Name), Version: c.Version, URL: c.URL, SHA256: c.SHA256, Category: lock.Main, Implied: !c.Requested,
		RequiresPython: c.RequiresPython, Depends: dependsOf(c.Depends),
	}
	u, err := url.Parse(c.URL)
	if err != nil {
		return k, fmt.Errorf("%s %s comes from a URL that does not parse", c.Name, c.Version)
	}
	switch {
	case u.Scheme == "http" || u.Scheme == "https":
		if c.Direct {
			k.Source = conda.WithoutCredentials(c.URL)
		}
		return k, nil
	case u.Scheme == "file" && strings.HasPrefix(u.Path, localPath):
		number, _, _ := strings.Cut(strings.TrimPrefix(u.Path, localPath), "/")
		if i, err := strconv.Atoi(number); err == nil && i < len(sources) {
			k.URL, k.SHA256 = p.relative(sources[i].path), sources[i].sha256
			return k, nil
		}
	}
	return k, fmt.Errorf("%s %s comes from %s, which is neither on an index nor on this machine", c.Name, c.Version, conda.WithoutCredentials(c.URL))
}

var requirementParts = regexp.MustCompile(`^\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*\(?([^;()@]*)\)?`)

// dependsOf are the requirements of a distribution's metadata that hold without extras, as "name constraint".
func dependsOf(requires []string) []string {
	var out []string
	for _, r := range requires {
		_, marker, _ := strings.Cut(r, ";")
		if m := requirementParts.FindStringSubmatch(r); m != nil && !strings.Contains(marker, "extra") {
			out = append(out, strings.TrimSpace(pip.NormalName(m[1])+" "+strings.ReplaceAll(m[2], " ", "")))
		}
	}
	return out
}

// requirements are the pip section as a requirements file: as it may be shown, and as pip is given it, with credentials, the index
// that this machine's settings name, and its files where the step has them.
func (p *pipSection) requirements(sources []localSource) (shown, secret string) {
	var public, private strings.Builder
	private.WriteString(p.indexes())
	for _, o := range p.in.env.PipOptions {
		fmt.Fprintln(&public, o)
		if !isIndexOption(o) {
			fmt.Fprintln(&private, strings.TrimSpace(o.Flag+" "+o.Value()))
		}
	}
	for _, r := range p.in.env.Pip {
		fmt.Fprintln(&public, r, strings.Join(r.Hashes, " "))
		line := r.Line()
		if i := slices.IndexFunc(sources, func(s localSource) bool { return s.path == r.Local }); r.Local != "" && i >= 0 {
			line = r.At(sources[i].file(i).Path)
		}
		fmt.Fprintln(&private, line)
	}
	public.WriteString(linesOf(p.in.env.PipConstraints, envspec.Requirement.String))
	return public.String(), private.String()
}

// linesOf is a line of each requirement.
func linesOf(requirements []envspec.Requirement, line func(envspec.Requirement) string) string {
	var b strings.Builder
	for _, r := range requirements {
		b.WriteString(line(r) + "\n")
	}
	return b.String()
}

// buildRequiresPath is what pip is asked for to build with.
const buildRequiresPath = "/run/conda2docker/build-requires.txt"

// findBuildPackages has pip choose the wheels that source distributions are built with, where that is not known yet.
func (p *pipSection) findBuildPackages(ctx context.Context, files []pipFile) error {
	known := map[string][]lock.BuildPackage{}
	for i, f := range files {
		if !pip.IsSource(path.Base(f.path)) || f.Build != nil {
			continue
		}
		requires, err := pip.BuildRequires(f.path)
		if err != nil {
			return fmt.Errorf("%s %s: %w", f.Name, f.Version, err)
		}
		key := strings.Join(requires, "\n")
		if _, ok := known[key]; !ok {
			if known[key], err = p.askToBuild(ctx, f, requires); err != nil {
				return fmt.Errorf("finding what %s %s is built with: %w", f.Name, f.Version, err)
			}
		}
		files[i].Build = known[key]
	}
	return nil
}

func (p *pipSection) askToBuild(ctx context.Context, f pipFile, requires []string) ([]lock.BuildPackage, error) {
	out := []lock.BuildPackage{}
	if len(requires) == 0 {
		return out, nil
	}
	if p.options.Offline {
		return nil, errors.New("the lock does not say it, and pip needs the network to choose it: build without --offline once")
	}
	if p.env.locked {
		p.console.say("note: the lock does not say what %s %s is built with: pip chooses it (%s)", f.Name, f.Version, strings.Join(requires, ", "))
	}
	step := p.asking(fmt.Sprintf("pip: what %s %s is built with", f.Name, f.Version))
	step.Args = append(step.Args, "--ignore-installed", "--only-binary=:all:", "-r", buildRequiresPath, "-r", pipSecretPath)
	step.Files = []graph.File{{Path: buildRequiresPath, Body: []byte(strings.Join(requires, "\n") + "\n")}}
	step.Secrets = []graph.Secret{{ID: pipSecretID, Path: pipSecretPath}}
	chosen, err := p.reported(ctx, step, map[string][]byte{pipSecretID: []byte("# where to look\n" + p.indexes())})
	if err != nil {
		return nil, err
	}
	for _, c := range chosen {
		out = append(out, lock.BuildPackage{Name: pip.NormalName(c.Name), Version: c.Version, URL: conda.WithoutCredentials(c.URL), SHA256: c.SHA256})
	}
	slices.SortFunc(out, func(a, b lock.BuildPackage) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}
