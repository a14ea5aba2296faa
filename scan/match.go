package scan

import (
	"fmt"
	"slices"
	"sync"

	"github.com/anchore/grype/grype/match"
	"github.com/anchore/grype/grype/matcher"
	"github.com/anchore/grype/grype/matcher/golang"
	"github.com/anchore/grype/grype/matcher/stock"
	"github.com/anchore/grype/grype/pkg"
	"github.com/anchore/grype/grype/vulnerability"
	"github.com/anchore/syft/syft/artifact"
	"github.com/anchore/syft/syft/cpe"
	syftpkg "github.com/anchore/syft/syft/pkg"

	"github.com/datalayer/conda2docker/sbom"
)

// matchers are Grype's, as its command line has them. There is none for Conda: such packages, and all others
// without a matcher of their own, are looked up by their CPEs.
func matchers() []match.Matcher {
	return matcher.NewDefaultMatchers(matcher.Config{
		Stock:  stock.MatcherConfig{UseCPEs: true},
		Golang: golang.MatcherConfig{AlwaysUseCPEForStdlib: true},
	})
}

// withoutOverlap leaves out what a Debian package owns: the distribution's own advisories know whether it is
// fixed, upstream's do not. Grype does the same when it reads an SBOM from a file.
func withoutOverlap(packages []*pkg.Package) []*pkg.Package {
	return slices.DeleteFunc(packages, func(p *pkg.Package) bool {
		return p.Type != syftpkg.DebPkg && slices.ContainsFunc(p.RelatedPackages[artifact.OwnershipByFileOverlapRelationship], func(owner *pkg.Package) bool {
			return owner.Type == syftpkg.DebPkg && sbom.SameRelease(owner.Version, p.Version)
		})
	})
}

// onceEach leaves out matches of Conda packages that were guessed from their names, where the same vulnerability
// was found in the Python project of the same version: that is the same software.
func onceEach(matches []match.Match) []match.Match {
	known := map[string][]string{} // vulnerability, versions of Python projects
	for _, m := range matches {
		if m.Package.Type == syftpkg.PythonPkg {
			for _, id := range append(aliases(m), m.Vulnerability.ID) {
				known[id] = append(known[id], m.Package.Version)
			}
		}
	}
	return slices.DeleteFunc(matches, func(m match.Match) bool {
		return m.Package.Type == syftpkg.CondaPkg && guessed(m.Package) && slices.Contains(known[m.Vulnerability.ID], m.Package.Version)
	})
}

// guessed reports whether a package's product was derived from its name alone.
func guessed(p pkg.Package) bool {
	return !slices.ContainsFunc(p.CPEs, func(c cpe.CPE) bool { return c.Source != cpe.GeneratedSource })
}

// aliases are the other names of a match's vulnerability.
func aliases(m match.Match) []string {
	var out []string
	for _, r := range m.Vulnerability.RelatedVulnerabilities {
		if r.ID != m.Vulnerability.ID {
			out = append(out, r.ID)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// failures notes which packages could not be looked up: Grype goes on without them and does not say so.
type failures struct {
	mu   sync.Mutex
	said []string
}

// watch wraps the matchers so that their errors are noted.
func (f *failures) watch(matchers []match.Matcher) []match.Matcher {
	out := make([]match.Matcher, 0, len(matchers))
	for _, m := range matchers {
		out = append(out, watched{m, f})
	}
	return out
}

// list is what went wrong, in order.
func (f *failures) list() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	slices.Sort(f.said)
	return slices.Compact(f.said)
}

type watched struct {
	match.Matcher
	failures *failures
}

// Match is the matcher's, noting its error.
func (w watched) Match(vp vulnerability.Provider, p pkg.Package) ([]match.Match, []match.IgnoreFilter, error) {
	matches, ignore, err := w.Matcher.Match(vp, p)
	if err != nil {
		w.failures.mu.Lock()
		w.failures.said = append(w.failures.said, fmt.Sprintf("%s %s (%s) could not be looked up: %v", p.Name, p.Version, p.Type, err))
		w.failures.mu.Unlock()
	}
	return matches, ignore, err
}
