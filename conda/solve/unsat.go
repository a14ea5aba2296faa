package solve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/matchspec"
	"github.com/datalayer/conda2docker/conda/solve/internal/cdcl"
)

// UnsatisfiableError is the proof that a request has no solution, told so that a person can act on it.
type UnsatisfiableError struct {
	Conflicts []Conflict // each of them alone rules out a solution
}

// Conflict is a smallest set of the request's specs that cannot be had together: without any one of them the
// others could be.
type Conflict struct {
	Requirements []Requirement
	position     int // of the first of them in the request
}

// Outcome says what becomes of a requirement.
type Outcome int

// The outcomes of a requirement.
const (
	Missing  Outcome = iota // no channel has a package of this name
	NoMatch                 // there are packages of this name, but none that the spec selects
	Blocked                 // each of the packages that the spec selects is ruled out by something else
	Rivalled                // the packages that the spec selects are ruled out only by other requirements on the same name
	Repeated                // explained before
)

// Requirement is a spec that cannot be met, and why.
type Requirement struct {
	Spec    matchspec.Spec
	Outcome Outcome
	Near    []conda.PackageName // Missing: names that are spelled alike
	Seen    []*conda.Record     // NoMatch: the packages of this name, the best first
	Options []Option            // Blocked, Rivalled: the packages that the spec selects
	Rivals  []matchspec.Spec    // Rivalled: specs that select none of the same packages
	Hint    string              // what to do about it, "" where there is nothing special to say
}

// Option is some packages that would meet a requirement, and what they have in common that rules them out.
type Option struct {
	Records  []*conda.Record // the best first
	Requires []Requirement   // what the first of them needs and cannot have
	Alike    bool            // others of them need something else, which fails in the same way
	Reasons  []string        // what else rules them out
}

// maxConflicts is how many conflicts are told; more of them are found when these are settled.
const maxConflicts = 5

// unsatisfiable turns a failed search into the error that explains it. The explanation is looked for with all
// records of the names that the specs ask for, so that it can show what the specs themselves rule out.
func unsatisfiable(ctx context.Context, index *remembering, r Request) error {
	p, err := gatherAll(ctx, index, r)
	if err != nil {
		return fmt.Errorf("explaining why there is no solution: %w", err)
	}
	d := &detective{pool: p, problem: p.problem()}
	conflict, err := d.proof(ctx)
	if err != nil {
		return err
	}
	out := &UnsatisfiableError{}
	left := d.problem.Requires
	for conflict != nil && len(out.Conflicts) < maxConflicts {
		var blamed []cdcl.Set
		if blamed, conflict, err = d.minimise(ctx, conflict); err != nil {
			return fmt.Errorf("explaining why there is no solution: %w", err)
		}
		told := Conflict{Requirements: newTeller(ctx, index, p, conflict).requirements(blamed)}
		if len(blamed) > 0 {
			told.position = slices.Index(d.problem.Requires, blamed[0])
		}
		out.Conflicts = append(out.Conflicts, told)
		left = slices.DeleteFunc(slices.Clone(left), func(s cdcl.Set) bool { return slices.Contains(blamed, s) })
		if len(blamed) == 0 {
			break
		}
		if conflict, err = d.conflict(ctx, left); err != nil {
			return fmt.Errorf("explaining why there is no solution: %w", err)
		}
	}
	slices.SortStableFunc(out.Conflicts, func(a, b Conflict) int { return cmp.Compare(a.position, b.position) })
	return out
}

// detective finds out which specs are to blame.
type detective struct {
	pool    *pool
	problem *cdcl.Problem
}

// conflict is why these specs alone have no solution, or nil where they have one.
func (d *detective) conflict(ctx context.Context, requires []cdcl.Set) (*cdcl.Conflict, error) {
	p := *d.problem
	p.Requires = requires
	_, err := cdcl.Solve(ctx, &p)
	if c := (*cdcl.Conflict)(nil); errors.As(err, &c) {
		return c, nil
	}
	return nil, err
}

// proof is a conflict that does not rest on records whose dependencies cannot be read. It takes these to depend
// on nothing: if there is a solution then, nothing is proven.
func (d *detective) proof(ctx context.Context) (*cdcl.Conflict, error) {
	unproven, err := d.conflict(ctx, d.problem.Requires)
	if err != nil {
		return nil, fmt.Errorf("explaining why there is no solution: %w", err)
	}
	for i := range d.problem.Solvables {
		d.problem.Solvables[i].Broken = false
	}
	proven, err := d.conflict(ctx, d.problem.Requires)
	if err != nil {
		return nil, fmt.Errorf("explaining why there is no solution: %w", err)
	}
	if proven != nil {
		return proven, nil
	}
	var broken []string
	for _, r := range unproven.Reasons {
		if r.Kind == cdcl.BrokenPackage {
			pkg := &d.pool.packages[r.Parent]
			broken = append(broken, fmt.Sprintf("%s: %s", pkg.record, pkg.broken))
		}
	}
	slices.Sort(broken)
	return nil, fmt.Errorf("solving: whether there is a solution cannot be decided, because the channels have records that cannot be used:\n  %s",
		strings.Join(shorten(broken, 5), "\n  "))
}

// minimise leaves out one spec after the other, as long as there is no solution without it.
func (d *detective) minimise(ctx context.Context, c *cdcl.Conflict) ([]cdcl.Set, *cdcl.Conflict, error) {
	virtual := d.pool.root.requires[:len(d.pool.request.Virtual)]
	blamed := d.blamed(c)
	for i := len(blamed) - 1; i >= 0; i-- {
		if i >= len(blamed) {
			continue
		}
		without := slices.Delete(slices.Clone(blamed), i, i+1)
		smaller, err := d.conflict(ctx, append(slices.Clone(virtual), without...))
		if err != nil {
			return nil, nil, err
		}
		if smaller != nil {
			c, blamed = smaller, d.blamed(smaller)
		}
	}
	return blamed, c, nil
}

// blamed is the request's specs that take part in a conflict, in the user's order.
func (d *detective) blamed(c *cdcl.Conflict) []cdcl.Set {
	var out []cdcl.Set
	for _, s := range d.pool.root.requires[len(d.pool.request.Virtual):] {
		if slices.ContainsFunc(c.Reasons, func(r cdcl.Reason) bool {
			return r.Kind == cdcl.Requires && r.Parent == cdcl.Root && r.Set == s
		}) {
			out = append(out, s)
		}
	}
	return out
}
