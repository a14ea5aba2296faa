package sbom

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/anchore/syft/syft/pkg"
	syft "github.com/anchore/syft/syft/sbom"
)

// Distribution is a Python package that must be found in the prefix.
type Distribution struct{ Name, Version string }

var nameRuns = regexp.MustCompile(`[-_.]+`)

// key is how distributions are compared: names as indexes do it (PEP 503).
func (d Distribution) key() string {
	return strings.ToLower(nameRuns.ReplaceAllString(d.Name, "-")) + " " + d.Version
}

// comparePython holds that what pip installed is found in the prefix, in the version that was installed.
func comparePython(s *syft.SBOM, want []Distribution, digest, prefix string) error {
	if len(want) == 0 {
		return nil
	}
	found := map[string]bool{}
	for _, p := range s.Artifacts.Packages.Sorted(pkg.PythonPkg) {
		for _, at := range p.Locations.ToSlice() {
			if strings.HasPrefix(at.RealPath, prefix+"/") {
				found[Distribution{p.Name, p.Version}.key()] = true
			}
		}
	}
	var missing []string
	for _, d := range want {
		if !found[d.key()] {
			missing = append(missing, d.Name+" "+d.Version)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	return fmt.Errorf("what pip installed is not all in %s of image %s: %s", prefix, digest, strings.Join(missing, ", "))
}
