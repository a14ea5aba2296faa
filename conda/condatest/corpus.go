package condatest

import (
	"os"
	"path/filepath"
	"testing"
)

// CorpusVariable names the folder with the corpus of real channel data.
const CorpusVariable = "CONDA2DOCKER_CORPUS"

// Corpus is the path of a file or folder of the corpus of real data, which is not part of the repository. The test
// is skipped where CONDA2DOCKER_CORPUS is unset, and fails where the corpus lacks the path.
func Corpus(t testing.TB, path string) string {
	t.Helper()
	dir := os.Getenv(CorpusVariable)
	if dir == "" {
		t.Skipf("needs the corpus of real channel data: set %s to its folder", CorpusVariable)
	}
	full := filepath.Join(dir, filepath.FromSlash(path))
	if _, err := os.Stat(full); err != nil {
		t.Fatalf("the corpus lacks %s: %v", path, err)
	}
	return full
}
