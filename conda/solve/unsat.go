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
	Missing   []Requirement // the request's specs whose names none of the channels has, all of them
	Conflicts []Conflict    // each of them alone rules out a solution
	More      int           // how many conflicts there are besides these
}

// Conflict is a smallest set of the request's specs that cannot be had together: without any one of them the
// others could be.
type Conflict struct {
	Requirements []Requirement
	Crowd        []matchspec.Spec // what any two candidates exclude each other of, but for Places; then Requirements do not say why
	Places       int              // how many of Crowd can be met at most
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
	Crowded                 // takes part in a conflict that is not told requirement by requirement
)

// Requirement is a spec that cannot be met, and why.
type Requirement struct {
	Spec    matchspec.Spec
	Outcome Outcome
	Near    []conda.PackageName // Missing: names that are spelled alike
	Places  []conda.Place       // where the channels have it for other platforms: the name if it is Missing, the build that a NoMatch asks for
	Others  []conda.Channel     // channels that are not searched and have it
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

// maxConflicts is how many conflicts are told; others are counted.
const maxConflicts = 5

// unsatisfiable turns a failed search into the error that explains it. The explanation is looked for with all
// records of the names that the specs ask for, so that it can show what the specs themselves rule out.
func unsatisfiable(ctx context.Context, index *remembering, r Request) error {
	out, err := explain(ctx, index, r)
	if err != nil {
		return err
	}
	return out
}

func explain(ctx context.Context, index *remembering, r Request) (*UnsatisfiableError, error) {
	p, err := gatherAll(ctx, index, r)
	if err != nil {
		return nil, fmt.Errorf("explaining why there is no solution: %w", err)
	}
	d := &detective{pool: p, problem: p.problem(), budget: cdcl.Budget{Steps: explainSteps, Crowd: crowdSteps}}
	out := &UnsatisfiableError{}
	left := d.problem.Requires
	var proof *refutation
	if missing := d.missing(); len(missing) > 0 {
		d.mend()
		out.Missing = newTeller(ctx, index, p, &cdcl.Conflict{}).requirements(missing)
		left = without(left, missing)
		proof, err = d.another(ctx, left)
	} else {
		proof, err = d.proof(ctx)
	}
	var proofs []*refutation
	for err == nil && proof != nil {
		if proof, err = d.minimise(ctx, proof); err != nil {
			break
		}
		proofs = append(proofs, proof)
		if len(proof.blamed) == 0 {
			break
		}
		left = without(left, proof.blamed)
		proof, err = d.another(ctx, left)
	}
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(proofs, func(a, b *refutation) int { return cmp.Compare(d.position(a), d.position(b)) })
	for _, r := range proofs[:min(len(proofs), maxConflicts)] {
		out.Conflicts = append(out.Conflicts, d.tell(ctx, index, r))
	}
	out.More = len(proofs) - len(out.Conflicts)
	return out, nil
}

// position is that of the first spec that takes part, in the request.
func (d *detective) position(r *refutation) int {
	if len(r.blamed) == 0 {
		return 0
	}
	return slices.Index(d.problem.Requires, r.blamed[0])
}

// without is the sets but for some of them.
func without(sets, some []cdcl.Set) []cdcl.Set {
	return slices.DeleteFunc(slices.Clone(sets), func(s cdcl.Set) bool { return slices.Contains(some, s) })
}

// detective finds out which specs are to blame.
type detective struct {
	pool    *pool
	problem *cdcl.Problem
	budget  cdcl.Budget
}

// refutation is a proof that there is no solution: reasons that contradict each other, or a crowd.
type refutation struct {
	conflict *cdcl.Conflict
	crowd    *cdcl.Crowd
	blamed   []cdcl.Set // the request's specs that take part, in the user's order
}

// refutes reports whether an error of the search says that there is no solution.
func refutes(err error) bool {
	var conflict *cdcl.Conflict
	var crowd *cdcl.Crowd
	return errors.As(err, &conflict) || errors.As(err, &crowd)
}

// refute is why these specs have no solution, or nil where they have one. The error is cdcl.ErrLimit where that is not known within
// this many steps, or those that are left.
func (d *detective) refute(ctx context.Context, requires []cdcl.Set, steps int) (*refutation, error) {
	p := *d.problem
	p.Requires = requires
	budget := cdcl.Budget{Steps: min(steps, d.budget.Steps), Crowd: d.budget.Crowd}
	before := budget.Steps
	_, err := cdcl.Solve(ctx, &p, &budget)
	d.budget.Steps -= before - budget.Steps
	out := &refutation{}
	switch {
	case errors.As(err, &out.conflict):
		out.blamed = d.blamed(out.conflict)
		return out, nil
	case errors.As(err, &out.crowd):
		out.blamed = d.specsOf(requires)
		return out, nil
	case err != nil:
		return nil, fmt.Errorf("explaining why there is no solution: %w", err)
	}
	return nil, nil //nolint:nilnil // there is a solution
}

// specsOf is the sets of the request's specs among these; the others are of virtual packages.
func (d *detective) specsOf(requires []cdcl.Set) []cdcl.Set { return without(requires, d.virtual()) }

// missing is the request's specs whose names no channel has; these need no search.
func (d *detective) missing() []cdcl.Set {
	return slices.DeleteFunc(d.specsOf(d.problem.Requires), func(id cdcl.Set) bool {
		n := d.pool.names[d.pool.sets[id].name]
		return n.count > 0 || n.name.IsVirtual()
	})
}

// mend takes records whose dependencies cannot be read to depend on nothing.
func (d *detective) mend() {
	for i := range d.problem.Solvables {
		d.problem.Solvables[i].Broken = false
	}
}

// another is a proof that what is left of the specs has no solution either, or nil where it has one, or that is not known soon.
func (d *detective) another(ctx context.Context, left []cdcl.Set) (*refutation, error) {
	proof, err := d.refute(ctx, left, checkSteps)
	if errors.Is(err, cdcl.ErrLimit) {
		return nil, nil //nolint:nilnil // what is told already is enough
	}
	return proof, err
}

func (d *detective) virtual() []cdcl.Set { return d.pool.root.requires[:len(d.pool.request.Virtual)] }

// proof is a refutation that does not rest on records whose dependencies cannot be read. It takes these to depend
// on nothing: if there is a solution then, nothing is proven.
func (d *detective) proof(ctx context.Context) (*refutation, error) {
	broken := slices.ContainsFunc(d.problem.Solvables, func(p cdcl.Package) bool { return p.Broken })
	unproven, err := d.refute(ctx, d.problem.Requires, d.budget.Steps)
	if errors.Is(err, cdcl.ErrLimit) && !broken {
		return &refutation{blamed: d.specsOf(d.problem.Requires)}, nil // it was proven already, with fewer candidates
	}
	if err != nil || !broken {
		return unproven, err
	}
	d.mend()
	proven, err := d.refute(ctx, d.problem.Requires, d.budget.Steps)
	if err != nil || proven != nil {
		return proven, err
	}
	return nil, d.undecided(unproven)
}

// undecided is the error for a refutation that rests on records whose dependencies cannot be read.
func (d *detective) undecided(unproven *refutation) error {
	var broken []string
	for i := range d.pool.packages {
		pkg := &d.pool.packages[i]
		if pkg.broken != "" && (unproven.conflict == nil || slices.ContainsFunc(unproven.conflict.Reasons, func(r cdcl.Reason) bool {
			return r.Kind == cdcl.BrokenPackage && int(r.Parent) == i
		})) {
			broken = append(broken, fmt.Sprintf("%s: %s", pkg.record, pkg.broken))
		}
	}
	slices.Sort(broken)
	return fmt.Errorf("solving: whether there is a solution cannot be decided, because the channels have records that cannot be used:\n  %s",
		strings.Join(shorten(broken, 5), "\n  "))
}

// checkSteps bounds the search for whether there is a solution without one of the specs. Where that is not known then, the spec is
// told as one that takes part.
const checkSteps = 4_000_000

// minimise leaves out one spec after the other, as long as there is no solution without it.
func (d *detective) minimise(ctx context.Context, r *refutation) (*refutation, error) {
	virtual := d.virtual()
	try := func(specs []cdcl.Set) error {
		smaller, err := d.refute(ctx, append(slices.Clone(virtual), specs...), checkSteps)
		if smaller != nil {
			r = smaller
		}
		if errors.Is(err, cdcl.ErrLimit) {
			return nil
		}
		return err
	}
	if r.crowd != nil {
		err := try(slices.DeleteFunc(slices.Clone(r.blamed), func(s cdcl.Set) bool { return !slices.Contains(r.crowd.Sets, s) }))
		if err != nil {
			return nil, err
		}
	}
	for i := len(r.blamed) - 1; i >= 0; i-- {
		if i < len(r.blamed) {
			if err := try(slices.Delete(slices.Clone(r.blamed), i, i+1)); err != nil {
				return nil, err
			}
		}
	}
	return r, nil
}

// tell turns a refutation into what a person can read.
func (d *detective) tell(ctx context.Context, index *remembering, r *refutation) Conflict {
	var out Conflict
	switch {
	case r.conflict != nil:
		out.Requirements = newTeller(ctx, index, d.pool, r.conflict).requirements(r.blamed)
	default:
		for _, s := range r.blamed {
			out.Requirements = append(out.Requirements, Requirement{Spec: d.pool.sets[s].spec, Outcome: Crowded})
		}
	}
	if r.crowd != nil {
		out.Places = r.crowd.Places
		for _, s := range r.crowd.Sets {
			out.Crowd = append(out.Crowd, d.pool.sets[s].spec)
		}
	}
	return out
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
