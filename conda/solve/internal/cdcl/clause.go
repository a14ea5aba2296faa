package cdcl

import (
	"math/bits"
	"slices"
	"sort"
)

// variable is 0 for the root, solvable+1 for a solvable, and above these for the helpers that encode that at
// most one solvable of a name is chosen.
type variable = int32

// literal is a variable or, with its lowest bit set, a variable's negation.
type literal = int32

// clauseID numbers the clauses in the order in which they were found; learnt ones come after all others.
type clauseID = int32

// nodeID numbers the clauses that are in lists of watches.
type nodeID = int32

const (
	none       = -1
	rootClause = clauseID(0)
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

// block is a run of clauses whose numbers follow each other. Only what is needed to tell them is kept: of
// constraints and of names there are far more clauses than a search ever looks at.
//
//	Requires       one, of parent and set id
//	Constrains     one for each other of set id
//	OneOfName      bits for each of the members of name id
//	Locked, …      one
type block struct {
	start  clauseID
	kind   Kind
	parent variable
	id     int32
}

// node is a clause of which two literals are watched, in the linked lists of these.
type node struct {
	literals [2]literal
	next     [2]nodeID
	id       clauseID
	fixed    bool // literals[0] is watched since the encoding: the node has its place among the pairs of that list
	kind     Kind
	a, b     int32 // as in clause
}

// pair is a clause of two literals in the list of one of them: the other one, and its number.
type pair struct {
	id    clauseID
	other literal
}

// learntClause is what a conflict taught, and the clauses that it follows from.
type learntClause struct {
	literals []literal
	why      []clauseID
}

// crowd is the solvables of a name that compete. Each has a number, and a helper for each bit of the number.
type crowd struct {
	start   clauseID
	members []variable
	helpers []variable
}

// use is a package, or the root, that has a constraint.
type use struct {
	parent variable
	start  clauseID
}

type solver struct {
	p     *Problem
	trail trail
	level int32 // of the decisions that are made now; the root's is 1
	steps int   // left before the search gives up

	blocks  []block
	blockOf []int32  // by variable of a solvable: the first block of which it is the parent
	uses    [][]use  // by set: who has it as a constraint
	limits  [][]Set  // by name: the sets that are constraints
	crowds  []crowd  // by name
	number  []int32  // by variable of a solvable: its number in its crowd, or -1
	helped  []Name   // by helper: the name that it is for
	encoded clauseID // the number of the first learnt clause

	nodes []node
	heads []nodeID // by literal: the first node that watches it
	pairs [][]pair // by literal, the newest first; nil until the literal is false for the first time

	requirers    []requirer // in the order in which decisions consider them
	requirements []requirement
	witness      []variable // by set: a match that was chosen when last looked at

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
	variable    variable
	first, next int32 // in solver.requirements
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
	solvables := len(p.Solvables) + 1
	requires, constrains, helpers := p.size()
	variables := solvables + helpers
	s := &solver{
		p:        p,
		trail:    newTrail(solvables, variables),
		level:    1,
		blocks:   make([]block, 0, requires+constrains+len(p.Names)+1),
		blockOf:  make([]int32, solvables),
		uses:     make([][]use, len(p.Sets)),
		limits:   make([][]Set, len(p.Names)),
		crowds:   make([]crowd, len(p.Names)),
		number:   make([]int32, solvables),
		helped:   make([]Name, 0, helpers),
		nodes:    make([]node, 0, requires),
		heads:    make([]nodeID, 2*solvables, 2*variables),
		pairs:    make([][]pair, 2*solvables, 2*variables),
		witness:  make([]variable, len(p.Sets)),
		activity: make([]float32, len(p.Names)),

		requirers:    make([]requirer, 0, solvables),
		requirements: make([]requirement, 0, requires),
	}
	for i := range s.heads {
		s.heads[i] = none
	}
	for i := range s.number {
		s.number[i], s.blockOf[i] = none, none
	}
	s.block(kindRoot, none, 0, 1)
	return s
}

// size is how many requirements, constraints and helpers the problem has, if all of it can be reached.
func (p *Problem) size() (requires, constrains, helpers int) {
	requires, constrains = len(p.Requires), len(p.Constrains)
	for i := range p.Solvables {
		requires += len(p.Solvables[i].Requires)
		constrains += len(p.Solvables[i].Constrains)
	}
	for i := range p.Names {
		helpers += bits.Len(uint(len(p.Names[i].All)))
	}
	return requires, constrains, helpers
}

// block records clauses, and returns the number of the first of them.
func (s *solver) block(kind Kind, parent variable, id int32, count int) clauseID {
	start := s.encoded
	s.blocks = append(s.blocks, block{start: start, kind: kind, parent: parent, id: id})
	s.encoded += clauseID(count)
	return start
}

// watch puts a clause into the lists of two of its literals.
func (s *solver) watch(n node) {
	id := nodeID(len(s.nodes))
	for i, l := range n.literals {
		n.next[i] = s.heads[l]
		s.heads[l] = id
	}
	s.nodes = append(s.nodes, n)
}

// helper makes a variable that is no solvable.
func (s *solver) helper(n Name) variable {
	s.heads = append(s.heads, none, none)
	s.pairs = append(s.pairs, nil, nil)
	s.helped = append(s.helped, n)
	return s.trail.grow()
}

// isSolvable reports whether the variable is neither the root nor a helper.
func (s *solver) isSolvable(v variable) bool { return v > 0 && int(v) <= len(s.p.Solvables) }

// clause is what a number stands for.
func (s *solver) clause(id clauseID) clause {
	if id >= s.encoded {
		return clause{kind: kindLearnt, a: id - s.encoded}
	}
	b := s.blocks[sort.Search(len(s.blocks), func(i int) bool { return s.blocks[i].start > id })-1]
	c := clause{kind: b.kind, a: b.parent, b: b.id}
	switch b.kind {
	case Constrains:
		c.b, c.c = variableOf(s.p.Sets[b.id].Others[id-b.start]), b.id
	case OneOfName:
		crowd := &s.crowds[b.id]
		number, bit := int(id-b.start)/len(crowd.helpers), int(id-b.start)%len(crowd.helpers)
		c = clause{kind: OneOfName, a: crowd.members[number], b: crowd.implied(number, bit), c: b.id}
	}
	return c
}

// implied is the literal that a member's number implies for one of its bits.
func (c *crowd) implied(number, bit int) literal {
	if number>>bit&1 == 1 {
		return positive(c.helpers[bit])
	}
	return negative(c.helpers[bit])
}

// visit calls f for the literals of a clause in their fixed order, until f returns false.
func (s *solver) visit(id clauseID, f func(literal) bool) {
	switch c := s.clause(id); c.kind {
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

// pairsOf is the clauses of two literals that have this one, the newest first. They are written down when the
// literal becomes false, which most never do.
func (s *solver) pairsOf(l literal) []pair {
	if s.pairs[l] != nil {
		return s.pairs[l]
	}
	v := l >> 1
	pairs := make([]pair, 0, 8)
	switch {
	case int(v) > len(s.p.Solvables):
		pairs = s.helperPairs(pairs, l)
	case l&1 == 1:
		pairs = s.solvablePairs(pairs, v)
		slices.SortFunc(pairs, func(a, b pair) int { return int(b.id - a.id) })
		pairs = slices.Compact(pairs)
	}
	s.pairs[l] = pairs
	return pairs
}

// helperPairs is the members of a crowd whose number implies the opposite of the literal.
func (s *solver) helperPairs(pairs []pair, l literal) []pair {
	v := l >> 1
	c := &s.crowds[s.helped[int(v)-len(s.p.Solvables)-1]]
	bit := slices.Index(c.helpers, v)
	for number := len(c.members) - 1; number >= 0; number-- {
		if c.implied(number, bit) == l {
			pairs = append(pairs, pair{c.start + clauseID(number*len(c.helpers)+bit), negative(c.members[number])})
		}
	}
	return pairs
}

// solvablePairs is what follows at once when the root or a solvable is chosen.
func (s *solver) solvablePairs(pairs []pair, v variable) []pair {
	for i := int(s.blockOf[v]); i >= 0 && i < len(s.blocks) && s.blocks[i].parent == v; i++ {
		if b := s.blocks[i]; b.kind == Constrains {
			for j, o := range s.p.Sets[b.id].Others {
				pairs = append(pairs, pair{b.start + clauseID(j), negative(variableOf(o))})
			}
		}
	}
	if v == 0 {
		return pairs
	}
	n := s.p.Solvables[solvableOf(v)].Name
	for _, set := range s.limits[n] {
		if at, ok := slices.BinarySearch(s.p.Sets[set].Others, solvableOf(v)); ok {
			for _, u := range s.uses[set] {
				pairs = append(pairs, pair{u.start + clauseID(at), negative(u.parent)})
			}
		}
	}
	if number := int(s.number[v]); number >= 0 {
		c := &s.crowds[n]
		for bit := range c.helpers {
			pairs = append(pairs, pair{c.start + clauseID(number*len(c.helpers)+bit), c.implied(number, bit)})
		}
	}
	return pairs
}
