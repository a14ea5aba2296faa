package cdcl

import "math/bits"

// variable is 0 for the root, solvable+1 for a solvable, and above these for the helpers that encode that at
// most one solvable of a name is chosen.
type variable = int32

// literal is a variable or, with its lowest bit set, a variable's negation.
type literal = int32

type clauseID = int32

const (
	none       clauseID = -1
	rootClause clauseID = 0
)

func variableOf(s Solvable) variable { return variable(s) + 1 }
func solvableOf(v variable) Solvable { return Solvable(v) - 1 }
func positive(v variable) literal    { return v << 1 }
func negative(v variable) literal    { return v<<1 | 1 }

// clause is a disjunction of literals, written as what it stands for:
//
//	Requires       ¬a ∨ the matches of set b
//	Constrains     ¬a ∨ ¬b                    because of set c
//	OneOfName      ¬a ∨ literal b             of name c
//	Locked         ¬root ∨ ¬b                 because a is locked
//	Excluded, …    ¬a
//	kindLearnt     the literals of learnt[a]
type clause struct {
	kind    Kind
	a, b, c int32
}

// watch is a node of two linked lists: those of the clauses that watch the two literals.
type watch struct {
	literals [2]literal
	next     [2]clauseID
}

// learntClause is what a conflict taught, and the clauses that it follows from.
type learntClause struct {
	literals []literal
	why      []clauseID
}

type solver struct {
	p       *Problem
	trail   trail
	clauses []clause
	watches []watch    // by clause; literals are -1 where a clause is an assertion
	heads   []clauseID // by literal: the first clause that watches it

	requirers []requirer // in the order in which decisions consider them
	witness   []variable // by set: a match that was chosen when last looked at

	negated []assertion // solvables that cannot be chosen
	learnt  []learntClause
	units   []clauseID // learnt clauses of one literal
	settled [2]int     // how many of negated and units were already decided

	activity    []float32 // by name
	maxActivity float32
	seen        []bool // by variable; scratch of learn
}

// requirer is a variable with the requirements that follow from it.
type requirer struct {
	variable variable
	requires []requirement
}

type requirement struct {
	set    Set
	clause clauseID
}

type assertion struct {
	variable variable
	clause   clauseID
}

func newSolver(p *Problem) *solver {
	n := len(p.Solvables) + 1
	s := &solver{
		p:        p,
		trail:    newTrail(n),
		heads:    make([]clauseID, 2*n),
		witness:  make([]variable, len(p.Sets)),
		activity: make([]float32, len(p.Names)),
	}
	for i := range s.heads {
		s.heads[i] = none
	}
	clauses := s.size()
	s.clauses, s.watches = make([]clause, 0, clauses), make([]watch, 0, clauses)
	s.add(clause{kind: kindRoot}, -1, -1)
	return s
}

// size is how many clauses the problem has, if all of it can be reached.
func (s *solver) size() int {
	n := 1 + len(s.p.Requires)
	for _, set := range s.p.Constrains {
		n += len(s.p.Sets[set].Others)
	}
	for i := range s.p.Solvables {
		p := &s.p.Solvables[i]
		n += 1 + len(p.Requires)
		for _, set := range p.Constrains {
			n += len(s.p.Sets[set].Others)
		}
	}
	for i := range s.p.Names {
		c := &s.p.Names[i]
		n += len(c.All)*(bits.Len(uint(len(c.All)))+len(c.Locked)) + len(c.Excluded)
	}
	return n
}

// add records a clause and lets it watch two of its literals, which are -1 where it has no two.
func (s *solver) add(c clause, first, second literal) clauseID {
	id := clauseID(len(s.clauses))
	s.clauses = append(s.clauses, c)
	s.watches = append(s.watches, watch{literals: [2]literal{first, second}, next: [2]clauseID{none, none}})
	if first >= 0 {
		w := &s.watches[id]
		for i, l := range w.literals {
			w.next[i] = s.heads[l]
			s.heads[l] = id
		}
	}
	return id
}

// helper makes a variable that is no solvable.
func (s *solver) helper() variable {
	s.heads = append(s.heads, none, none)
	return s.trail.grow()
}

// visit calls f for the literals of a clause in their fixed order, until f returns false.
func (s *solver) visit(id clauseID, f func(literal) bool) {
	c := s.clauses[id]
	switch c.kind {
	case Requires:
		if !f(negative(c.a)) {
			return
		}
		for _, m := range s.p.Sets[c.b].Matching {
			if !f(positive(variableOf(m))) {
				return
			}
		}
	case Constrains:
		_ = f(negative(c.a)) && f(negative(c.b))
	case OneOfName:
		_ = f(negative(c.a)) && f(c.b)
	case Locked:
		_ = f(negative(c.b)) && f(negative(0))
	case Excluded, BrokenPackage:
		f(negative(c.a))
	case kindLearnt:
		for _, l := range s.learnt[c.a].literals {
			if !f(l) {
				return
			}
		}
	case kindRoot:
		f(positive(0))
	}
}
