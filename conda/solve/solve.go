// Package solve chooses, for a list of MatchSpecs and an index of records, the set of records that an
// environment consists of, as rattler would choose it, or explains why there is none.
package solve

import (
	"context"
	"errors"
	"fmt"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/matchspec"
	"github.com/datalayer/conda2docker/conda/solve/internal/cdcl"
)

// Index answers "the records of name X", in channel order, then in the order of the channel's index. A name
// that no channel has is an empty answer, not an error. It is asked at most once in a solve for each name that
// the search can reach, and never for virtual packages.
type Index interface {
	Records(ctx context.Context, name conda.PackageName) ([]*conda.Record, error)
}

// Prefetcher is an Index that is told beforehand which names it will be asked for next, so that it can get them
// all at once. Names come breadth first from the specs.
type Prefetcher interface {
	Prefetch(ctx context.Context, names []conda.PackageName) error
}

// Namer is an Index that can list all its names; near-miss names are then part of the explanation of an
// UnsatisfiableError.
type Namer interface {
	Names(ctx context.Context) ([]conda.PackageName, error)
}

// Elsewherer is an Index that can say where a record of a name exists that is not searched: for another platform, or in a channel
// that is not asked for. wanted says which records will do; nil is any. It is then part of the explanation of an UnsatisfiableError.
type Elsewherer interface {
	Elsewhere(ctx context.Context, name conda.PackageName, wanted func(*conda.Record) bool) ([]conda.Place, error)
}

// Priority says how the order of the channels restricts which records may be chosen.
type Priority int

// The channel priorities of conda.
const (
	Strict   Priority = iota // only the first channel that has a package's name is considered for it
	Flexible                 // all channels are considered, records of an earlier one are preferred
	Disabled                 // all channels are considered alike
)

// Request is a question to the solver. The zero value asks for an empty environment.
type Request struct {
	Specs       []matchspec.Spec       // what the environment must contain, in the user's order
	Constraints []matchspec.Spec       // what must hold for packages that are in the environment for another reason
	Virtual     []conda.VirtualPackage // the facts about the target system
	Channels    []conda.Channel        // from highest to lowest priority; the order of the index's records where empty
	Priority    Priority

	Locked  []*conda.Record // no other record of these names may be chosen
	Favored []*conda.Record // these are chosen wherever they fit

	Hints map[conda.PackageName]string // what to do where a virtual package is missing or of another version, for explanations
}

// Solution is a consistent set of records.
type Solution struct {
	Records []*conda.Record // in link order: a package comes after what it depends on; without virtual packages
}

// How many steps are taken before there is an answer: a request on conda-forge takes some ten thousand of them, and a few million
// take a second.
const (
	searchSteps  = 40_000_000
	explainSteps = 20_000_000
	crowdSteps   = 1_000_000
)

// ErrTooHard is the error where the steps were used up before there was an answer.
var ErrTooHard = cdcl.ErrLimit

// Solve finds the best set of records that satisfies the request. The same request and index give the same
// solution. The error is an *UnsatisfiableError only where it is proven that there is no solution; whatever
// prevents the proof, such as an index that cannot be read, a cancelled context or a feature that is not
// supported, is an error of another type.
func Solve(ctx context.Context, index Index, r Request) (Solution, error) {
	known := &remembering{index: index, records: map[conda.PackageName][]*conda.Record{}}
	p, err := gather(ctx, known, r)
	if err != nil {
		return Solution{}, fmt.Errorf("solving: %w", err)
	}
	chosen, err := cdcl.Solve(ctx, p.problem(), &cdcl.Budget{Steps: searchSteps, Crowd: crowdSteps})
	if refutes(err) {
		return Solution{}, unsatisfiable(ctx, known, r)
	}
	if errors.Is(err, ErrTooHard) {
		return Solution{}, fmt.Errorf("solving: %w: ask for fewer packages, or say more exactly which versions are wanted", err)
	}
	if err != nil {
		return Solution{}, fmt.Errorf("solving: %w", err)
	}
	var records []*conda.Record
	for _, s := range chosen {
		if rec := p.packages[s].record; !rec.Name.IsVirtual() {
			records = append(records, rec)
		}
	}
	return Solution{Records: conda.LinkOrder(records)}, nil
}
