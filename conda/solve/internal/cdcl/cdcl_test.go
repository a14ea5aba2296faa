package cdcl

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Names: 0 has the solvables 0 and 1, 1 has 2 and 3. Solvable 0 needs 3, and 1 needs nothing.
func problem() *Problem {
	return &Problem{
		Requires: []Set{0},
		Names:    []Candidates{{All: []Solvable{0, 1}}, {All: []Solvable{2, 3}}},
		Solvables: []Package{
			{Name: 0, Requires: []Set{1}},
			{Name: 0},
			{Name: 1},
			{Name: 1},
		},
		Sets: []Matches{
			{Name: 0, Matching: []Solvable{0, 1}},
			{Name: 1, Matching: []Solvable{3}, Others: []Solvable{2}},
			{Name: 1, Matching: []Solvable{2}, Others: []Solvable{3}},
			{Name: 0, Matching: []Solvable{0}, Others: []Solvable{1}},
		},
	}
}

func plenty() *Budget { return &Budget{Steps: 1_000_000} }

// pigeons has one name more than places: each needs a place of its own.
func pigeons(places int) *Problem {
	p := &Problem{}
	for pigeon := range places + 1 {
		n := Name(pigeon)
		set := Matches{Name: n}
		for place := range places {
			s := Solvable(len(p.Solvables))
			set.Matching = append(set.Matching, s)
			var others []Set
			for other := range places + 1 {
				if other != pigeon { // sets that come later: all of a name but the one of this place
					others = append(others, Set(places+1+other*places+place))
				}
			}
			p.Solvables = append(p.Solvables, Package{Name: n, Constrains: others})
		}
		p.Names = append(p.Names, Candidates{All: set.Matching})
		p.Requires = append(p.Requires, Set(pigeon))
		p.Sets = append(p.Sets, set)
	}
	for pigeon := range places + 1 {
		for place := range places {
			p.Sets = append(p.Sets, Matches{Name: Name(pigeon), Others: []Solvable{Solvable(pigeon*places + place)}})
		}
	}
	return p
}

func TestACrowdIsFoundInFewSteps(t *testing.T) {
	b := &Budget{Steps: 10_000_000, Crowd: 1000}
	_, err := Solve(t.Context(), pigeons(20), b)
	var c *Crowd
	require.ErrorAs(t, err, &c)
	require.Len(t, c.Sets, 21)
	require.Equal(t, 20, c.Places)
	require.Greater(t, b.Steps, 5_000_000)
}

func TestACrowdThatFitsIsNone(t *testing.T) {
	p := pigeons(8)
	p.Requires = p.Requires[1:]
	c, err := p.crowd(t.Context(), plenty())
	require.NoError(t, err)
	require.Nil(t, c)
	_, err = Solve(t.Context(), p, plenty())
	require.NoError(t, err)
}

func TestTheBudgetIsKept(t *testing.T) {
	b := &Budget{Steps: 100_000}
	_, err := Solve(t.Context(), pigeons(20), b)
	require.ErrorIs(t, err, ErrLimit)
	require.Greater(t, b.Steps, -100_000, "little more than allowed")
}

func TestTheFirstCandidateIsPreferred(t *testing.T) {
	got, err := Solve(t.Context(), problem(), plenty())
	require.NoError(t, err)
	require.Equal(t, []Solvable{0, 3}, got)
}

func TestTheNextCandidateIsTakenWhereTheFirstCannotBe(t *testing.T) {
	for name, change := range map[string]func(*Problem){
		"locked":      func(p *Problem) { p.Names[1].Locked = []Solvable{2} },
		"excluded":    func(p *Problem) { p.Names[1].Excluded = []Solvable{3} },
		"broken":      func(p *Problem) { p.Solvables[3].Broken = true },
		"constrained": func(p *Problem) { p.Constrains = []Set{2} },
		"required":    func(p *Problem) { p.Requires = append(p.Requires, 2) },
	} {
		p := problem()
		change(p)
		got, err := Solve(t.Context(), p, plenty())
		require.NoError(t, err, name)
		require.Contains(t, got, Solvable(1), name)
		require.NotContains(t, got, Solvable(0), name)
		require.NotContains(t, got, Solvable(3), name)
	}
}

func TestAConflictNamesItsReasons(t *testing.T) {
	p := problem()
	p.Requires = []Set{3}
	p.Names[1].Locked = []Solvable{2}
	_, err := Solve(t.Context(), p, plenty())
	var c *Conflict
	require.ErrorAs(t, err, &c)
	require.ElementsMatch(t, []Reason{
		{Kind: Requires, Parent: Root, Set: 3},
		{Kind: Requires, Parent: 0, Set: 1},
		{Kind: Locked, Parent: 2, Other: 3},
	}, c.Reasons)
}
