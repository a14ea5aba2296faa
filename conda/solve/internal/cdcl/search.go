package cdcl

import "context"

// propagate follows the decisions to what they imply. It returns the clause that cannot be satisfied any more,
// or none.
func (s *solver) propagate(ctx context.Context, level int32) (clauseID, error) {
	if ctx.Err() != nil {
		return none, context.Cause(ctx)
	}
	if s.steps < 0 {
		return none, ErrLimit
	}
	if c := s.assert(level); c != none {
		return c, nil
	}
	for s.trail.propagated < len(s.trail.stack) {
		d := s.trail.stack[s.trail.propagated]
		s.trail.propagated++
		falsified := positive(d.variable)
		if d.value {
			falsified = negative(d.variable)
		}
		if c := s.propagateLiteral(falsified, level); c != none {
			return c, nil
		}
	}
	return none, nil
}

// assert decides what single literals demand. Once decided at the root's level they stay so.
func (s *solver) assert(level int32) clauseID {
	for _, a := range s.negated[s.settled[0]:] {
		if !s.trail.satisfy(negative(a.variable), a.clause, level) {
			return a.clause
		}
	}
	for _, id := range s.units[s.settled[1]:] {
		if !s.trail.satisfy(s.learnt[id-s.encoded].literals[0], id, level) {
			return id
		}
	}
	if level == 1 {
		s.settled = [2]int{len(s.negated), len(s.units)}
	}
	return none
}

// propagateLiteral visits the clauses that have a literal which became false, the newest first: each that watches
// it watches another of its literals instead, or, where there is none, makes its last one true.
func (s *solver) propagateLiteral(falsified literal, level int32) clauseID {
	pairs := s.pairsOf(falsified)
	previous, side := nodeID(none), 0 // the node before at in the list, and which of its two lists that is
	for at := s.heads[falsified]; at != none; {
		n := &s.nodes[at]
		mine := 0
		if n.literals[0] != falsified {
			mine = 1
		}
		if n.kind == Locked || n.fixed && mine == 0 {
			newer := 0
			for newer < len(pairs) && pairs[newer].id > n.id {
				newer++
			}
			if c := s.propagatePairs(pairs[:newer], level); c != none {
				return c
			}
			pairs = pairs[newer:]
		}
		s.steps--
		next, other := n.next[mine], n.literals[1-mine]
		replacement := literal(none)
		if s.trail.eval(other) <= 0 {
			replacement = s.unwatched(n, other)
			if replacement < 0 && !s.trail.satisfy(other, n.id, level) {
				return n.id
			}
		}
		if replacement < 0 {
			previous, side = at, mine
			at = next
			continue
		}
		if previous == none {
			s.heads[falsified] = next
		} else {
			s.nodes[previous].next[side] = next
		}
		if mine == 0 {
			n.fixed = false
		}
		n.literals[mine] = replacement
		n.next[mine] = s.heads[replacement]
		s.heads[replacement] = at
		at = next
	}
	return s.propagatePairs(pairs, level)
}

func (s *solver) propagatePairs(pairs []pair, level int32) clauseID {
	s.steps -= len(pairs)
	for _, p := range pairs {
		switch s.trail.eval(p.other) {
		case 0:
			s.trail.push(p.other>>1, p.other&1 == 0, p.id, level)
		case -1:
			return p.id
		}
	}
	return none
}

// unwatched finds the first literal of a clause that is not false and is not the one that is watched already,
// or -1.
func (s *solver) unwatched(n *node, other literal) literal {
	switch n.kind {
	case Requires:
		if l := negative(n.a); l != other && s.trail.eval(l) >= 0 {
			return l
		}
		matching := s.p.Sets[n.b].Matching
		for i, m := range matching {
			if l := positive(variableOf(m)); s.trail.values[l>>1] >= 0 && l != other {
				s.steps -= i
				return l
			}
		}
		s.steps -= len(matching)
	case kindLearnt:
		literals := s.learnt[n.a].literals
		for i, l := range literals {
			if l != other && s.trail.eval(l) >= 0 {
				s.steps -= i
				return l
			}
		}
		s.steps -= len(literals)
	}
	return none
}

// decide finds the requirement to satisfy next, and the best candidate for it: those of the root first; among
// the others the first in the order in which they were found, unless a later one both is about a name with
// more activity and leaves fewer candidates.
func (s *solver) decide() (candidate variable, why clauseID, ok bool) {
	best := choice{clause: none}
	s.trail.requirers(func(number int32) bool {
		for _, r := range s.requirementsOf(number) {
			activity := s.activity[s.p.Sets[r.set].Name]
			if best.clause != none && best.activity >= activity {
				continue
			}
			if w := s.witness[r.set]; w != 0 && s.trail.values[w] > 0 {
				continue
			}
			first, count := s.open(r.set)
			if count == 0 || best.clause != none && best.count <= count {
				continue
			}
			best = choice{candidate: first, clause: r.clause, activity: activity, count: count}
		}
		isRoot := s.requirers[number].variable == 0
		return best.clause == none || !isRoot && best.activity < s.maxActivity
	})
	return best.candidate, best.clause, best.clause != none
}

func (s *solver) requirementsOf(number int32) []requirement {
	r := &s.requirers[number]
	return s.requirements[r.first:r.next]
}

type choice struct {
	candidate variable
	clause    clauseID
	activity  float32
	count     int
}

// open is the first undecided match of a set and the number of them; none where a match is chosen already.
func (s *solver) open(set Set) (first variable, count int) {
	for _, m := range s.p.Sets[set].Matching {
		v := variableOf(m)
		switch s.trail.values[v] {
		case 1:
			s.witness[set] = v
			return 0, 0
		case 0:
			if count == 0 {
				first = v
			}
			count++
		}
	}
	return first, count
}
