package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"gopkg.in/yaml.v3"

	"github.com/datalayer/conda2docker/builder/registry"
	"github.com/datalayer/conda2docker/conda/archive"
	"github.com/datalayer/conda2docker/conda/condarc"
	"github.com/datalayer/conda2docker/conda/link"
)

// settings is what holds for a machine rather than for one build: the configuration file
// ($CONDA2DOCKER_CONFIG, else conda2docker/config.yaml below $XDG_CONFIG_HOME). Unknown keys are refused.
type settings struct {
	// Bases are the default base images.
	Bases struct {
		CPU  string `yaml:"cpu"`
		CUDA string `yaml:"cuda"`
	} `yaml:"bases"`
	// Mirrors maps the URL of a channel, or of a parent of channels, to the places that are asked instead.
	// Records, locks and SBOMs keep the URL that is mirrored.
	Mirrors map[string][]string `yaml:"mirrors"`
	// Registries says how image registries are reached, by host.
	Registries registry.Registries `yaml:"registries"`
	Scan       struct {
		DB     string `yaml:"db"`     // folder of the Grype database
		Update *bool  `yaml:"update"` // whether an outdated database is fetched anew; default true. Without, one of any age will do
	} `yaml:"scan"`
	Bytecode *bool `yaml:"bytecode"` // whether noarch python packages are compiled; default true
	Pip      struct {
		Index string `yaml:"index"` // where pip sections that name no index look for packages; PyPI when empty
	} `yaml:"pip"`
	Packages struct {
		Limit string `yaml:"limit"` // what one conda package may unpack to at most, e.g. "64GB", which is the default
	} `yaml:"packages"`
	Cache struct {
		Dir   string `yaml:"dir"`
		Limit string `yaml:"limit"` // e.g. "50GB"
	} `yaml:"cache"`
	Apt     []string `yaml:"apt"`     // Debian packages that every base gets
	Profile string   `yaml:"profile"` // what images are for, where --profile does not say it; generic when empty
	Builder string   `yaml:"builder"` // address of a BuildKit; embedded when empty
}

// The base images that are used when nothing else is said.
const (
	defaultCPUBase  = "docker.io/library/debian:bookworm-slim"
	defaultCUDABase = "docker.io/nvidia/cuda:12.6.3-base-ubuntu22.04"
)

// loadSettings reads the configuration file and fills in the defaults. A file that was named must exist.
func loadSettings(getenv func(string) string) (settings, error) {
	var s settings
	path, named := getenv("CONDA2DOCKER_CONFIG"), true
	if path == "" {
		path, named = filepath.Join(configHome(getenv), "conda2docker", "config.yaml"), false
	}
	f, err := os.Open(path)
	switch {
	case err == nil:
		defer f.Close()
		dec := yaml.NewDecoder(f)
		dec.KnownFields(true)
		if err := dec.Decode(&s); err != nil {
			return settings{}, usageError{fmt.Errorf("reading settings %s: %w", path, err)}
		}
	case named || !errors.Is(err, fs.ErrNotExist):
		return settings{}, usageError{fmt.Errorf("reading settings: %w", err)}
	}
	if s.Cache.Dir == "" {
		s.Cache.Dir = getenv("CONDA2DOCKER_CACHE")
	}
	if s.Cache.Dir == "" {
		if getenv("HOME") == "" && getenv("XDG_CACHE_HOME") == "" {
			return settings{}, usageError{errors.New("there is no HOME to keep the cache in: name a folder with CONDA2DOCKER_CACHE")}
		}
		s.Cache.Dir = filepath.Join(cacheHome(getenv), "conda2docker")
	}
	if s.Cache.Dir, err = filepath.Abs(s.Cache.Dir); err != nil {
		return settings{}, err
	}
	if s.Bases.CPU == "" {
		s.Bases.CPU = defaultCPUBase
	}
	if s.Bases.CUDA == "" {
		s.Bases.CUDA = defaultCUDABase
	}
	if s.Builder == "" {
		s.Builder = getenv("BUILDKIT_HOST")
	}
	if s.Scan.DB == "" {
		s.Scan.DB = getenv("GRYPE_DB_CACHE_DIR")
	}
	if s.Scan.DB == "" {
		s.Scan.DB = filepath.Join(s.Cache.Dir, "grype")
	}
	return s, nil
}

// linker says what packages may hold: by the settings, and by conda's configuration.
func (s settings) linker(c condarc.Config) (link.Linker, error) {
	l := link.Linker{Safety: link.Safety(c.Safety)}
	if s.Packages.Limit == "" {
		return l, nil
	}
	limit, err := parseSize(s.Packages.Limit)
	if err == nil && limit == 0 {
		err = errors.New("no package unpacks to nothing: want a size such as 64GB")
	}
	if err != nil {
		return l, usageError{fmt.Errorf("settings: packages.limit: %w", err)}
	}
	l.Limits = archive.Limits{TotalBytes: limit, FileBytes: limit}
	return l, nil
}

func configHome(getenv func(string) string) string {
	if d := getenv("XDG_CONFIG_HOME"); d != "" {
		return d
	}
	return filepath.Join(getenv("HOME"), ".config")
}

func cacheHome(getenv func(string) string) string {
	if d := getenv("XDG_CACHE_HOME"); d != "" {
		return d
	}
	return filepath.Join(getenv("HOME"), ".cache")
}
