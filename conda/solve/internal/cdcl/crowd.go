package cdcl

import (
	"context"
	"errors"
	"slices"
)

// Crowd is the error for a problem that has no solution because more names must be chosen from than there are places: their
// candidates fall into groups, fewer than there are names, and any two candidates of a group exclude each other. Learning clauses
// takes a number of steps for this that grows exponentially.
type Crowd struct {
	Sets   []Set // what is required of these names
	Places int   // the number of groups, which is less than that of the sets
}

func (c *Crowd) Error() string {
	return "no solution: there are fewer places than packages that need one"
}

// must is a set of which a solvable has to be chosen, whatever else is.
type must struct {
	set     Set
	open    []variable // its solvables that are still possible
	options []int      // their numbers in crowding.options
}

// crowding looks for a crowd among what must be chosen.
type crowding struct {
	*solver
	musts    []must
	options  []variable
	excludes []bitset // by option: those that cannot be chosen together with it
}

// crowd tries each candidate of what must be chosen, to see what it excludes at once. It returns nil where it finds no crowd within
// a part of the steps that are left.
func (p *Problem) crowd(ctx context.Context, b *Budget) (*Crowd, error) {
	c := &crowding{solver: newSolver(p)}
	most := b.Steps / 4
	c.steps = most
	defer func() { b.Steps -= most - c.steps }()
	c.trail.push(0, true, rootClause, 1)
	if err := c.encode(ctx); err != nil {
		return nil, err
	}
	if conflict, err := c.propagate(ctx, 1); err != nil || conflict != none {
		return nil, ignoreLimit(err)
	}
	c.collect()
	if err := c.try(ctx); err != nil {
		return nil, ignoreLimit(err)
	}
	for i := range c.musts {
		if found := c.grow(i); found != nil {
			return found, nil
		}
	}
	return nil, nil
}

func ignoreLimit(err error) error {
	if errors.Is(err, ErrLimit) {
		return nil
	}
	return err
}

// maxOptions bounds the memory that a crowd is looked for in. Names with few candidates come first.
const maxOptions = 4096

// collect finds what must be chosen and is not yet: what the root and what follows from it requires.
func (c *crowding) collect() {
	known := map[Name]bool{}
	c.trail.requirers(func(number int32) bool {
		for _, r := range c.requirementsOf(number) {
			if set := c.p.Sets[r.set]; !known[set.Name] {
				if open, met := c.undecided(set); !met {
					known[set.Name] = true
					c.musts = append(c.musts, must{set: r.set, open: open})
				}
			}
		}
		return true
	})
	slices.SortStableFunc(c.musts, func(a, b must) int { return len(a.open) - len(b.open) })
	for i := range c.musts {
		m := &c.musts[i]
		if len(c.options)+len(m.open) > maxOptions {
			c.musts = c.musts[:i]
			break
		}
		for _, v := range m.open {
			m.options = append(m.options, len(c.options))
			c.options = append(c.options, v)
		}
	}
}

// undecided is the solvables of a set that can still be chosen, and whether one is chosen already.
func (c *crowding) undecided(set Matches) (open []variable, met bool) {
	for _, m := range set.Matching {
		switch v := variableOf(m); c.trail.values[v] {
		case 1:
			return nil, true
		case 0:
			open = append(open, v)
		}
	}
	return open, false
}

// try chooses each option alone, and notes which others that rules out. An option that rules itself out excludes all.
func (c *crowding) try(ctx context.Context) error {
	c.excludes = make([]bitset, len(c.options))
	for i := range c.excludes {
		c.excludes[i] = newBitset(len(c.options))
	}
	for i, v := range c.options {
		c.trail.push(v, true, rootClause, 2)
		conflict, err := c.propagate(ctx, 2)
		if err != nil {
			return err
		}
		for j, o := range c.options {
			if conflict != none || c.trail.values[o] < 0 {
				c.excludes[i].set(j)
				c.excludes[j].set(i)
			}
		}
		c.trail.undoTo(1)
	}
	return nil
}

// grow begins with one group for each option of a name, and adds names whose options all fit into these groups.
func (c *crowding) grow(first int) *Crowd {
	var groups []group
	for _, o := range c.musts[first].options {
		groups = append(groups, group{[]int{o}})
	}
	out := &Crowd{Sets: []Set{c.musts[first].set}, Places: len(groups)}
	for i, m := range c.musts {
		if i == first || !c.fit(groups, m) {
			continue
		}
		if out.Sets = append(out.Sets, m.set); len(out.Sets) > out.Places {
			return out
		}
	}
	return nil
}

// group is options of which any two exclude each other.
type group struct{ options []int }

// fit adds all options of a name to groups, or none.
func (c *crowding) fit(groups []group, m must) bool {
	into := make([]int, len(m.options))
	for i, o := range m.options {
		into[i] = slices.IndexFunc(groups, func(g group) bool {
			return !slices.ContainsFunc(g.options, func(x int) bool { return !c.excludes[o].has(x) })
		})
		if into[i] < 0 {
			return false
		}
	}
	for i, o := range m.options {
		g := &groups[into[i]]
		g.options = append(g.options, o)
	}
	return true
}

// bitset is a set of small numbers.
type bitset []uint64

func newBitset(n int) bitset    { return make(bitset, (n+63)/64) }
func (b bitset) set(i int)      { b[i>>6] |= 1 << (i & 63) }
func (b bitset) has(i int) bool { return b[i>>6]>>(i&63)&1 != 0 }
