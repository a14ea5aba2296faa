package rattler

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Recorded are the specs of the requests on conda-forge whose answers a corpus of real data has.
func Recorded(corpus string) ([][]string, error) {
	var all [][]string
	for _, file := range []string{"curated-rattler-" + Version + ".json", "random-rattler-" + Version + ".json"} {
		text, err := os.ReadFile(filepath.Join(corpus, "solve", file))
		if err != nil {
			return nil, err
		}
		var answers []struct{ Specs []string }
		if err := json.Unmarshal(text, &answers); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		for _, a := range answers {
			all = append(all, a.Specs)
		}
	}
	return all, nil
}
