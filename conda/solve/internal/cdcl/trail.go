package cdcl

import "math/bits"

// trail holds the decisions so far, in their order, and what follows for each variable.
type trail struct {
	stack      []decision
	propagated int
	values     []int8  // by variable: 1 true, -1 false, 0 undecided
	levels     []int32 // by variable

	requirerOf []int32  // by variable: its number among the requirers, or -1
	active     []uint64 // a bit for each requirer whose variable is true
}

type decision struct {
	variable variable
	value    bool
	why      clauseID
}

// newTrail makes a trail of n variables, and room for more.
func newTrail(n, room int) trail {
	t := trail{values: make([]int8, n, room), levels: make([]int32, n, room), requirerOf: make([]int32, n, room)}
	for i := range t.requirerOf {
		t.requirerOf[i] = -1
	}
	return t
}

func (t *trail) grow() variable {
	t.values = append(t.values, 0)
	t.levels = append(t.levels, 0)
	t.requirerOf = append(t.requirerOf, -1)
	return variable(len(t.values) - 1)
}

// eval is 1 where the literal is true, -1 where it is false, and 0 where that is undecided.
func (t *trail) eval(l literal) int8 {
	v := t.values[l>>1]
	if l&1 != 0 {
		return -v
	}
	return v
}

// push decides an undecided variable.
func (t *trail) push(v variable, value bool, why clauseID, level int32) {
	t.stack = append(t.stack, decision{variable: v, value: value, why: why})
	t.levels[v] = level
	if !value {
		t.values[v] = -1
		return
	}
	t.values[v] = 1
	if r := t.requirerOf[v]; r >= 0 {
		t.active[r>>6] |= 1 << (r & 63)
	}
}

// satisfy makes a literal true; it is false where the literal is false already.
func (t *trail) satisfy(l literal, why clauseID, level int32) bool {
	switch t.eval(l) {
	case 0:
		t.push(l>>1, l&1 == 0, why, level)
		return true
	case 1:
		return true
	default:
		return false
	}
}

// pop undoes the last decision, and says the level of the one before it.
func (t *trail) pop() (decision, int32) {
	d := t.stack[len(t.stack)-1]
	t.stack = t.stack[:len(t.stack)-1]
	t.values[d.variable] = 0
	if r := t.requirerOf[d.variable]; r >= 0 {
		t.active[r>>6] &^= 1 << (r & 63)
	}
	t.propagated = len(t.stack)
	return d, t.levels[t.stack[len(t.stack)-1].variable]
}

// undoTo undoes all decisions above a level, which is at least that of the root.
func (t *trail) undoTo(level int32) {
	for len(t.stack) > 1 && t.levels[t.stack[len(t.stack)-1].variable] > level {
		t.pop()
	}
}

// register gives a variable a number among the requirers.
func (t *trail) register(v variable, number int32) {
	t.requirerOf[v] = number
	if int(number>>6) >= len(t.active) {
		t.active = append(t.active, 0)
	}
	if t.values[v] > 0 {
		t.active[number>>6] |= 1 << (number & 63)
	}
}

// requirers calls f with the numbers of the requirers that are true, in ascending order, until f returns false.
func (t *trail) requirers(f func(int32) bool) {
	for i, word := range t.active {
		for ; word != 0; word &= word - 1 {
			if !f(int32(i<<6 + bits.TrailingZeros64(word))) {
				return
			}
		}
	}
}
