package cdcl

import (
	"context"
	"math/bits"
)

// encoder writes the problem down as clauses, breadth first from the root: what a solvable asks for is written
// down when the solvable first matches a requirement.
type encoder struct {
	*solver
	queue     []task
	solvables []bool // by variable: queued
	names     []bool // by name: queued
	order     []Name // those that have a crowd, in the order in which they were found
}

// task is one step of the encoding; steps are made in the order in which they were found.
type task struct {
	kind   Kind // Requires, Constrains, Excluded for a name as a whole, kindRoot for a solvable as a whole
	parent variable
	id     int32 // the set or the name
}

func (s *solver) encode(ctx context.Context) error {
	e := &encoder{
		solver:    s,
		solvables: make([]bool, len(s.p.Solvables)+1),
		names:     make([]bool, len(s.p.Names)),
		queue:     make([]task, 0, cap(s.blocks)+len(s.p.Solvables)),
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
	e.negated = append(e.negated, assertion{v, e.block(kind, v, 0, 1)})
}

func (e *encoder) name(n Name) {
	c := &e.p.Names[n]
	for _, locked := range c.Locked {
		for _, other := range c.All {
			if other != locked {
				v := variableOf(other)
				id := e.block(Locked, variableOf(locked), v, 1)
				e.watch(node{literals: [2]literal{negative(0), negative(v)}, id: id, fixed: true, kind: Locked})
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
	e.own(parent)
	id := e.block(Requires, parent, int32(set), 1)
	if len(m.Matching) > 0 {
		e.watch(node{
			literals: [2]literal{negative(parent), positive(variableOf(m.Matching[0]))},
			id:       id, fixed: true, kind: Requires, a: parent, b: int32(set),
		})
	} else {
		e.negated = append(e.negated, assertion{parent, id})
	}
	number := e.trail.requirerOf[parent]
	if number < 0 {
		number = int32(len(e.requirers))
		first := int32(len(e.requirements))
		e.requirers = append(e.requirers, requirer{variable: parent, first: first, next: first})
		e.trail.register(parent, number)
	}
	e.requirements = append(e.requirements, requirement{set, id}) // those of a parent follow each other, as its tasks do
	e.requirers[number].next++
}

func (e *encoder) constraint(parent variable, set Set) {
	m := &e.p.Sets[set]
	if len(m.Others) == 0 {
		return
	}
	if e.uses[set] == nil {
		e.limits[m.Name] = append(e.limits[m.Name], set)
	}
	e.own(parent)
	e.uses[set] = append(e.uses[set], use{parent, e.block(Constrains, parent, int32(set), len(m.Others))})
}

// own notes where the blocks of a parent begin. They follow each other, as its tasks do.
func (e *encoder) own(parent variable) {
	if e.blockOf[parent] < 0 {
		e.blockOf[parent] = int32(len(e.blocks))
	}
}

// candidate notes that a solvable can be chosen, and thus competes with others of its name.
func (e *encoder) candidate(n Name, v variable) {
	if e.number[v] >= 0 {
		return
	}
	c := &e.crowds[n]
	if len(c.members) == 0 {
		e.order = append(e.order, n)
	}
	e.number[v] = int32(len(c.members))
	c.members = append(c.members, v)
}

// oneOfName numbers the solvables of a name in binary. A helper variable stands for each bit, and each
// solvable implies the bits of its number, so that two of them contradict each other.
func (e *encoder) oneOfName(n Name) {
	c := &e.crowds[n]
	for range bits.Len(uint(len(c.members) - 1)) {
		c.helpers = append(c.helpers, e.helper(n))
	}
	if len(c.helpers) > 0 {
		c.start = e.block(OneOfName, none, int32(n), len(c.members)*len(c.helpers))
	}
}
