package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/datalayer/conda2docker/builder/base"
	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/matchspec"
	"github.com/datalayer/conda2docker/envspec"
)

// profile says what an image is for: who it runs as, and what is expected of it.
type profile struct {
	Name string
	User string // the account that it runs as; "" takes the base's, where that has one with the number
	// Launched images are started by a service that puts a kernel in them: PID 1 hands signals on and reaps processes, the command
	// stays, python can run a kernel, and nothing of the base makes a container differ from its neighbours (VOLUME, STOPSIGNAL).
	Launched bool
	Reserved string // a folder that the service brings itself
}

// profiles are those that can be named, the default one first.
func profiles() []profile {
	return []profile{
		{Name: "generic"},
		{Name: "datalayer", User: "datalayer", Launched: true, Reserved: "/opt/datalayer"},
		{Name: "jovyan", User: "jovyan", Launched: true},
	}
}

const profileUsage = "what the image is for: generic, or datalayer or jovyan, for services that start kernels in it (default: that of the settings, else generic)"

// parseProfile finds the profile of a name; "" is the default one.
func parseProfile(name string) (profile, error) {
	all := profiles()
	i := slices.IndexFunc(all, func(p profile) bool { return p.Name == cmp.Or(name, all[0].Name) })
	if i < 0 {
		names := make([]string, len(all))
		for i, p := range all {
			names[i] = p.Name
		}
		return profile{}, fmt.Errorf("%q: want one of %s", name, strings.Join(names, ", "))
	}
	return all[i], nil
}

// chooseProfile is that of the flag, else of the settings.
func (s settings) chooseProfile(flag string) (profile, error) {
	p, err := parseProfile(cmp.Or(flag, s.Profile))
	if err != nil && flag != "" {
		return p, usageError{fmt.Errorf("--profile: %w", err)}
	}
	if err != nil {
		return p, usageError{fmt.Errorf("reading settings: profile: %w", err)}
	}
	return p, nil
}

// initPackage is the conda package of the program that is PID 1.
const initPackage = "tini"

// withInit is the input with the package of the init among what is asked for, where the profile wants one and the base has none.
func (b *build) withInit(in input, baseHas bool) input {
	if !b.profile.Launched || baseHas || in.lock != nil || slices.ContainsFunc(in.env.Dependencies, asksForInit) {
		return in
	}
	in.env.Dependencies = append(slices.Clip(in.env.Dependencies), envspec.Dependency{
		Spec: matchspec.Spec{Name: initPackage}, Text: initPackage, Implied: true,
	})
	return in
}

func asksForInit(d envspec.Dependency) bool { return d.Spec.Name == initPackage }

// likeLock is the input as a lock was made from it: one that was made for a base without an init fits one with it, too.
func (b *build) likeLock(in input, specs []matchspec.Spec) input {
	asked := slices.ContainsFunc(specs, func(s matchspec.Spec) bool { return s.Name == initPackage })
	return b.withInit(in, !asked)
}

// initPath is where the program is that is PID 1.
func initPath(img base.Image, records []*conda.Record) (string, error) {
	switch {
	case img.Facts.Tini != "":
		return img.Facts.Tini, nil
	case hasPackage(records, initPackage):
		return prefix + "/bin/" + initPackage, nil
	}
	return "", fmt.Errorf("the image is to be started by %s, and neither base image %s nor the environment has it: add %s to the dependencies", initPackage, img.Ref, initPackage)
}

func hasPackage(records []*conda.Record, name string) bool {
	return slices.ContainsFunc(records, func(r *conda.Record) bool { return string(r.Name) == name })
}

// startsInit reports whether the base starts an init by itself.
func startsInit(entrypoint []string) bool {
	return len(entrypoint) > 0 && slices.Contains([]string{"tini", "tini-static", "dumb-init", "catatonit", "docker-init"}, path.Base(entrypoint[0]))
}

// checkProfile finds what the profile expects and the image will lack, before anything is built.
func (b *build) checkProfile(in input, env resolved) error {
	if !b.profile.Launched {
		return nil
	}
	img := env.target.base
	if _, err := initPath(img, env.records); err != nil && !startsInit(img.Config.Config.Entrypoint) {
		return err
	}
	var missing []string
	for _, name := range []string{"python", "pip", "ipykernel", "jupyter_client"} {
		if !hasPackage(env.records, name) && !slices.ContainsFunc(in.env.Pip, func(r envspec.Requirement) bool {
			return strings.EqualFold(strings.ReplaceAll(r.Name, "-", "_"), name)
		}) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		b.console.say("warning: profile %s: the environment lacks what a kernel is started with: %s", b.profile.Name, strings.Join(missing, ", "))
	}
	if !img.Facts.Certificates && !hasPackage(env.records, "ca-certificates") && !hasPackage(env.records, "certifi") {
		b.console.say("warning: profile %s: neither the base image nor the environment has the certificates of authorities (ca-certificates): no https from the container", b.profile.Name)
	}
	if dropped := b.dropped(img); len(dropped) > 0 {
		b.console.say("warning: profile %s: what base image %s says of this is left out: %s", b.profile.Name, img.Ref, strings.Join(dropped, ", "))
	}
	return nil
}

// dropped are the instructions of the base that the image does not inherit.
func (b *build) dropped(img base.Image) []string {
	var said struct {
		Config struct {
			OnBuild []string
		} `json:"config"`
	}
	var out []string
	if len(img.Config.Config.Volumes) > 0 {
		out = append(out, "VOLUME")
	}
	if img.Config.Config.StopSignal != "" {
		out = append(out, "STOPSIGNAL "+img.Config.Config.StopSignal)
	}
	if json.Unmarshal(img.RawConfig, &said) == nil && len(said.Config.OnBuild) > 0 {
		out = append(out, "ONBUILD")
	}
	return out
}

// checkPlaces finds, among the files that somebody puts in the image, one where it does not stay: a container that a service starts has
// another home mounted over the image's.
func (b *build) checkPlaces(who string, files []string, home string) error {
	for _, file := range files {
		if b.profile.Reserved != "" && (file == b.profile.Reserved || inside(file, b.profile.Reserved)) {
			return fmt.Errorf("%s: %s would be in the image, and profile %s reserves %s for what is mounted there", who, file, b.profile.Name, b.profile.Reserved)
		}
		if !inside(file, "/home") && !inside(file, "/root") && !inside(file, home) || file == home {
			continue
		}
		if b.profile.Launched {
			return fmt.Errorf("%s: %s would be in the image, and with profile %s another home is mounted over that: it belongs elsewhere, such as below %s", who, file, b.profile.Name, prefix)
		}
		b.console.say("warning: %s: %s is not there where another home is mounted over the image's", who, file)
		return nil
	}
	return nil
}

// inside reports whether a path is in a folder, however deep.
func inside(file, folder string) bool {
	return folder != "" && folder != "/" && strings.HasPrefix(file, folder+"/")
}
