package scan

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/anchore/clio"
	v6 "github.com/anchore/grype/grype/db/v6"
	"github.com/anchore/grype/grype/db/v6/distribution"
	"github.com/anchore/grype/grype/db/v6/installation"
	"github.com/anchore/grype/grype/vulnerability"
	"github.com/gofrs/flock"
)

// database is an open Grype database.
type database struct {
	provider vulnerability.Provider
	about    Database
	warnings []string
}

// Close closes the database.
func (d *database) Close() error { return d.provider.Close() }

// provenance is what the JSON report says of the database: not where it lies on this machine.
func (d *database) provenance() any {
	out := struct {
		Status    vulnerability.ProviderStatus            `json:"status"`
		Providers map[string]vulnerability.DataProvenance `json:"providers"`
	}{Status: vulnerability.ProviderStatus{SchemaVersion: d.about.Schema, Built: d.about.Built}}
	if p, ok := d.provider.(vulnerability.StoreMetadataProvider); ok {
		out.Providers, _ = p.DataProvenance()
	}
	return out
}

// openDatabase opens the database, having fetched a newer one if that is allowed.
func openDatabase(opts Options) (*database, error) {
	if opts.DBDir == "" {
		return nil, errors.New("opening the vulnerability database: no folder is named for it (scan.db in the settings)")
	}
	id := clio.Identification{Name: "conda2docker", Version: opts.Version}
	from := distribution.DefaultConfig()
	from.ID, from.CACert, from.RequireUpdateCheck = id, opts.CA, true
	if opts.LatestURL != "" {
		from.LatestURL = opts.LatestURL
	}
	into := installation.DefaultConfig(id)
	into.DBRootDir, into.ValidateAge = opts.DBDir, opts.MaxAge >= 0
	if opts.MaxAge > 0 {
		into.MaxAllowedBuiltAge = opts.MaxAge
	}
	client, err := distribution.NewClient(from)
	if err != nil {
		return nil, fmt.Errorf("opening the vulnerability database %s: %w", opts.DBDir, err)
	}
	curator, err := installation.NewCurator(into, client)
	if err != nil {
		return nil, fmt.Errorf("opening the vulnerability database %s: %w", opts.DBDir, err)
	}
	var fetching error
	if opts.Update {
		fetching = update(curator, opts.DBDir)
	}
	status := curator.Status()
	if status.Error != nil {
		return nil, &DatabaseError{Dir: opts.DBDir, Built: status.Built, Updated: opts.Update, LatestURL: from.LatestURL, Fetching: fetching, Err: status.Error}
	}
	reader, err := curator.Reader()
	if err != nil {
		return nil, &DatabaseError{Dir: opts.DBDir, Built: status.Built, Updated: opts.Update, LatestURL: from.LatestURL, Fetching: fetching, Err: err}
	}
	db := &database{
		provider: v6.NewVulnerabilityProvider(reader),
		about:    Database{Schema: status.SchemaVersion, Built: status.Built.UTC(), Path: status.Path},
	}
	if fetching != nil {
		db.warnings = append(db.warnings, fmt.Sprintf("vulnerability database in %s not updated, that of %s is used: %v",
			opts.DBDir, db.about.Built.Format(time.DateOnly), fetching))
	}
	return db, nil
}

// update fetches the newest database, one process at a time.
func update(c v6.Curator, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	lock := flock.New(filepath.Join(dir, ".lock"))
	if err := lock.Lock(); err != nil {
		return err
	}
	defer lock.Unlock() //nolint:errcheck // it is gone with the process at the latest
	_, err := c.Update()
	return err
}

// DatabaseError says why there is no vulnerability database that can be asked.
type DatabaseError struct {
	Dir       string
	Built     time.Time // zero when there is none
	Updated   bool      // whether a newer one was asked for
	LatestURL string    // where
	Fetching  error     // why none was got
	Err       error     // what is wrong with what is there
}

// Error says what is wrong, and how to get a database.
func (e *DatabaseError) Error() string {
	what := e.Err.Error()
	switch {
	case e.absent():
		what = "there is none"
	case !e.Built.IsZero():
		what = fmt.Sprintf("%v; it is of %s", e.Err, e.Built.UTC().Format(time.DateOnly))
	}
	how := fmt.Sprintf("let it be fetched (scan.update in the settings, without --offline), or import one: GRYPE_DB_CACHE_DIR=%s grype db import ARCHIVE", e.Dir)
	if e.Updated && e.Fetching != nil {
		how = fmt.Sprintf("fetching one from %s: %v; or import one: GRYPE_DB_CACHE_DIR=%s grype db import ARCHIVE", e.LatestURL, e.Fetching, e.Dir)
	}
	return fmt.Sprintf("vulnerability database in %s: %s; %s", e.Dir, what, how)
}

// Unwrap is what is wrong.
func (e *DatabaseError) Unwrap() []error {
	if e.Fetching == nil {
		return []error{e.Err}
	}
	return []error{e.Err, e.Fetching}
}

func (e *DatabaseError) absent() bool {
	return errors.Is(e.Err, v6.ErrDBDoesNotExist) || errors.Is(e.Err, fs.ErrNotExist)
}
