package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/condatest"
	"github.com/datalayer/conda2docker/conda/version"
)

// puzzle is a channel and a request that are made to be hard.
type puzzle struct {
	name    string
	records []*conda.Record
	request []string
}

// add adds a noarch record, whose sums are its number.
func (p *puzzle) add(r conda.Record) {
	r.Build = cmp.Or(r.Build, "0")
	r.FileName = string(r.Name) + "-" + r.Version.String() + "-" + r.Build + string(condatest.Conda)
	r.Subdir, r.NoArch, r.Size = conda.NoArchSubdir, conda.NoArchGeneric, 1
	r.SHA256 = fmt.Sprintf("%064x", len(p.records)+1)
	r.MD5 = r.SHA256[32:]
	p.records = append(p.records, &r)
}

// number is a version that is one.
func number(n int) version.Version { return version.MustParse(strconv.Itoa(n)) }

// write makes a channel of it.
func (p *puzzle) write(dir string) error {
	for subdir, records := range map[conda.Subdir][]*conda.Record{conda.NoArchSubdir: p.records, conda.Linux64: nil} {
		text, err := condatest.RepodataJSON(subdir, records)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Join(dir, string(subdir)), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, string(subdir), "repodata.json"), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// manyBuilds is a name with 5,000 builds of one version, which two others narrow.
func manyBuilds() puzzle {
	p := puzzle{name: "a name with 5,000 builds", request: []string{"many", "two <60"}}
	for i := range 5000 {
		p.add(conda.Record{
			Name: "many", Version: number(1), Build: fmt.Sprintf("h%d", i), Timestamp: int64(i) + 1,
			Depends:    []string{fmt.Sprintf("one >=%d", i%70), fmt.Sprintf("two >=%d", i%110)},
			Constrains: []string{fmt.Sprintf("three !=%d", i%50)},
		})
	}
	for i := range 100 {
		v := number(i)
		p.add(conda.Record{Name: "one", Version: v, Depends: []string{"many"}})
		p.add(conda.Record{Name: "two", Version: v, Depends: []string{"three", "one"}})
		p.add(conda.Record{Name: "three", Version: v, Depends: []string{"many"}})
	}
	return p
}

// circles is 300 names that all need each other, in versions that go together up to the fourth.
func circles() puzzle {
	p := puzzle{name: "300 names in circles", request: []string{"p0"}}
	for i := range 300 {
		for v := range 10 {
			next := v
			if i == 299 && v > 3 {
				next = v + 1
			}
			p.add(conda.Record{
				Name: conda.PackageName(fmt.Sprintf("p%d", i)), Version: number(v),
				Depends: []string{fmt.Sprintf("p%d ==%d", (i+1)%300, next), fmt.Sprintf("p%d >=%d", (i+7)%300, v/2)},
			})
		}
	}
	return p
}

// clauses are random clauses of three literals, at the ratio at which they are hardest (4.3 for each variable).
func clauses() puzzle {
	p := puzzle{name: "860 random clauses of 200 variables"}
	r := rand.New(rand.NewPCG(1, 200)) //nolint:gosec // it is to be the same each time
	for i := range 200 {
		name := conda.PackageName(fmt.Sprintf("variable%d", i))
		p.add(conda.Record{Name: name, Version: number(0)})
		p.add(conda.Record{Name: name, Version: number(1)})
	}
	for i := range 860 {
		name := fmt.Sprintf("clause%d", i)
		p.request = append(p.request, name)
		for k := range 3 {
			p.add(conda.Record{
				Name: conda.PackageName(name), Version: number(k), Depends: []string{fmt.Sprintf("variable%d ==%d", r.IntN(200), r.IntN(2))},
			})
		}
	}
	return p
}

// sudoku is mamba's channel of a sudoku's cells, whose boxes overlap so that it has no solution.
func sudoku(corpus string) (puzzle, error) {
	p := puzzle{name: "mamba's sudoku"}
	text, err := os.ReadFile(filepath.Join(corpus, "mamba", "sudoku.json"))
	if err != nil {
		return p, err
	}
	var doc struct {
		Packages map[string]struct {
			Name, Version, Build string
			Depends              []string
		}
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		return p, err
	}
	for _, file := range slices.Sorted(maps.Keys(doc.Packages)) {
		r := doc.Packages[file]
		v, err := version.Parse(r.Version)
		if err != nil {
			return p, err
		}
		p.add(conda.Record{Name: conda.PackageName(r.Name), Version: v, Build: r.Build, Depends: r.Depends})
		if !slices.Contains(p.request, r.Name) {
			p.request = append(p.request, r.Name)
		}
	}
	slices.Sort(p.request)
	return p, nil
}

// puzzles are all that can be made here: mamba's channel is in the corpus alone.
func puzzles() ([]puzzle, error) {
	all := []puzzle{manyBuilds(), circles(), clauses()}
	corpus := os.Getenv(condatest.CorpusVariable)
	if corpus == "" {
		say("no sudoku: %s is not set", condatest.CorpusVariable)
		return all, nil
	}
	s, err := sudoku(corpus)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("the corpus lacks the sudoku: %w", err)
	}
	return append(all, s), err
}
