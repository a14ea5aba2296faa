package main

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/datalayer/conda2docker/builder/graph"
	"github.com/datalayer/conda2docker/builder/layer"
	"github.com/datalayer/conda2docker/conda/activate"
	"github.com/datalayer/conda2docker/envspec"
)

// activationMode says when activation scripts are evaluated.
type activationMode string

const (
	activationBuild      activationMode = "build"
	activationEntrypoint activationMode = "entrypoint"
)

// activatable is what packages bring for being activated.
type activatable struct {
	scripts map[string]string // name below etc/conda/activate.d → package
	envVars map[string][]byte // name below etc/conda/env_vars.d → content
}

// packages are those that have scripts.
func (a activatable) packages() string {
	return strings.Join(slices.Compact(slices.Sorted(maps.Values(a.scripts))), ", ")
}

// script names a script, with its package where a package brings it.
func (a activatable) script(name string) string {
	if dist := a.scripts[name]; dist != "" {
		return name + " of " + dist
	}
	return name
}

const envVarsLimit = 1 << 20

// findActivatable reads from segments what is needed to activate the environment.
func findActivatable(ctx context.Context, cache *layer.Cache, segments []layer.Segment) (activatable, error) {
	out := activatable{scripts: map[string]string{}, envVars: map[string][]byte{}}
	for _, s := range segments {
		for _, p := range s.Package.Scripts.Activate {
			out.scripts[path.Base(p)] = s.Dist
		}
		for _, p := range s.Package.Scripts.EnvVars {
			body, err := readEntry(ctx, cache, s, p)
			if err != nil {
				return out, fmt.Errorf("reading %s of %s: %w", p, s.Dist, err)
			}
			out.envVars[path.Base(p)] = body
		}
	}
	return out, nil
}

func readEntry(ctx context.Context, cache *layer.Cache, s layer.Segment, at string) (body []byte, err error) {
	e, ok := s.Find(at)
	if !ok {
		return nil, errors.New("the package's layer does not have it")
	}
	r, err := cache.Open(ctx, s, e)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return io.ReadAll(io.LimitReader(r, envVarsLimit))
}

// activation is what activating the environment comes to in the image.
type activation struct {
	variables map[string]string // for the configuration, PATH among them where scripts change it
	dynamic   []string          // scripts that the entrypoint sources, in order, below etc/conda/activate.d
	shell     string            // that sources them
}

// activate evaluates what activating the environment sets. Nothing is executed where there are no scripts, and no steps that could
// have brought some.
func (b *build) activate(ctx context.Context, s *stage, in input, env resolved, ls layers, steps []graph.Step) (activation, error) {
	e := evaluation{build: b, stage: s, execution: execution{base: env.target.base, layers: ls.all, steps: steps, epoch: ls.epoch}, user: ls.user, from: ls.activatable}
	for _, v := range environmentOf(env, ls.user) {
		e.environment = append(e.environment, v.Name+"="+v.Value)
	}
	e.environment = append(slices.Clone(env.target.base.Config.Config.Env), e.environment...)
	e.files = activate.Files{EnvVars: ls.activatable.envVars}
	var err error
	if len(in.env.Variables) > 0 {
		if e.files.State, err = stateFile(in.env.Variables); err != nil {
			return activation{}, err
		}
	}
	out := activation{shell: "/bin/sh"}
	if env.target.base.Facts.Bash {
		out.shell = "/bin/bash"
	}
	e.shell = out.shell
	scripts := ls.activatable.packages()
	switch {
	case b.options.Activation == activationEntrypoint:
		out.dynamic = slices.Sorted(maps.Keys(ls.activatable.scripts))
		out.variables, err = e.variables()
		b.sayDynamic(out, ls.activatable, nil)
		return out, err
	case scripts == "" && len(steps) == 0:
		out.variables, err = e.variables()
		return out, err
	case !env.target.base.Facts.Shell && !env.target.base.Facts.Bash:
		if scripts != "" {
			b.console.say("warning: base image %s has no shell: what the activation scripts of %s set is not in the image", env.target.base.Ref, scripts)
		}
		out.variables, err = e.variables()
		return out, err
	}
	if err := b.needRuntime(); err != nil && scripts != "" {
		return out, fmt.Errorf("the activation scripts of %s are evaluated in the image (--activation entrypoint leaves them to containers when they start): %w", scripts, err)
	}
	findings, err := e.evaluate(ctx)
	if err != nil {
		return out, err
	}
	if scripts != "" && !env.target.base.Facts.Bash {
		b.console.say("note: base image %s has no bash: /bin/sh evaluates the activation scripts of %s", env.target.base.Ref, scripts)
	}
	return b.apply(out, e, findings)
}

// apply puts together what the files and the scripts set.
func (b *build) apply(out activation, e evaluation, findings []activate.Finding) (activation, error) {
	var err error
	if out.variables, err = e.variables(); err != nil {
		return out, err
	}
	current := e.base()
	maps.Copy(current, out.variables)
	why := map[string]activate.Finding{}
	for _, f := range findings {
		if f.Said != "" {
			b.console.say("note: activation script %s says: %s", e.from.script(f.Name), f.Said)
		}
		switch {
		case f.Ended:
			b.console.say("warning: activation script %s is left out: it ends the shell that sources it", e.from.script(f.Name))
			continue
		case f.Dynamic != "":
			out.dynamic = append(out.dynamic, f.Name)
			why[f.Name] = f
			continue
		}
		for _, name := range sortedKeys(f.Changes) {
			if f.Changes[name].Unset {
				delete(current, name)
				delete(out.variables, name)
				continue
			}
			current[name] = f.Changes[name].Apply(current[name])
			out.variables[name] = current[name]
			if envspec.CredentialName(name) {
				b.console.say("warning: activation script %s sets %s, which is the name of a credential: everybody who can pull the image reads it", e.from.script(f.Name), name)
			}
		}
	}
	b.sayDynamic(out, e.from, why)
	return out, nil
}

// sayDynamic tells which scripts are left to the entrypoint, and what follows from that.
func (b *build) sayDynamic(a activation, from activatable, why map[string]activate.Finding) {
	for _, name := range a.dynamic {
		said := "note: activation script " + from.script(name) + " is sourced by the entrypoint when a container starts"
		if f, ok := why[name]; ok {
			said += ": " + f.Dynamic
			if names := sortedKeys(f.Changes); len(names) > 0 {
				said += "; \"kubectl exec\" and probes do not see what it sets (" + strings.Join(names, ", ") + ")"
			}
		}
		b.console.say("%s", said)
	}
}

// entrypoint is the command that sources the dynamic scripts, and then becomes the command that follows it; nil where there are none.
// It is written out in the configuration, so that it needs no file in the image. Scripts are sourced in a function, as conda does:
// what they do to the arguments is theirs alone.
func (a activation) entrypoint() []string {
	if len(a.dynamic) == 0 {
		return nil
	}
	var text strings.Builder
	text.WriteString("activate() { . \"$1\"; }\n")
	for _, name := range a.dynamic {
		fmt.Fprintf(&text, "activate '%s/etc/conda/activate.d/%s'\n", prefix, strings.ReplaceAll(name, "'", `'\''`))
	}
	text.WriteString("set +eu\nexec \"$@\"\n")
	return []string{a.shell, "-c", text.String(), "conda2docker-entrypoint"}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// evaluation runs the activation scripts in the image as it will be.
type evaluation struct {
	build       *build
	stage       *stage
	execution   execution // the image
	user        user
	from        activatable
	environment []string       // "NAME=value", of the image without being activated
	files       activate.Files // that name variables
	shell       string
}

// variables are those that files set; what is wrong with the files is said once.
func (e evaluation) variables() (map[string]string, error) {
	set, warnings, err := e.files.Variables()
	for _, w := range warnings {
		e.build.console.say("warning: %s", w)
	}
	return set, err
}

// base is the environment before anything is activated, as a map.
func (e evaluation) base() map[string]string {
	out := map[string]string{}
	for _, kv := range e.environment {
		name, value, _ := strings.Cut(kv, "=")
		out[name] = value
	}
	return out
}

// evaluate runs the scripts until nothing about them is open: with the variables of the files that are in the image, which steps may
// have changed, and without those scripts that end the shell.
func (e *evaluation) evaluate(ctx context.Context) ([]activate.Finding, error) {
	var ended []activate.Finding
	for {
		set, _, err := e.files.Variables()
		if err != nil {
			return nil, err
		}
		first, err := e.record(ctx, firstVisitor(e.user), set, ended)
		if err != nil {
			return nil, err
		}
		now, _, err := first.Files.Variables()
		if err != nil {
			return nil, err
		}
		e.files = first.Files
		if !maps.Equal(set, now) {
			continue
		}
		if len(first.Scripts) == 0 {
			return ended, nil
		}
		second, err := e.record(ctx, secondVisitor(), set, ended)
		if err != nil {
			return nil, err
		}
		fixed := e.base()
		findings, err := activate.Evaluate([]activate.Recording{first, second}, func(name string) bool { _, ok := fixed[name]; return ok })
		if err != nil {
			return nil, err
		}
		last := findings[len(findings)-1]
		if !last.Ended {
			return slices.Concat(ended, findings), nil
		}
		ended = append(ended, last)
	}
}

// visitor is who runs the scripts, where and when.
type visitor struct {
	user, home, name, terminal, host, dir string
	wait                                  string // seconds
}

// firstVisitor is who the image is made for.
func firstVisitor(u user) visitor {
	return visitor{user: u.ID(), home: u.Home, name: u.Name, terminal: "dumb", host: "one-container", dir: "/", wait: "0"}
}

// secondVisitor is somebody else, elsewhere and later: as a cluster does it that gives every container a number of its own.
func secondVisitor() visitor {
	return visitor{user: "123456:0", home: "/tmp/elsewhere", name: "nobody-known", terminal: "xterm-256color", host: "another-container", dir: "/tmp", wait: "1"}
}

const recorderPath = "/run/conda2docker/activate.sh"

// record runs the scripts once. The root cannot be written, as in many clusters.
func (e *evaluation) record(ctx context.Context, v visitor, variables map[string]string, ended []activate.Finding) (activate.Recording, error) {
	x := e.execution
	step := graph.Step{
		Name: "evaluate the activation scripts as " + v.user, User: v.user, Dir: v.dir, Hostname: v.host, ReadOnly: true,
		Args:  []string{e.shell, "-c", "sleep " + v.wait + "\n" + e.shell + " \"$0\" \"$@\"\n:", recorderPath, graph.OutputDir},
		Env:   slices.Clone(e.environment),
		Files: []graph.File{{Path: recorderPath, Body: activate.Program()}},
	}
	step.Env = append(step.Env, "HOME="+v.home, "USER="+v.name, "TERM="+v.terminal)
	for _, name := range sortedKeys(variables) {
		step.Env = append(step.Env, name+"="+variables[name])
	}
	for _, f := range ended {
		step.Args = append(step.Args, f.Name)
	}
	x.steps = append(slices.Clip(x.steps), step)
	files := map[string][]byte{}
	err := e.build.execute(ctx, e.stage, x, func(h *tar.Header, r io.Reader) error {
		body, err := io.ReadAll(io.LimitReader(r, envVarsLimit))
		files[h.Name] = body
		return err
	})
	if err != nil {
		return activate.Recording{}, err
	}
	return activate.ReadRecording(files)
}
