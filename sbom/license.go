package sbom

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/anchore/syft/syft"
	"github.com/anchore/syft/syft/cataloging"
	"github.com/anchore/syft/syft/file"
	"github.com/anchore/syft/syft/pkg"
)

// WithLicenses is a context in which the texts that licences are recognised by are loaded, which takes about a
// second. One such context serves any number of calls of Generate; without it every call loads them anew.
func WithLicenses(ctx context.Context) (context.Context, error) {
	if ctx.Value(licensesLoaded{}) != nil {
		return ctx, nil
	}
	with, err := syft.SetContextLicenseScanner(ctx, cataloging.DefaultLicenseConfig())
	if err != nil {
		return nil, fmt.Errorf("loading licence texts: %w", err)
	}
	return context.WithValue(with, licensesLoaded{}, true), nil
}

// licensesLoaded is the key under which a context says that it has the texts.
type licensesLoaded struct{}

// licenses reads a package's licence field: an SPDX expression where it is or can be read as one, else what it
// says, which the SPDX document then has as a LicenseRef.
func licenses(ctx context.Context, field string, loc file.Location) pkg.LicenseSet {
	field = strings.Join(strings.Fields(field), " ")
	if field == "" {
		return pkg.NewLicenseSet()
	}
	asWritten := pkg.NewLicenseFromLocationsWithContext(ctx, field, loc)
	if asWritten.SPDXExpression != "" {
		return pkg.NewLicenseSet(asWritten)
	}
	if l := pkg.NewLicenseFromLocationsWithContext(ctx, spell(field), loc); l.SPDXExpression != "" {
		l.Value = field
		return pkg.NewLicenseSet(l)
	}
	return pkg.NewLicenseSet(asWritten)
}

var licenseOperator = regexp.MustCompile(`(?i)\s+(and|or|with)\s+`)

// spell writes the operators as SPDX has them: recipes often have them in lower case.
func spell(expression string) string {
	return licenseOperator.ReplaceAllStringFunc(expression, strings.ToUpper)
}
