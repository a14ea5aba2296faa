package solve_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/matchspec"
	"github.com/datalayer/conda2docker/conda/solve"
	"github.com/datalayer/conda2docker/conda/version"
)

// ask is a MatchSpec that the oracle understands without any of the code under test.
type ask struct {
	channel string // "" for any
	name    string
	op      string // "" for any
	n       int
}

func (a ask) String() string {
	s := strings.TrimSpace(fmt.Sprintf("%s %s", a.name, a.suffix()))
	if a.channel != "" {
		return a.channel + "::" + s
	}
	return s
}

// selects reports whether the record is one that is asked for; its name is.
func (a ask) selects(t *toy) bool {
	return a.holds(t.version) && (a.channel == "" || a.channel == t.record.Channel.Name)
}

func (a ask) suffix() string {
	if a.op == "" {
		return ""
	}
	return fmt.Sprintf("%s%d", a.op, a.n)
}

func (a ask) holds(n int) bool {
	switch a.op {
	case ">=":
		return n >= a.n
	case "<":
		return n < a.n
	case "==":
		return n == a.n
	case "!=":
		return n != a.n
	}
	return true
}

// toy is a record that the oracle understands.
type toy struct {
	name       string
	version    int
	channel    int
	depends    []ask
	constrains []ask
	record     *conda.Record
}

// puzzle is a small random problem.
type puzzle struct {
	toys     map[string][]*toy
	virtual  map[string]int
	specs    []ask
	locked   *toy
	priority solve.Priority
}

const puzzleNames = "abcdef"

func randomPuzzle(r *rand.Rand) puzzle {
	p := puzzle{toys: map[string][]*toy{}, virtual: map[string]int{}}
	names := strings.Split(puzzleNames[:3+r.IntN(4)], "")
	if r.IntN(2) == 0 {
		p.virtual["__v"] = 1 + r.IntN(3)
	}
	randomAsk := func(not string) ask {
		a := ask{name: names[r.IntN(len(names))], n: 1 + r.IntN(3)}
		switch r.IntN(20) {
		case 0:
			a.name = "__v"
		case 1:
			a.name = "missing"
		}
		if a.name == not {
			a.name = names[0]
		}
		a.op = []string{"", ">=", "<", "==", "!="}[r.IntN(5)]
		return a
	}
	for _, name := range names {
		for i := range 1 + r.IntN(4) {
			t := &toy{name: name, version: 1 + r.IntN(3), channel: r.IntN(8) / 7}
			for range r.IntN(3) {
				t.depends = append(t.depends, randomAsk(name))
			}
			for range r.IntN(3) / 2 {
				t.constrains = append(t.constrains, randomAsk(name))
			}
			t.record = toyRecord(t, i)
			p.toys[name] = append(p.toys[name], t)
		}
		slices.SortStableFunc(p.toys[name], func(a, b *toy) int { return a.channel - b.channel })
	}
	for range 1 + r.IntN(3) {
		a := randomAsk("")
		if r.IntN(8) == 0 && a.name != "__v" {
			a.channel = fmt.Sprint("channel", r.IntN(2))
		}
		p.specs = append(p.specs, a)
	}
	p.priority = solve.Priority(r.IntN(6) / 2 % 3)
	if r.IntN(4) == 0 {
		of := p.toys[names[r.IntN(len(names))]]
		p.locked = of[r.IntN(len(of))]
	}
	return p
}

func toyRecord(t *toy, i int) *conda.Record {
	rec := &conda.Record{
		Name: conda.PackageName(t.name), Version: version.MustParse(fmt.Sprint(t.version)), Build: fmt.Sprint(i), BuildNumber: int64(i),
		Subdir: conda.NoArchSubdir, Channel: conda.Channel{Name: fmt.Sprint("channel", t.channel)},
	}
	for _, d := range t.depends {
		rec.Depends = append(rec.Depends, d.String())
	}
	for _, c := range t.constrains {
		rec.Constrains = append(rec.Constrains, c.String())
	}
	return rec
}

// allowed is the records of a name that channels and specs leave over.
func (p puzzle) allowed(name string) []*toy {
	pinned := ""
	for _, s := range p.specs {
		if s.name == name && pinned == "" {
			pinned = s.channel
		}
	}
	var named []*toy
	for _, t := range p.toys[name] {
		asked := false
		matches := false
		for _, s := range p.specs {
			asked = asked || s.name == name
			matches = matches || s.name == name && s.selects(t)
		}
		if (!asked || matches) && (pinned == "" || pinned == t.record.Channel.Name) {
			named = append(named, t)
		}
	}
	if p.priority != solve.Strict {
		return named
	}
	return slices.DeleteFunc(named, func(t *toy) bool { return t.channel != named[0].channel })
}

// valid reports whether a choice of at most one record for each name answers the puzzle.
func (p puzzle) valid(chosen map[string]*toy) bool {
	met := func(a ask, required bool) bool {
		if t, ok := chosen[a.name]; ok {
			return a.selects(t)
		}
		if v, ok := p.virtual[a.name]; ok {
			return a.holds(v)
		}
		return !required
	}
	for _, s := range p.specs {
		if !met(s, true) {
			return false
		}
	}
	for name, t := range chosen {
		if !slices.Contains(p.allowed(name), t) || p.locked != nil && p.locked.name == name && p.locked != t {
			return false
		}
		for _, d := range t.depends {
			if !met(d, true) {
				return false
			}
		}
		for _, c := range t.constrains {
			if !met(c, false) {
				return false
			}
		}
	}
	return true
}

// solvable searches all choices.
func (p puzzle) solvable(names []string, chosen map[string]*toy) bool {
	if len(names) == 0 {
		return p.valid(chosen)
	}
	if p.solvable(names[1:], chosen) {
		return true
	}
	for _, t := range p.toys[names[0]] {
		chosen[names[0]] = t
		ok := p.solvable(names[1:], chosen)
		delete(chosen, names[0])
		if ok {
			return true
		}
	}
	return false
}

func (p puzzle) request(t *testing.T) (*index, solve.Request) {
	x := &index{records: map[conda.PackageName][]*conda.Record{}}
	r := solve.Request{Priority: p.priority}
	for name, toys := range p.toys {
		for _, toy := range toys {
			x.records[conda.PackageName(name)] = append(x.records[conda.PackageName(name)], toy.record)
		}
	}
	for name, v := range p.virtual {
		vp, err := conda.ParseVirtualPackage(fmt.Sprintf("%s=%d", name, v))
		require.NoError(t, err)
		r.Virtual = append(r.Virtual, vp)
	}
	for _, s := range p.specs {
		r.Specs = append(r.Specs, matchspec.MustParse(s.String()))
	}
	if p.locked != nil {
		r.Locked = []*conda.Record{p.locked.record}
	}
	return x, r
}

// TestAgreesWithExhaustiveSearch compares the search, on small random problems, with trying every choice.
func TestAgreesWithExhaustiveSearch(t *testing.T) {
	counts := map[bool]int{}
	for seed := range uint64(1500) {
		counts[requireAgreement(t, seed, 1)]++
	}
	require.Greater(t, counts[true], 250)
	require.Greater(t, counts[false], 250)
}

func FuzzSolve(f *testing.F) {
	f.Add(uint64(1), uint64(3))
	f.Add(uint64(7), uint64(4))
	f.Fuzz(func(t *testing.T, a, b uint64) { requireAgreement(t, a, b) })
}

// requireAgreement compares the solver's answer to a puzzle with an exhaustive search, and says whether there is a solution.
func requireAgreement(t *testing.T, a, b uint64) bool {
	t.Helper()
	p := randomPuzzle(rand.New(rand.NewPCG(a, b)))
	x, r := p.request(t)
	s, err := solve.Solve(t.Context(), x, r)
	if !p.solvable(strings.Split(puzzleNames, ""), map[string]*toy{}) {
		var unsat *solve.UnsatisfiableError
		require.ErrorAs(t, err, &unsat, "puzzle %d %d has no solution, but: %v", a, b, s.Records)
		require.NotEmpty(t, unsat.Error())
		return false
	}
	require.NoError(t, err, "puzzle %d %d has a solution", a, b)
	chosen := p.chosen(s)
	require.Len(t, chosen, len(s.Records), "puzzle %d %d: one of each name, and of the index", a, b)
	require.True(t, p.valid(chosen), "puzzle %d %d: %v is no solution", a, b, s.Records)
	requireNeeded(t, p, chosen)
	return true
}

// TestFavoredRecordsStay compares a solution with the one that is found when there are more records, and those of the first are
// favored, all of them or all but one: nothing else changes that need not.
func TestFavoredRecordsStay(t *testing.T) {
	stayed, updated := 0, 0
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 2))
		p := randomPuzzle(r)
		p.locked = nil
		x, request := p.request(t)
		all := maps.Clone(x.records)
		for n, records := range all { // the channel as it was before
			x.records[n] = slices.DeleteFunc(slices.Clone(records), func(rec *conda.Record) bool { return rec.Version.String() == "3" })
		}
		before, err := solve.Solve(t.Context(), x, request)
		x.records = all
		if err != nil || !p.valid(p.chosen(before)) {
			continue
		}
		request.Favored = before.Records
		after, err := solve.Solve(t.Context(), x, request)
		require.NoError(t, err)
		require.Equal(t, before, after, "puzzle %d", seed)
		stayed++

		if len(before.Records) < 2 {
			continue
		}
		i := r.IntN(len(before.Records))
		request.Favored = slices.Delete(slices.Clone(before.Records), i, i+1)
		after, err = solve.Solve(t.Context(), x, request)
		require.NoError(t, err)
		chosen := p.chosen(before)
		chosen[string(before.Records[i].Name)] = p.chosen(after)[string(before.Records[i].Name)]
		if chosen[string(before.Records[i].Name)] == nil || !p.valid(chosen) {
			continue // more has to change
		}
		for _, rec := range after.Records {
			require.Equal(t, chosen[string(rec.Name)].record, rec, "puzzle %d", seed)
		}
		updated++
	}
	require.Greater(t, stayed, 400)
	require.Greater(t, updated, 100)
}

// chosen is a solution as toys, by name.
func (p puzzle) chosen(s solve.Solution) map[string]*toy {
	out := map[string]*toy{}
	for _, rec := range s.Records {
		for _, t := range p.toys[string(rec.Name)] {
			if t.record == rec {
				out[string(rec.Name)] = t
			}
		}
	}
	return out
}

// requireNeeded checks that nothing is chosen that no spec leads to.
func requireNeeded(t *testing.T, p puzzle, chosen map[string]*toy) {
	t.Helper()
	needed := map[string]bool{}
	var follow func([]ask)
	follow = func(asks []ask) {
		for _, a := range asks {
			if toy, ok := chosen[a.name]; ok && !needed[a.name] {
				needed[a.name] = true
				follow(toy.depends)
			}
		}
	}
	follow(p.specs)
	require.Len(t, needed, len(chosen))
}
