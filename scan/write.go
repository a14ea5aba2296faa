package scan

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/anchore/grype/grype/presenter/json"
	"github.com/anchore/grype/grype/presenter/models"
	"github.com/anchore/grype/grype/presenter/sarif"
)

// presented is the report as Grype's presenters take it.
func (r *Report) presented() models.PresenterConfig {
	return models.PresenterConfig{ID: r.id, Document: r.document, SBOM: r.doc.SBOM(), Pretty: true}
}

// WriteJSON writes the report as Grype does.
func (r *Report) WriteJSON(w io.Writer) error {
	if err := json.NewPresenter(r.presented()).Present(w); err != nil {
		return fmt.Errorf("writing the vulnerability report of %s as JSON: %w", r.doc.Digest(), err)
	}
	return nil
}

// WriteSARIF writes the report in the static analysis results interchange format, version 2.1.0 (OASIS).
func (r *Report) WriteSARIF(w io.Writer) error {
	if err := sarif.NewPresenter(r.presented()).Present(w); err != nil {
		return fmt.Errorf("writing the vulnerability report of %s as SARIF: %w", r.doc.Digest(), err)
	}
	return nil
}

// WriteTable writes the findings for people, the worst first, one a line.
func (r *Report) WriteTable(w io.Writer) error {
	if len(r.Findings) == 0 {
		_, err := fmt.Fprintln(w, "no known vulnerabilities")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if _, err := fmt.Fprintln(t, "SEVERITY\tVULNERABILITY\tPACKAGE\tVERSION\tFIXED IN\tTYPE"); err != nil {
		return err
	}
	for _, f := range r.Findings {
		fixed := strings.Join(f.FixedIn, ", ")
		if fixed == "" {
			fixed = "-"
		}
		if _, err := fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", f.Severity, f.ID, f.Package, f.Version, fixed, f.Type); err != nil {
			return err
		}
	}
	return t.Flush()
}
