package cdcl

const (
	activityAdd   = float32(1)
	activityDecay = float32(0.95)
)

// learn finds the decisions that the conflict follows from (up to the first unique implication point), adds a
// clause that forbids them together, goes back to the level where that clause decides something, and decides
// it. It returns that level.
func (s *solver) learn(level int32, conflict clauseID) int32 {
	if n := len(s.trail.values); len(s.seen) < n {
		s.seen = make([]bool, n)
	}
	var literals []literal
	var why []clauseID
	var marked []variable
	skip := variable(-1) // the variable that the clause at hand implied
	open, backTo := 0, int32(0)
	var last decision
	for id := conflict; ; {
		why = append(why, id)
		s.visit(id, func(l literal) bool {
			v := l >> 1
			if v == skip || s.seen[v] {
				return true
			}
			s.seen[v] = true
			marked = append(marked, v)
			if at := s.trail.levels[v]; at == level {
				open++
			} else {
				literals = append(literals, falseLiteral(v, s.trail.values[v] > 0))
				backTo = max(backTo, at)
			}
			return true
		})
		for {
			last, level = s.trail.pop()
			if s.seen[last.variable] {
				break
			}
		}
		skip, id = last.variable, last.why
		if open = max(open-1, 0); open == 0 {
			break
		}
	}
	literals = append(literals, falseLiteral(last.variable, last.value))
	for _, v := range marked {
		s.seen[v] = false
	}

	s.bump(literals)
	id := s.addLearnt(literals, why)
	target := max(backTo, 1)
	s.trail.undoTo(target)
	s.decay()
	s.trail.satisfy(literals[len(literals)-1], id, target)
	return target
}

// falseLiteral is the literal of a variable that is false under the variable's value.
func falseLiteral(v variable, value bool) literal {
	if value {
		return negative(v)
	}
	return positive(v)
}

func (s *solver) addLearnt(literals []literal, why []clauseID) clauseID {
	number := int32(len(s.learnt))
	id := s.encoded + number
	s.learnt = append(s.learnt, learntClause{literals: literals, why: why})
	if len(literals) == 1 {
		s.units = append(s.units, id)
	} else {
		s.watch(node{literals: [2]literal{literals[0], literals[len(literals)-1]}, id: id, kind: kindLearnt, a: number})
	}
	return id
}

// bump notes that the names of these literals take part in a conflict.
func (s *solver) bump(literals []literal) {
	for _, l := range literals {
		if v := l >> 1; s.isSolvable(v) {
			s.activity[s.p.Solvables[solvableOf(v)].Name] += activityAdd
		}
	}
}

// decay lets old conflicts count for less than new ones.
func (s *solver) decay() {
	s.maxActivity = 0
	for i := range s.activity {
		s.activity[i] *= activityDecay
		s.maxActivity = max(s.maxActivity, s.activity[i])
	}
}

// explain collects the reasons for a conflict that follows from the root alone, the last one first.
func (s *solver) explain(conflict clauseID) *Conflict {
	out := &Conflict{}
	involved := make([]bool, len(s.trail.values))
	added := make(map[clauseID]bool)
	involve := func(id clauseID) {
		s.visit(id, func(l literal) bool {
			involved[l>>1] = true
			return true
		})
		s.addReasons(out, id, added)
	}
	involve(conflict)
	for i := len(s.trail.stack) - 1; i > 0; i-- {
		if d := s.trail.stack[i]; involved[d.variable] {
			involve(d.why)
		}
	}
	return out
}

func (s *solver) addReasons(out *Conflict, id clauseID, added map[clauseID]bool) {
	pending := []clauseID{id}
	for len(pending) > 0 {
		id = pending[len(pending)-1]
		pending = pending[:len(pending)-1]
		if added[id] {
			continue
		}
		added[id] = true
		c := s.clause(id)
		r := Reason{Kind: c.kind, Parent: solvableOf(c.a)}
		switch c.kind {
		case kindLearnt:
			pending = append(pending, s.learnt[c.a].why...)
			continue
		case Requires:
			r.Set = Set(c.b)
		case Constrains:
			r.Other, r.Set = solvableOf(c.b), Set(c.c)
		case Locked:
			r.Other = solvableOf(c.b)
		case OneOfName:
			r.Parent = Solvable(c.c)
		}
		out.Reasons = append(out.Reasons, r)
	}
}
