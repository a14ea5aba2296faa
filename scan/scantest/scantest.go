// Package scantest makes small, real vulnerability databases, in the manner of httptest.
package scantest

import (
	"context"
	"errors"
)

// Advisory is one published advisory: the facts of it.
type Advisory struct {
	ID string
}

// Advisories are real advisories of packages that Conda environments hold.
func Advisories() []Advisory { return nil }

// Write makes a database of Advisories in dir, ready to be scan.Options.DBDir.
func Write(ctx context.Context, dir string) error { return Build(ctx, dir, Advisories()) }

// Build makes a database of the given advisories in dir, ready to be scan.Options.DBDir.
func Build(context.Context, string, []Advisory) error { return errors.ErrUnsupported }
