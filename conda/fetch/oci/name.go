package oci

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/datalayer/conda2docker/conda"
)

// NameError is a file that a registry cannot hold, or has no place for, under its name.
type NameError struct {
	URL string
	Err error
}

func (e *NameError) Error() string { return e.URL + ": " + e.Err.Error() }

// Unwrap is the cause.
func (e *NameError) Unwrap() error { return e.Err }

// artifact is where a channel's file is in a registry.
type artifact struct {
	repo  name.Repository
	tag   string // "" where only the digest leads to it
	media string // the media type of its layer; "" where the layout has no such file
}

const (
	repodataType  = "application/vnd.conda.repodata.v1+json"
	tarBz2Type    = "application/vnd.conda.package.v1"
	condaType     = "application/vnd.conda.package.v2"
	longestTag    = 128
	repodataNames = "repodata.json"
)

// tagEscapes are the characters of versions and builds that a tag cannot have.
var tagEscapes = strings.NewReplacer("+", "__p__", "!", "__e__", "=", "__eq__")

// locate is the place of a file below oci://HOST/CHANNEL/SUBDIR. The layout is that of conda-oci-mirror, which mamba and rattler read:
// a repository for each package and subdir, with a tag for each version and build; repodata in one of its own, tagged latest, with a
// layer for each compression.
func locate(u *url.URL) (artifact, error) {
	folder, file := path.Split(strings.Trim(u.Path, "/"))
	var a artifact
	repo := file
	if suffix, ok := strings.CutPrefix(file, repodataNames); ok {
		repo, a.tag = repodataNames, "latest"
		switch suffix {
		case "":
			a.media = repodataType
		case ".zst", ".bz2":
			a.media = repodataType + "+" + suffix[1:]
		case ".gz":
			a.media = repodataType + "+gzip"
		}
	} else if dist, ok := conda.CutExtension(file); ok {
		pkg, version, build, ok := conda.SplitDist(dist)
		if !ok {
			return a, &NameError{shown(u), errors.New("want NAME-VERSION-BUILD")}
		}
		repo, a.media = pkg, tarBz2Type
		if strings.HasSuffix(file, ".conda") {
			a.media = condaType
		}
		if a.tag = tagEscapes.Replace(version + "-" + build); len(a.tag) > longestTag {
			a.tag = ""
		}
	}
	if strings.HasPrefix(repo, "_") {
		repo = "zzz" + repo // a repository's name must not begin with it
	}
	if a.media == "" {
		return a, nil
	}
	var err error
	if a.repo, err = name.NewRepository(u.Host+"/"+folder+repo, name.StrictValidation); err != nil {
		return a, &NameError{shown(u), fmt.Errorf("an OCI registry cannot have this name: %w", err)}
	}
	return a, nil
}

// shown is a URL without credentials.
func shown(u *url.URL) string {
	plain := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	return plain.String()
}
