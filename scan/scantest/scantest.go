// Package scantest makes small, real vulnerability databases, in the manner of httptest.
package scantest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	grypedb "github.com/anchore/grype/grype/db"
	"github.com/anchore/grype/grype/db/provider"
	v6 "github.com/anchore/grype/grype/db/v6"
)

// Write makes a database of Advisories in dir, ready to be scan.Options.DBDir. It is as old as this call: for
// scans that refuse an old database it is to be made anew, which takes well below a second.
func Write(ctx context.Context, dir string) error { return Build(ctx, dir, Advisories()) }

// Build makes a database of the given advisories in dir, ready to be scan.Options.DBDir. It is made as Grype's own
// is: the records are written as vunnel collects them, and go through Grype's builder. A database that is there
// already is replaced when the new one is complete.
func Build(ctx context.Context, dir string, advisories []Advisory) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := build(dir, advisories); err != nil {
		return fmt.Errorf("making a vulnerability database in %s: %w", dir, err)
	}
	return nil
}

func build(dir string, advisories []Advisory) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(dir, "partial-")
	if err != nil {
		return err
	}
	defer func() {
		if clean := os.RemoveAll(temp); err == nil {
			err = clean
		}
	}()
	var states provider.States
	for _, source := range []string{nvd, github} { // Grype's builder wants NVD first: others take severities from it
		state, err := collect(filepath.Join(temp, source), source, advisories)
		if err != nil {
			return err
		}
		if state != nil {
			states = append(states, *state)
		}
	}
	made := filepath.Join(temp, "made")
	if err := os.Mkdir(made, 0o755); err != nil {
		return err
	}
	if err := grypedb.Build(grypedb.BuildConfig{
		SchemaVersion:       v6.ModelVersion,
		Directory:           made,
		States:              states,
		IncludeCPEParts:     []string{"a", "o", "h"},
		InferNVDFixVersions: true,
		Hydrate:             true,
		SQLiteCacheSizeKiB:  1 << 14,
	}); err != nil {
		return err
	}
	final := filepath.Join(dir, strconv.Itoa(v6.ModelVersion))
	if err := os.RemoveAll(final); err != nil {
		return err
	}
	return os.Rename(made, final)
}
