package solve

import (
	"context"

	"github.com/datalayer/conda2docker/conda/solve/internal/cdcl"
)

// UnsatisfiableError is the proof that a request has no solution.
type UnsatisfiableError struct{}

func (e *UnsatisfiableError) Error() string { return "no solution" }

func (p *pool) unsatisfiable(_ context.Context, _ Index, _ *cdcl.Conflict) error {
	return &UnsatisfiableError{}
}
