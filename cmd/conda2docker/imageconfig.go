package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/urfave/cli/v2"

	"github.com/datalayer/conda2docker/builder"
	"github.com/datalayer/conda2docker/builder/base"
	"github.com/datalayer/conda2docker/conda/lock"
	"github.com/datalayer/conda2docker/envspec"
)

// Labels of ours, which the manifest has as annotations too.
const (
	labelLock       = "io.datalayer.conda2docker.lock-digest" // of the evidence's conda-lock.yml
	labelActivation = "io.datalayer.conda2docker.activation"  // the scripts that the entrypoint sources
)

// configuration is what the flags say of the image's own configuration.
type configuration struct {
	Profile    string // "": the settings'
	Activation activationMode
	AllowEnv   []string // names of variables that may look like credentials
	Source     string
	Revision   string
	Labels     map[string]string
}

func configurationFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "profile", Usage: profileUsage},
		&cli.StringFlag{Name: "activation", Value: string(activationBuild), Usage: "build: evaluate activation scripts once, for the image's environment; entrypoint: leave them to containers when they start"},
		&cli.StringSliceFlag{Name: "allow-env", Usage: "`NAME` of a variable that may be in the image although it looks like a credential; may be repeated"},
		&cli.StringFlag{Name: "source", Usage: "`URL` of what the image is made from, for its labels"},
		&cli.StringFlag{Name: "revision", Usage: "`REVISION` of that, such as a commit, for its labels"},
		&cli.StringSliceFlag{Name: "label", Usage: "`KEY=VALUE` for the image's labels and annotations; may be repeated"},
	}
}

// parseConfiguration checks the flags of configurationFlags.
func parseConfiguration(c *cli.Context) (configuration, error) {
	out := configuration{Profile: c.String("profile"), AllowEnv: c.StringSlice("allow-env"), Source: c.String("source"), Revision: c.String("revision")}
	var err error
	if out.Activation, err = parseEither(c.String("activation"), activationBuild, activationEntrypoint); err != nil {
		return out, fmt.Errorf("--activation: %w", err)
	}
	if err := errors.Join(envspec.CheckLabel("--source", out.Source), envspec.CheckLabel("--revision", out.Revision)); err != nil {
		return out, err
	}
	if out.Labels, err = parseLabels(c.StringSlice("label")); err != nil {
		return out, fmt.Errorf("--label: %w", err)
	}
	return out, nil
}

// imageConfig is what the image says of how it is run, and of where it comes from.
func (b *build) imageConfig(in input, env resolved, ls layers, act activation) (builder.Config, error) {
	variables := environmentOf(env, ls.user)
	for _, name := range sortedKeys(act.variables) {
		variables = append(variables, builder.Variable{Name: name, Value: act.variables[name]})
	}
	if in.overlay != nil {
		for _, v := range in.overlay.Env() {
			variables = append(variables, builder.Variable{Name: v.Name, Value: v.Value})
		}
	}
	labels, err := b.labels(in, env, ls, act)
	if err != nil {
		return builder.Config{}, err
	}
	entrypoint, cmd, err := b.start(env, act)
	return builder.Config{
		Env: variables, User: ls.user.ID(), WorkingDir: ls.user.Home, Labels: labels, Annotations: labels,
		Entrypoint: entrypoint, Cmd: cmd, Plain: b.profile.Launched,
	}, err
}

// environmentOf is the environment of every image, before anything is activated. USER is there for the programs that ask who they run
// as where the number is in no list of accounts.
func environmentOf(env resolved, u user) []builder.Variable {
	return []builder.Variable{
		{Name: "PATH", Value: prefix + "/bin:" + basePath(env.target.base)},
		{Name: "CONDA_PREFIX", Value: prefix},
		{Name: "CONDA_DEFAULT_ENV", Value: "base"},
		{Name: "HOME", Value: u.Home},
		{Name: "USER", Value: u.Name},
		{Name: "LANG", Value: "C.UTF-8"},
		{Name: "TZ", Value: "UTC"},
	}
}

// basePath is the search path that the base image has, without the environment's own.
func basePath(img base.Image) string {
	for _, kv := range img.Config.Config.Env {
		if p, ok := strings.CutPrefix(kv, "PATH="); ok && p != "" {
			return p
		}
	}
	return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
}

// start is how containers are started: nil keeps the base's ways. What the base starts comes after what is ours.
func (b *build) start(env resolved, act activation) (entrypoint, cmd []string, err error) {
	img := env.target.base
	own := img.Config.Config
	if b.profile.Launched && !startsInit(own.Entrypoint) {
		init, err := initPath(img, env.records)
		if err != nil {
			return nil, nil, err
		}
		entrypoint = []string{init, "--"}
	}
	entrypoint = append(entrypoint, act.entrypoint()...)
	cmd = own.Cmd
	if b.profile.Launched && len(own.Entrypoint) == 0 && endsAlone(cmd) {
		cmd = []string{"python", "-c", "import signal; signal.pause()"}
		if img.Facts.Sleep {
			cmd = []string{"sleep", "infinity"}
		}
	}
	if len(entrypoint) == 0 {
		return nil, nil, nil
	}
	return append(entrypoint, own.Entrypoint...), cmd, nil
}

// endsAlone reports whether a base's command ends at once in a container that nobody is attached to: there is none, or it is a shell.
func endsAlone(cmd []string) bool {
	return len(cmd) == 0 || len(cmd) == 1 && strings.HasSuffix(cmd[0], "sh")
}

// labels say where the image comes from. Nothing is read from a repository that the files may be in: the same input makes the same
// image, wherever it lies.
func (b *build) labels(in input, env resolved, ls layers, act activation) (map[string]string, error) {
	locked, err := lockBody(env.evidenceLock(), lock.CondaLock)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(locked)
	labels := map[string]string{
		ocispecs.AnnotationCreated:         ls.epoch.UTC().Format(time.RFC3339),
		ocispecs.AnnotationBaseImageDigest: env.target.original.Digest.String(),
		labelLock:                          "sha256:" + hex.EncodeToString(sum[:]),
	}
	set := func(key, value string) {
		if value != "" {
			labels[key] = value
		}
	}
	if env.target.original.Repository != "" { // a folder of this machine is nobody else's name for it
		set(ocispecs.AnnotationBaseImageName, env.target.original.Ref)
	}
	set(ocispecs.AnnotationTitle, in.env.Name)
	if in.overlay != nil {
		set(ocispecs.AnnotationTitle, in.overlay.Title())
	}
	set(labelActivation, strings.Join(act.dynamic, " "))
	set(ocispecs.AnnotationSource, b.options.Source)
	set(ocispecs.AnnotationRevision, b.options.Revision)
	maps.Copy(labels, b.options.Labels)
	return labels, nil
}

// parseLabels reads KEY=VALUE, each.
func parseLabels(texts []string) (map[string]string, error) {
	labels := map[string]string{}
	for _, t := range texts {
		key, value, ok := strings.Cut(t, "=")
		if !ok || key == "" || strings.ContainsAny(key, " \t\r\n[]") {
			return nil, fmt.Errorf("%q: want KEY=VALUE", t)
		}
		if _, twice := labels[key]; twice {
			return nil, fmt.Errorf("%s: given twice", key)
		}
		if reservedLabel(key) {
			return nil, fmt.Errorf("%s: its value is found out by the build", key)
		}
		if err := envspec.CheckLabel(key, value); err != nil {
			return nil, err
		}
		labels[key] = value
	}
	return labels, nil
}

// reservedLabel reports whether a label says what only the build knows.
func reservedLabel(key string) bool {
	return strings.HasPrefix(key, "io.datalayer.conda2docker.") || key == ocispecs.AnnotationCreated ||
		key == ocispecs.AnnotationBaseImageName || key == ocispecs.AnnotationBaseImageDigest
}
