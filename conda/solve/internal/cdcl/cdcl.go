// Package cdcl decides whether a set of packages can be chosen so that all requirements hold, and which set
// comes first in a fixed order of preference. It knows packages only as numbers.
//
// It is conflict-driven clause learning with the decision order of resolvo, the solver of rattler: the
// requirements of the root are decided first, then those of the chosen packages in the order in which they
// were found; each with the first candidate that is still possible. The order of clauses, of watches and of
// learnt literals is part of the result, and is therefore resolvo's as well.
package cdcl

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Name numbers the names that packages have: an index into Problem.Names.
type Name int32

// Solvable numbers the packages that can be chosen: an index into Problem.Solvables.
type Solvable int32

// Root is the parent of the requirements of the problem itself.
const Root Solvable = -1

// Set numbers what a requirement or a constraint asks of a name: an index into Problem.Sets.
type Set int32

// Problem is what is to be solved. It is only read.
type Problem struct {
	Requires   []Set // one solvable of each must be chosen
	Constrains []Set // of their names, only these solvables may be chosen
	Names      []Candidates
	Solvables  []Package
	Sets       []Matches
}

// Candidates is what is known of a name as a whole. At most one solvable of a name is chosen.
type Candidates struct {
	All      []Solvable
	Locked   []Solvable // at most one: all others are excluded by it
	Excluded []Solvable // these cannot be chosen
}

// Package is what a solvable asks for when it is chosen.
type Package struct {
	Name       Name
	Requires   []Set
	Constrains []Set
	Broken     bool // its requirements are not known: it cannot be chosen
}

// Matches says which solvables of a name are in a set, and which are not.
type Matches struct {
	Name     Name
	Matching []Solvable // the best first; only needed for a set that is required
	Others   []Solvable // only needed for a set that is constrained
}

// Kind says why a clause holds.
type Kind uint8

// The kinds of clauses that explain a conflict.
const (
	kindRoot      Kind = iota
	Requires           // if Parent is chosen, so is one of Set's matches
	Constrains         // if Parent is chosen, Other, which is not in Set, is not
	OneOfName          // at most one solvable of a name is chosen
	Locked             // Other is not chosen, because Parent is locked
	Excluded           // Parent cannot be chosen
	BrokenPackage      // Parent cannot be chosen, because what it requires is not known
	kindLearnt
)

// Reason is one of the facts that together rule out every solution.
type Reason struct {
	Kind   Kind
	Parent Solvable // whose fact it is; Root for the problem itself; the name's number for OneOfName
	Set    Set      // for Requires and Constrains
	Other  Solvable // for Constrains and Locked
}

// Conflict is the error for a problem that has no solution: reasons that contradict each other.
type Conflict struct{ Reasons []Reason }

func (c *Conflict) Error() string {
	return fmt.Sprintf("no solution: %d reasons contradict each other", len(c.Reasons))
}

// ErrLimit is the error where the steps were used up before there was an answer.
var ErrLimit = errors.New("the search takes too many steps")

// Budget is how many steps may be taken; what is taken is subtracted. A step is a look at a clause: some hundred million are made in a
// few seconds. The same problem takes the same number of steps wherever it is solved.
type Budget struct {
	Steps int
	Crowd int // after so many steps without an answer, a Crowd is looked for; 0 is never
}

// Solve returns the chosen solvables in the order in which they were decided. The error is a *Conflict or a *Crowd where there is no
// solution, ErrLimit where the budget was used up before that was known, and the context's error where it was done before.
func Solve(ctx context.Context, p *Problem, b *Budget) ([]Solvable, error) {
	s := newSolver(p)
	s.trail.push(0, true, rootClause, 1)
	if err := s.encode(ctx); err != nil {
		return nil, err
	}
	b.Steps -= len(s.blocks)
	first := b.Steps
	if b.Crowd > 0 {
		first = min(first, b.Crowd)
	}
	chosen, err := s.searchFor(ctx, first, b)
	if !errors.Is(err, ErrLimit) || b.Steps <= 0 {
		return chosen, err
	}
	if crowd, err := p.crowd(ctx, b); err != nil {
		return nil, err
	} else if crowd != nil {
		return nil, crowd
	}
	return s.searchFor(ctx, b.Steps, b)
}

// searchFor searches for a number of steps. It can be called again after ErrLimit, and goes on where it was.
func (s *solver) searchFor(ctx context.Context, steps int, b *Budget) ([]Solvable, error) {
	s.steps = steps
	chosen, err := s.search(ctx)
	b.Steps -= steps - s.steps
	return chosen, err
}

// search decides and propagates until all is decided.
func (s *solver) search(ctx context.Context) ([]Solvable, error) {
	for {
		if err := s.propagateAndLearn(ctx); err != nil {
			return nil, err
		}
		candidate, clause, ok := s.decide()
		if !ok {
			return s.chosen(), nil
		}
		s.level++
		s.trail.push(candidate, true, clause, s.level)
	}
}

func (s *solver) chosen() []Solvable {
	var out []Solvable
	for _, d := range s.trail.stack {
		if d.value && d.variable != 0 && int(d.variable) <= len(s.p.Solvables) {
			out = append(out, solvableOf(d.variable))
		}
	}
	return slices.Clip(out)
}

func (s *solver) propagateAndLearn(ctx context.Context) error {
	for {
		conflict, err := s.propagate(ctx, s.level)
		if err != nil {
			return err
		}
		if conflict == none {
			return nil
		}
		if s.level == 1 {
			return s.explain(conflict)
		}
		s.level = s.learn(s.level, conflict)
	}
}
