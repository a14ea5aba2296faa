package scan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/anchore/grype/grype/match"
	"github.com/anchore/grype/grype/vulnerability"
	"github.com/anchore/syft/syft/file"
	syftpkg "github.com/anchore/syft/syft/pkg"
)

// Finding is one vulnerability of one package.
type Finding struct {
	ID        string   // e.g. "CVE-2023-38545" or "GHSA-j8r2-6x86-q33q"
	Aliases   []string // its other names
	Severity  Severity
	Package   string
	Version   string
	Type      string   // the package's kind: "conda", "python", "deb", …
	PURL      string   // the package's URL
	FixedIn   []string // the versions in which it is fixed; none when there is no fix
	Locations []string // where in the image the package was found
	URL       string   // where the advisory is published
}

// String says it in one line: "CVE-2023-38545 critical: libcurl 7.88.1 (conda), fixed in 8.4.0, at /opt/conda/…".
func (f Finding) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: %s %s (%s)", f.ID, f.Severity, f.Package, f.Version, f.Type)
	if len(f.FixedIn) > 0 {
		fmt.Fprintf(&b, ", fixed in %s", strings.Join(f.FixedIn, " or "))
	} else {
		b.WriteString(", not fixed")
	}
	if len(f.Locations) > 0 {
		fmt.Fprintf(&b, ", at %s", f.Locations[0])
	}
	return b.String()
}

// findingsOf are the matches, the worst first.
func findingsOf(matches []match.Match, provider vulnerability.Provider) []Finding {
	out := make([]Finding, 0, len(matches))
	for _, m := range matches {
		md := metadata(m, provider)
		out = append(out, Finding{
			ID: m.Vulnerability.ID, Aliases: aliases(m), Severity: severityOf(md.Severity),
			Package: m.Package.Name, Version: m.Package.Version, Type: string(m.Package.Type), PURL: m.Package.PURL,
			FixedIn: fixedIn(m), Locations: evidence(m.Package.Locations.ToSlice()), URL: md.DataSource,
		})
	}
	slices.SortStableFunc(out, func(a, b Finding) int {
		return cmp.Or(
			cmp.Compare(b.Severity, a.Severity),
			cmp.Compare(a.Package, b.Package),
			cmp.Compare(a.Version, b.Version),
			cmp.Compare(a.Type, b.Type),
			cmp.Compare(a.ID, b.ID),
			slices.Compare(a.Locations, b.Locations))
	})
	return out
}

// evidence is where a package was found, without what merely supports it.
func evidence(locations []file.Location) []string {
	var primary, all []string
	for _, l := range locations {
		all = append(all, l.RealPath)
		if l.Annotations[syftpkg.EvidenceAnnotationKey] == syftpkg.PrimaryEvidenceAnnotation {
			primary = append(primary, l.RealPath)
		}
	}
	if len(primary) > 0 {
		all = primary
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// blocking are the findings that the gate refuses.
func blocking(findings []Finding, opts Options) []Finding {
	if opts.FailOn == None {
		return nil
	}
	var out []Finding
	for _, f := range findings {
		if f.Severity >= opts.FailOn && (len(f.FixedIn) > 0 || !opts.OnlyFixed) {
			out = append(out, f)
		}
	}
	return out
}

// GateError says which findings the gate refuses.
type GateError struct {
	FailOn   Severity
	Blocking []Finding
}

// shown is how many findings an error lists; the report has them all.
const shown = 20

// Error lists the findings, the worst first.
func (e *GateError) Error() string {
	var b strings.Builder
	what := "vulnerabilities"
	if len(e.Blocking) == 1 {
		what = "vulnerability"
	}
	fmt.Fprintf(&b, "%d %s of severity %s or worse:", len(e.Blocking), what, e.FailOn)
	for i, f := range e.Blocking {
		if i == shown {
			fmt.Fprintf(&b, "\n  and %d more, in the report", len(e.Blocking)-shown)
			break
		}
		b.WriteString("\n  " + f.String())
	}
	return b.String()
}
