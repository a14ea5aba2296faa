package main

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/datalayer/conda2docker/"

// TestWalls holds which packages may import what: the directions in which the design lets data flow.
func TestWalls(t *testing.T) {
	t.Parallel()
	packages := listPackages(t)
	require.Greater(t, len(packages), 15)

	only := map[string][]string{ // whose packages may be imported where
		"github.com/moby/buildkit": {"builder"},
		"github.com/anchore/syft":  {"sbom", "scan"},
		"github.com/anchore/grype": {"scan"},
		// What pip's world needs besides conda's: its versions (PEP 440), and pyproject.toml.
		"github.com/aquasecurity/go-pep440-version": {"conda/pip", "sbom", "scan"},            // Grype and Syft have both
		"github.com/pelletier/go-toml":              {"conda/pip", "builder", "sbom", "scan"}, // through others
		// Channels may be in a registry, as images are; what merely knows of packages knows no registry.
		"github.com/google/go-containerregistry/pkg/v1/remote": {"conda/fetch", "conda/condarc", "conda/repodata", "conda/lock", "builder", "sbom", "scan", "examples", "cmd", "conda/solve/oracle"},
	}
	for path, p := range packages {
		for foreign, rooms := range only {
			if i := slices.IndexFunc(p.Imports, func(d string) bool { return below(d, foreign) }); i >= 0 {
				require.True(t, belowAny(path, rooms), "%s imports %s", path, p.Imports[i])
			}
			if belowAny(path, []string{"cmd", "examples", "conda/solve/oracle"}) { // they reach all, through these
				continue
			}
			if i := slices.IndexFunc(p.Deps, func(d string) bool { return below(d, foreign) }); i >= 0 {
				require.True(t, belowAny(path, rooms), "%s reaches %s", path, p.Deps[i])
			}
		}
		for _, imported := range p.Imports {
			own, ours := strings.CutPrefix(imported, module)
			switch {
			case belowAny(path, []string{"cmd", "examples", "conda/solve/oracle"}): // they may import all of ours
			case ours:
				from, to := room(path), room(own)
				require.True(t, from == to || slices.Contains(mayImport()[from], to), "%s imports %s", path, own)
			case belowAny(path, []string{"conda", "envspec"}) && strings.Contains(strings.Split(imported, "/")[0], "."):
				require.True(t, belowAny(imported, append(slices.Collect(maps.Keys(only)), ecosystemMayImport()...)), "%s imports %s", path, imported)
			}
		}
	}
}

// below reports whether path is root, or below it.
func below(path, root string) bool { return path == root || strings.HasPrefix(path, root+"/") }

func belowAny(path string, roots []string) bool {
	return slices.ContainsFunc(roots, func(r string) bool { return below(path, r) })
}

// ecosystemMayImport is what conda and envspec stand on besides the standard library.
func ecosystemMayImport() []string {
	return []string{
		"gopkg.in/yaml.v3", "github.com/klauspost/compress", "github.com/dsnet/compress/bzip2", "github.com/vmihailenco/msgpack", "github.com/tinylib/msgp", "github.com/gofrs/flock", "golang.org/x/sync",
		"github.com/google/go-containerregistry/pkg/name", "github.com/google/go-containerregistry/pkg/authn", "github.com/google/go-containerregistry/pkg/v1",
		"github.com/stretchr/testify", "golang.org/x/sys", "golang.org/x/net/http/httpproxy",
	}
}

// mayImport is the design's table: which of our own packages each may import, besides those below itself.
func mayImport() map[string][]string {
	return map[string][]string{
		"conda/version":    {},
		"conda":            {"conda/version"},
		"conda/matchspec":  {"conda", "conda/version"},
		"conda/fetch":      {"conda"},
		"conda/condarc":    {"conda", "conda/fetch"},
		"conda/repodata":   {"conda", "conda/matchspec", "conda/version", "conda/fetch"},
		"conda/solve":      {"conda", "conda/matchspec", "conda/version"},
		"conda/lock":       {"conda", "conda/matchspec", "conda/version", "conda/fetch"},
		"conda/archive":    {"conda"},
		"conda/link":       {"conda", "conda/archive", "conda/version"},
		"conda/activate":   {},
		"conda/condatest":  {"conda", "conda/version"},
		"conda/pip":        {},
		"envspec":          {"conda", "conda/matchspec", "conda/version"},
		"builder/registry": {},
		"builder/base":     {"builder/registry"},
		"builder/engine":   {"builder/registry"},
		"builder/layer":    {"conda", "conda/link", "conda/lock", "conda/archive"},
		"builder/graph":    {"envspec", "conda/lock", "builder/layer", "builder/base"},
		"builder":          {"builder/graph", "builder/layer", "builder/engine", "builder/base", "builder/registry"},
		"sbom":             {"conda", "conda/lock"},
		"scan":             {"sbom"},
	}
}

// room is the entry of mayImport that a package belongs to: its own, or that of the package that it is below.
func room(path string) string {
	for p := path; p != ""; {
		if _, ok := mayImport()[p]; ok {
			return p
		}
		i := strings.LastIndex(p, "/")
		if i < 0 {
			break
		}
		p = p[:i]
	}
	return path
}

type goPackage struct {
	ImportPath    string
	Imports, Deps []string
}

func listPackages(t *testing.T) map[string]goPackage {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,Deps", module+"...").Output()
	require.NoError(t, err)
	packages := map[string]goPackage{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		require.NoError(t, err)
		packages[strings.TrimPrefix(p.ImportPath, module)] = p
	}
}
