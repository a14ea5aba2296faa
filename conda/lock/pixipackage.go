package lock

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/version"
)

// add reads a package into a platform.
func (p *pixi) add(out *Platform, e pixiEntry) error {
	at := conda.WithoutCredentials(e.location)
	remote := strings.HasPrefix(at, "https://") || strings.HasPrefix(at, "http://") || strings.HasPrefix(at, "file://") || strings.HasPrefix(at, "oci://")
	_, archive := conda.CutExtension(at)
	switch {
	case e.kind == "conda" && remote && archive:
		k, err := p.condaPackage(e, at, out.Subdir)
		if err != nil {
			return err
		}
		out.Packages = append(out.Packages, k)
		return nil
	case e.kind == "pypi" && remote:
		k, err := p.pypiPackage(e, at)
		if err != nil {
			return err
		}
		out.Pip = append(out.Pip, k)
		return nil
	case e.kind == "pypi":
		return p.refuse(e.node, "%s is a folder, a file or a repository, and not a release on a package index: publish it, or leave it out of the environment", at)
	}
	return p.refuse(e.node, "%s is built from its source: only packages of channels can be had; put it into a channel, or leave it out of the environment", at)
}

// condaPackage reads a package of a channel. From version 6 on, the file says only what does not follow from the URL.
func (p *pixi) condaPackage(e pixiEntry, at string, subdir conda.Subdir) (Package, error) {
	r, err := archiveRecord(at, subdir)
	if err != nil {
		return Package{}, p.errorf(e.node, "%s: %w", at, err)
	}
	r.MD5, r.SHA256 = e.optional("md5"), e.optional("sha256")
	if err := checksums(r.MD5, r.SHA256); err != nil {
		return Package{}, p.errorf(e.node, "%s: %w", at, err)
	}
	if r.MD5 == "" && r.SHA256 == "" {
		return Package{}, p.refuse(e.node, "%s has no checksum: \"pixi lock\" writes the file anew", at)
	}
	if err := p.identity(e, r); err != nil {
		return Package{}, err
	}
	if err := fileOf(r); err != nil {
		return Package{}, p.errorf(e.node, "%s: %w", at, err)
	}
	if err := p.facts(e, r); err != nil {
		return Package{}, err
	}
	if err := inSubdir(r, subdir); err != nil {
		return Package{}, p.errorf(e.node, "%s: %w", at, err)
	}
	k := Package{Record: r, Category: Main}
	k.Other, err = p.rest(e, condaKeys())
	return k, err
}

// condaKeys are those that records have, and those that follow from them.
func condaKeys() []string {
	return []string{
		"kind", "conda", "url", "name", "version", "build", "build_number", "subdir", "noarch", "depends", "constrains", "track_features", "features", "extra_depends", "flags",
		"license", "license_family", "timestamp", "size", "md5", "sha256", "python_site_packages_path", "channel", "arch", "platform", "file_name",
	}
}

// identity is what says which package it is.
func (p *pixi) identity(e pixiEntry, r *conda.Record) error {
	var err error
	if name := e.optional("name"); name != "" {
		if r.Name, err = conda.ParsePackageName(name); err != nil {
			return p.errorf(e.node, "%w", err)
		}
	}
	if v := e.optional("version"); v != "" {
		if r.Version, err = version.Parse(v); err != nil {
			return p.errorf(e.node, "%s: version: %w", r.Name, err)
		}
	}
	if build := e.optional("build"); build != "" {
		r.Build = build
	}
	if e.fields["build_number"] == nil {
		r.BuildNumber = trailingNumber(r.Build)
	} else if r.BuildNumber, err = p.int(e.fields["build_number"], "build_number"); err != nil {
		return err
	}
	r.NoArch = conda.NoArch(e.optional("noarch"))
	switch {
	case r.NoArch == "false" || r.NoArch == "none":
		r.NoArch = conda.NoArchNone
	case r.NoArch != conda.NoArchNone && r.NoArch != conda.NoArchGeneric && r.NoArch != conda.NoArchPython:
		return p.errorf(e.node, "%s: noarch %q is neither python nor generic", r.Name, r.NoArch)
	case r.NoArch == conda.NoArchNone && e.optional("kind") == "" && r.Subdir == conda.NoArchSubdir:
		// So the file leaves it out; older ones may not know it, and then the package says it.
		r.NoArch = conda.NoArchGeneric
		if strings.Contains(r.Build, "py") {
			r.NoArch = conda.NoArchPython
		}
	}
	return nil
}

// facts are what the channel's index says of a record.
func (p *pixi) facts(e pixiEntry, r *conda.Record) error {
	r.License, r.LicenseFamily = e.optional("license"), e.optional("license_family")
	r.Features, r.PythonSitePackagesPath = e.optional("features"), e.optional("python_site_packages_path")
	var err error
	for _, of := range []struct {
		key string
		to  *[]string
	}{{"depends", &r.Depends}, {"constrains", &r.Constrains}, {"track_features", &r.TrackFeatures}, {"flags", &r.Flags}} {
		n := e.fields[of.key]
		if n != nil && n.Kind == yaml.ScalarNode {
			*of.to = strings.Fields(e.optional(of.key))
			continue
		}
		if *of.to, err = p.strings(n, of.key); err != nil {
			return err
		}
	}
	if err := p.extras(e.fields["extra_depends"], r); err != nil {
		return err
	}
	if r.Size, err = p.int(e.fields["size"], "size"); err != nil {
		return err
	}
	r.Timestamp, err = p.int(e.fields["timestamp"], "timestamp")
	return err
}

func (p *pixi) extras(n *yaml.Node, r *conda.Record) error {
	if empty(n) {
		return nil
	}
	groups, err := p.mapping(n, "extra_depends")
	if err != nil {
		return err
	}
	r.Extras = map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		if r.Extras[name], err = p.strings(groups[name], "extra_depends"); err != nil {
			return err
		}
	}
	return nil
}

// pypiPackage reads a package of a Python package index.
func (p *pixi) pypiPackage(e pixiEntry, at string) (PipPackage, error) {
	name, err := p.text(e.node, e.fields, "name")
	if err != nil {
		return PipPackage{}, err
	}
	k := PipPackage{
		Name: name, Version: e.optional("version"), URL: at, SHA256: e.optional("sha256"), MD5: e.optional("md5"), Category: Main,
		Index: conda.WithoutCredentials(e.optional("index")), RequiresPython: e.optional("requires_python"),
	}
	if err := checksums(k.MD5, k.SHA256); err != nil {
		return PipPackage{}, p.errorf(e.node, "%s: %w", name, err)
	}
	requires, err := p.strings(e.fields["requires_dist"], "requires_dist")
	if err != nil {
		return PipPackage{}, err
	}
	for _, r := range requires {
		name, constraint := conda.CutDependency(r)
		k.Depends = append(k.Depends, strings.TrimSpace(name+" "+constraint))
	}
	k.Other, err = p.rest(e, []string{"kind", "pypi", "url", "name", "version", "sha256", "md5", "index", "requires_python", "requires_dist"})
	return k, err
}

// rest is what an entry says besides, as JSON.
func (p *pixi) rest(e pixiEntry, known []string) (string, error) {
	more := &yaml.Node{Kind: yaml.MappingNode, Line: e.node.Line}
	for _, key := range slices.Sorted(maps.Keys(e.fields)) {
		if n := e.fields[key]; !slices.Contains(known, key) && !empty(n) {
			more.Content = append(more.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}, n)
		}
	}
	if len(more.Content) == 0 {
		return "", nil
	}
	return p.json(more, "package")
}

// trailingNumber is the build number that a build string ends with, as most do.
func trailingNumber(build string) int64 {
	digits := build[strings.LastIndexFunc(build, func(c rune) bool { return c < '0' || c > '9' })+1:]
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
