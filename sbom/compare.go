package sbom

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/anchore/syft/syft/pkg"
	syft "github.com/anchore/syft/syft/sbom"

	"github.com/datalayer/conda2docker/conda"
)

// MismatchError says how the Conda packages found in an image differ from those that were solved. Each entry
// begins with the package.
type MismatchError struct {
	Digest    string   // of the image
	Prefix    string   // of the environment
	Missing   []string // solved, but there is no record of it in the image
	Extra     []string // a record in the image, but not solved
	Differing []string // solved and recorded, but not as the same package
	Duplicate []string // a second record of the same name
}

// Error names every package that differs.
func (e *MismatchError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the packages recorded in %s/conda-meta of image %s are not those that were solved:", e.Prefix, e.Digest)
	for _, part := range []struct {
		title   string
		entries []string
	}{{"missing", e.Missing}, {"not solved", e.Extra}, {"different", e.Differing}, {"recorded twice", e.Duplicate}} {
		for _, entry := range part.entries {
			fmt.Fprintf(&b, "\n  %s: %s", part.title, entry)
		}
	}
	b.WriteString("\nthe base image, or a step of the build, changes conda-meta: packages are added to environment.yml, not to the image")
	return b.String()
}

// compare holds the records found in the prefix against the solved set.
func compare(s *syft.SBOM, solved []*conda.Record, digest, prefix string) error {
	e := &MismatchError{Digest: digest, Prefix: prefix}
	found := map[string]pkg.Package{}
	for _, p := range s.Artifacts.Packages.Sorted(pkg.CondaPkg) {
		loc := p.Locations.ToSlice()[0]
		if prefixOf(loc) != prefix {
			continue
		}
		if first, ok := found[p.Name]; ok {
			e.Duplicate = append(e.Duplicate, fmt.Sprintf("%s in %s and in %s", p.Name, first.Locations.ToSlice()[0].RealPath, loc.RealPath))
			continue
		}
		found[p.Name] = p
	}
	for _, rec := range solved {
		p, ok := found[string(rec.Name)]
		if !ok {
			e.Missing = append(e.Missing, rec.Dist())
			continue
		}
		delete(found, string(rec.Name))
		if d := differences(p, rec); len(d) > 0 {
			e.Differing = append(e.Differing, rec.Dist()+": "+strings.Join(d, ", "))
		}
	}
	for _, p := range found {
		meta, _ := p.Metadata.(pkg.CondaMetaPackage)
		e.Extra = append(e.Extra, fmt.Sprintf("%s-%s-%s in %s", p.Name, p.Version, meta.Build, p.Locations.ToSlice()[0].RealPath))
	}
	for _, entries := range [][]string{e.Missing, e.Extra, e.Differing, e.Duplicate} {
		slices.Sort(entries)
	}
	if len(e.Missing)+len(e.Extra)+len(e.Differing)+len(e.Duplicate) == 0 {
		return nil
	}
	return e
}

// differences says in what a package of the image is another than the solved one.
func differences(p pkg.Package, rec *conda.Record) []string {
	meta, _ := p.Metadata.(pkg.CondaMetaPackage)
	var out []string
	differ := func(what, solved, found string) {
		if solved != found {
			out = append(out, fmt.Sprintf("%s %q, in the image %q", what, solved, found))
		}
	}
	differ("version", rec.Version.String(), p.Version)
	differ("build", rec.Build, meta.Build)
	differ("subdir", string(rec.Subdir), meta.Subdir)
	if len(out) > 0 {
		return out // the rest follows from these
	}
	if rec.URL != "" {
		differ("url", redact(rec.URL), meta.URL)
	}
	// One hash that both know tells packages apart; a record without any of the solved one's hashes proves nothing.
	switch {
	case rec.SHA256 != "" && (meta.SHA256 != "" || rec.MD5 == "" || meta.MD5 == ""):
		differ("sha256", rec.SHA256, meta.SHA256)
	case rec.MD5 != "":
		differ("md5", rec.MD5, meta.MD5)
	}
	differ("record", rec.Dist()+".json", path.Base(p.Locations.ToSlice()[0].RealPath))
	return out
}
