package cdcl

import "context"

// encoder writes the problem down as clauses, breadth first from the root: what a solvable asks for is written
// down when the solvable first matches a requirement.
type encoder struct {
	*solver
	queue     []task
	solvables []bool // by variable: queued
	names     []bool // by name: queued

	competing   []bool       // by variable: among the competitors of its name
	competitors [][]variable // by name: in the order in which they were found
	order       []Name       // those that have competitors, in the order in which they were found
}

// task is one step of the encoding; steps are made in the order in which they were found.
type task struct {
	kind   Kind // Requires, Constrains, Excluded for a name as a whole, kindRoot for a solvable as a whole
	parent variable
	id     int32 // the set or the name
}

func (s *solver) encode(ctx context.Context) error {
	e := &encoder{
		solver:      s,
		solvables:   make([]bool, len(s.p.Solvables)+1),
		names:       make([]bool, len(s.p.Names)),
		competing:   make([]bool, len(s.p.Solvables)+1),
		competitors: make([][]variable, len(s.p.Names)),
	}
	e.queueSolvable(0)
	for done := 0; done < len(e.queue); done++ {
		if done&1023 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		switch t := e.queue[done]; t.kind {
		case kindRoot:
			e.solvable(t.parent)
		case Requires:
			e.requirement(t.parent, Set(t.id))
		case Constrains:
			e.constraint(t.parent, Set(t.id))
		default:
			e.name(Name(t.id))
		}
	}
	for _, n := range e.order {
		e.oneOfName(n)
	}
	return nil
}

func (e *encoder) queueSolvable(v variable) {
	if !e.solvables[v] {
		e.solvables[v] = true
		e.queue = append(e.queue, task{kind: kindRoot, parent: v})
	}
}

func (e *encoder) queueName(n Name) {
	if !e.names[n] {
		e.names[n] = true
		e.queue = append(e.queue, task{kind: Excluded, id: int32(n)})
	}
}

// solvable queues what a solvable asks for.
func (e *encoder) solvable(v variable) {
	requires, constrains := e.p.Requires, e.p.Constrains
	if v != 0 {
		p := &e.p.Solvables[solvableOf(v)]
		if p.Broken {
			e.exclude(BrokenPackage, v)
			return
		}
		requires, constrains = p.Requires, p.Constrains
	}
	for _, set := range requires {
		e.queueName(e.p.Sets[set].Name)
	}
	for _, set := range constrains {
		e.queueName(e.p.Sets[set].Name)
	}
	for _, set := range requires {
		e.queue = append(e.queue, task{kind: Requires, parent: v, id: int32(set)})
	}
	for _, set := range constrains {
		e.queue = append(e.queue, task{kind: Constrains, parent: v, id: int32(set)})
	}
}

func (e *encoder) exclude(kind Kind, v variable) {
	e.negated = append(e.negated, assertion{v, e.add(clause{kind: kind, a: v}, -1, -1)})
}

func (e *encoder) name(n Name) {
	c := &e.p.Names[n]
	for _, locked := range c.Locked {
		for _, other := range c.All {
			if other != locked {
				v := variableOf(other)
				e.add(clause{kind: Locked, a: variableOf(locked), b: v}, negative(0), negative(v))
			}
		}
	}
	for _, x := range c.Excluded {
		e.exclude(Excluded, variableOf(x))
	}
}

func (e *encoder) requirement(parent variable, set Set) {
	m := &e.p.Sets[set]
	for _, c := range m.Matching {
		e.candidate(m.Name, variableOf(c))
	}
	for _, c := range m.Matching {
		e.queueSolvable(variableOf(c))
	}
	first, second := literal(-1), literal(-1)
	if len(m.Matching) > 0 {
		first, second = negative(parent), positive(variableOf(m.Matching[0]))
	}
	id := e.add(clause{kind: Requires, a: parent, b: int32(set)}, first, second)
	if len(m.Matching) == 0 {
		e.negated = append(e.negated, assertion{parent, id})
	}
	number := e.trail.requirerOf[parent]
	if number < 0 {
		number = int32(len(e.requirers))
		e.requirers = append(e.requirers, requirer{variable: parent})
		e.trail.register(parent, number)
	}
	r := &e.requirers[number]
	r.requires = append(r.requires, requirement{set, id})
}

func (e *encoder) constraint(parent variable, set Set) {
	for _, o := range e.p.Sets[set].Others {
		v := variableOf(o)
		e.add(clause{kind: Constrains, a: parent, b: v, c: int32(set)}, negative(parent), negative(v))
	}
}

// candidate notes that a solvable can be chosen, and thus competes with others of its name.
func (e *encoder) candidate(n Name, v variable) {
	if e.competing[v] {
		return
	}
	e.competing[v] = true
	if e.competitors[n] == nil {
		e.order = append(e.order, n)
	}
	e.competitors[n] = append(e.competitors[n], v)
}

// oneOfName numbers the solvables of a name in binary. A helper variable stands for each bit, and each
// solvable implies the bits of its number, so that two of them contradict each other.
func (e *encoder) oneOfName(n Name) {
	var helpers []variable
	forbid := func(member, helper variable, bit bool) {
		l := negative(helper)
		if bit {
			l = positive(helper)
		}
		e.add(clause{kind: OneOfName, a: member, b: l, c: int32(n)}, negative(member), l)
	}
	members := e.competitors[n]
	for number, v := range members {
		if number == 0 {
			continue
		}
		for number > 1<<len(helpers)-1 {
			helper, bit := e.helper(), len(helpers)
			helpers = append(helpers, helper)
			for i, m := range members[:number] {
				forbid(m, helper, i>>bit&1 == 1)
			}
		}
		for bit, helper := range helpers {
			forbid(v, helper, number>>bit&1 == 1)
		}
	}
}
