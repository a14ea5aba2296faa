// Package scan says which published vulnerabilities an image's packages have, and whether they let it pass.
package scan

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/anchore/clio"
	"github.com/anchore/grype/grype"
	"github.com/anchore/grype/grype/distro"
	"github.com/anchore/grype/grype/match"
	"github.com/anchore/grype/grype/pkg"
	"github.com/anchore/grype/grype/presenter/models"
	"github.com/anchore/grype/grype/vulnerability"

	"github.com/datalayer/conda2docker/sbom"
)

// Options says which database is asked, and what is let pass.
type Options struct {
	DBDir     string        // folder of the Grype database, as Grype's own db.cache-dir
	Update    bool          // fetch the database when it is absent or outdated, or when there is a newer one
	LatestURL string        // where the newest database is announced; Grype's own place when empty
	CA        string        // PEM file with the certificate authority of LatestURL; the system's when empty
	MaxAge    time.Duration // an older database is refused; 5 days when zero, any age when negative

	FailOn    Severity // the lowest severity that is refused; nothing is refused when it is None
	OnlyFixed bool     // refuse only what has a fix

	Version string // the version of conda2docker, for the reports
}

// Report is what a scan found. It does not change.
type Report struct {
	Database Database
	Counts   Counts
	Findings []Finding // all of them, the worst first
	Blocking []Finding // those that the gate refuses
	Warnings []string  // what the report lacks: packages that could not be looked up, a database that is not the newest

	id       clio.Identification
	document models.Document
	doc      *sbom.Document
}

// Database says which database was asked.
type Database struct {
	Schema string    // e.g. "v6.1.10"
	Built  time.Time // the advisories are of that day
	Path   string
}

// Prepare sees to it that there is a database to ask, and fetches it where Options allow: what a scan would lack is known before there is
// anything to scan. Its error is Scan's.
func Prepare(opts Options) error {
	db, err := openDatabase(opts)
	if err != nil {
		return err
	}
	return db.Close()
}

// Scan looks the document's packages up in the database. When the gate refuses, the error is a *GateError, and
// the report is there too.
func Scan(ctx context.Context, doc *sbom.Document, opts Options) (*Report, error) {
	db, err := openDatabase(opts)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	r, err := lookUp(ctx, doc, db, opts)
	if err != nil {
		return nil, fmt.Errorf("looking up the packages of %s: %w", doc.Digest(), err)
	}
	if r.Blocking = blocking(r.Findings, opts); len(r.Blocking) > 0 {
		return r, &GateError{FailOn: opts.FailOn, Blocking: r.Blocking}
	}
	return r, nil
}

// lookUp matches the packages and makes the report.
func lookUp(ctx context.Context, doc *sbom.Document, db *database, opts Options) (*Report, error) {
	s := doc.SBOM()
	system := distro.FromRelease(s.Artifacts.LinuxDistribution, distro.DefaultFixChannels())
	packages := pkg.FromPtrs(withoutOverlap(withDistro(pkg.FromCollection(s.Artifacts.Packages, s.Relationships, pkg.SynthesisConfig{}), system)))
	about := pkg.Context{Source: &s.Source, Distro: system}

	failures := &failures{}
	matcher := grype.VulnerabilityMatcher{
		VulnerabilityProvider: db.provider,
		Matchers:              failures.watch(matchers()),
		IgnoreRules:           kernelHeaders,
	}
	matches, ignored, err := matcher.FindMatchesContext(ctx, packages, about)
	if err != nil {
		return nil, err
	}
	once := onceEach(matches.Sorted())
	kept := match.NewMatches(once...)
	id := clio.Identification{Name: "conda2docker", Version: opts.Version}
	document, err := models.NewDocument(id, packages, about, kept, ignored, db.provider, nil, db.provenance(), models.SortBySeverity, false, nil)
	if err != nil {
		return nil, err
	}
	findings := findingsOf(kept.Sorted(), db.provider)
	return &Report{
		Database: db.about, Counts: count(findings), Findings: findings, Warnings: slices.Concat(db.warnings, failures.list()),
		id: id, document: document, doc: doc,
	}, nil
}

// kernelHeaders are Debian's packages of headers, which carry the kernel's version but not its code; Grype's
// command line ignores the kernel's advisories for them too.
var kernelHeaders = []match.IgnoreRule{
	{Package: match.IgnoreRulePackage{Name: "linux(-.*)?-headers-.*", UpstreamName: "linux.*", Type: "deb"}, MatchType: match.ExactIndirectMatch},
	{Package: match.IgnoreRulePackage{Name: "linux-libc-dev", UpstreamName: "linux", Type: "deb"}, MatchType: match.ExactIndirectMatch},
	{Package: match.IgnoreRulePackage{Name: "linux-kbuild-.*", UpstreamName: "linux.*", Type: "deb"}, MatchType: match.ExactIndirectMatch},
}

// withDistro gives the packages the distribution that their advisories are looked up by.
func withDistro(packages []*pkg.Package, system *distro.Distro) []*pkg.Package {
	for _, p := range packages {
		if p.Distro == nil {
			p.Distro = system
		}
	}
	return packages
}

// metadata is what is known of a match's vulnerability beside where it applies.
func metadata(m match.Match, provider vulnerability.Provider) *vulnerability.Metadata {
	if m.Vulnerability.Metadata != nil {
		return m.Vulnerability.Metadata
	}
	md, err := provider.VulnerabilityMetadata(m.Vulnerability.Reference) //nolint:staticcheck // for records without
	if err != nil || md == nil {
		return &vulnerability.Metadata{}
	}
	return md
}
