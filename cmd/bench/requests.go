package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"github.com/datalayer/conda2docker/conda/condatest"
)

// recorded are the requests of the corpus that were asked of other solvers too; with step n, every nth of them.
func recorded(step int) ([][]string, error) {
	var all [][]string
	for _, file := range []string{"curated-rattler-0.3.5.json", "random-rattler-0.3.5.json"} {
		text, err := os.ReadFile(filepath.Join(os.Getenv(condatest.CorpusVariable), "solve", file))
		if err != nil {
			return nil, err
		}
		var answers []struct{ Specs []string }
		if err := json.Unmarshal(text, &answers); err != nil {
			return nil, err
		}
		for _, a := range answers {
			all = append(all, a.Specs)
		}
	}
	var some [][]string
	for i := 0; i < len(all); i += step {
		some = append(some, all[i])
	}
	return some, nil
}

func joined(specs []string) string { return strings.Join(specs, " ") }
