package version_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda/condatest"
	"github.com/datalayer/conda2docker/conda/version"
)

// vectors are what conda 26.7 answers, recorded from its VersionOrder and VersionSpec.
type vectors struct {
	Compare      [][3]any    `json:"compare"`
	Match        [][3]any    `json:"match"`
	Valid        []string    `json:"valid"`
	Invalid      []string    `json:"invalid"`
	InvalidSpecs [][2]string `json:"invalid_specs"`
}

func TestCorpusVectors(t *testing.T) {
	data, err := os.ReadFile(condatest.Corpus(t, "vectors/conda_version_vectors.json"))
	require.NoError(t, err)
	var v vectors
	require.NoError(t, json.Unmarshal(data, &v))

	wrong := 0
	for _, c := range v.Compare {
		a, b := version.MustParse(c[0].(string)), version.MustParse(c[1].(string))
		if want := int(c[2].(float64)); a.Compare(b) != want || b.Compare(a) != -want {
			wrong++
			t.Errorf("%s compared with %s: got %d, want %d", a, b, a.Compare(b), want)
		}
	}
	t.Logf("ordered pairs: %d of %d", len(v.Compare)-wrong, len(v.Compare))

	wrong = 0
	for _, m := range v.Match {
		spec, text, want := m[0].(string), m[1].(string), m[2].(bool)
		c, err := version.ParseConstraint(spec)
		require.NoError(t, err)
		if c.Match(version.MustParse(text)) != want {
			wrong++
			t.Errorf("%s tested with %s: want %v", spec, text, want)
		}
	}
	t.Logf("constraints: %d of %d", len(v.Match)-wrong, len(v.Match))

	for _, s := range v.Valid {
		_, err := version.Parse(s)
		require.NoError(t, err)
	}
	for _, s := range v.Invalid {
		_, err := version.Parse(s)
		require.Error(t, err, s)
	}
	for _, s := range v.InvalidSpecs {
		_, err := version.ParseConstraint(s[0])
		require.Error(t, err, s[0])
	}
	t.Logf("refused: %d versions, %d constraints", len(v.Invalid), len(v.InvalidSpecs))
}

// Where conda and rattler differ, the answer here is conda's.
func TestCorpusDisagreements(t *testing.T) {
	data, err := os.ReadFile(condatest.Corpus(t, "vectors/rattler_vs_conda_disagreements.json"))
	require.NoError(t, err)
	var d struct{ Disagreements [][]string }
	require.NoError(t, json.Unmarshal(data, &d))
	matches := 0
	for _, c := range d.Disagreements {
		switch c[0] {
		case "valid-in-conda-invalid-in-rattler":
			_, err := version.Parse(c[1])
			require.NoError(t, err)
			continue
		case "spec-lenient-unparsable": // to rattler
			_, err := version.ParseConstraint(c[1])
			require.NoError(t, err)
			continue
		}
		require.Equal(t, "match", c[0])
		matches++
		constraint, err := version.ParseConstraint(c[1])
		require.NoError(t, err)
		require.Equal(t, c[3] == "conda=true", constraint.Match(version.MustParse(c[2])), "%s tested with %s", c[1], c[2])
	}
	require.Positive(t, matches)
	t.Logf("disagreements answered as conda does: %d", matches)
}

// Every real version parses.
func TestCorpusVersions(t *testing.T) {
	data, err := os.ReadFile(condatest.Corpus(t, "vectors/versions.txt"))
	require.NoError(t, err)
	parsed := 0
	for s := range linesOf(string(data)) {
		v, err := version.Parse(s)
		require.NoError(t, err)
		require.Equal(t, s, v.String())
		parsed++
	}
	t.Logf("versions parsed: %d", parsed)
}
