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

func TestTheFirstCandidateIsPreferred(t *testing.T) {
	got, err := Solve(t.Context(), problem())
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
		got, err := Solve(t.Context(), p)
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
	_, err := Solve(t.Context(), p)
	var c *Conflict
	require.ErrorAs(t, err, &c)
	require.ElementsMatch(t, []Reason{
		{Kind: Requires, Parent: Root, Set: 3},
		{Kind: Requires, Parent: 0, Set: 1},
		{Kind: Locked, Parent: 2, Other: 3},
	}, c.Reasons)
}
