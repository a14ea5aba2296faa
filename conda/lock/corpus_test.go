package lock_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/datalayer/conda2docker/conda/condatest"
	"github.com/datalayer/conda2docker/conda/lock"
)

// lockFiles are the corpus' lock files of the two formats.
func lockFiles(t *testing.T) (condaLock, explicit []string) {
	t.Helper()
	for _, dir := range []string{"env", "rattler/conda-lock", "conda/env", "mamba"} {
		err := filepath.WalkDir(condatest.Corpus(t, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			switch {
			case err != nil:
				return err
			case strings.Contains(string(data), "\n@EXPLICIT\n"):
				explicit = append(explicit, path)
			case strings.Contains(string(data), "\npackage:") && strings.Contains(string(data), "content_hash"):
				condaLock = append(condaLock, path)
			}
			return nil
		})
		require.NoError(t, err)
	}
	return condaLock, explicit
}

// refused are the corpus' files that are no lock of these formats, with the reason.
var refused = map[string]string{
	"forward-compatible-lock.yml":                 `:11: version "1000" of the format is not known`,
	"bad_version-lock.yaml":                       `:1: version "-1" of the format is not known`,
	"robostack-turtlesim-conda-lock.yml":          ":1: a pixi.lock of version 3 cannot be read yet",
	"good_one_package_missing_category-lock.yaml": "",
}

// Reading a conda-lock file and writing it again loses nothing.
func TestCorpusCondaLock(t *testing.T) {
	files, _ := lockFiles(t)
	packages, same := 0, 0
	for _, path := range files {
		first, err := lock.ReadFile(path)
		if want := refused[filepath.Base(path)]; want != "" {
			require.ErrorContains(t, err, want)
			require.ErrorContains(t, err, path)
			continue
		}
		require.NoError(t, err)
		var out bytes.Buffer
		require.NoError(t, first.WriteCondaLock(&out))
		second, err := lock.Read(bytes.NewReader(out.Bytes()), "written")
		require.NoError(t, err)
		require.True(t, reflect.DeepEqual(first, second), path)

		data, err := os.ReadFile(path)
		require.NoError(t, err)
		want, got := content(t, data), content(t, out.Bytes())
		require.Equal(t, want.Metadata, got.Metadata, path)
		require.ElementsMatch(t, want.Package, got.Package, path)
		packages += len(want.Package)
		if bytes.Equal(withoutComments(data), withoutComments(out.Bytes())) {
			same++
		}
		for _, p := range first.Platforms {
			_, err := first.Records(p.Subdir, categories(first)...)
			require.NoError(t, err)
		}
	}
	require.Greater(t, len(files), 20)
	t.Logf("conda-lock: %d files with %d packages, %d of them written byte for byte as conda-lock wrote them", len(files), packages, same)
}

func withoutComments(b []byte) []byte {
	for bytes.HasPrefix(b, []byte("#")) {
		_, b, _ = bytes.Cut(b, []byte("\n"))
	}
	return b
}

func categories(l *lock.Lock) []string {
	var out []string
	for _, p := range l.Platforms {
		for _, k := range p.Packages {
			out = append(out, k.Category)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// yamlLock is a conda-lock file as YAML has it, without any knowledge of this package's.
type yamlLock struct {
	Metadata map[string]any
	Package  []map[string]any
}

func content(t *testing.T, data []byte) yamlLock {
	t.Helper()
	var l yamlLock
	require.NoError(t, yaml.Unmarshal(data, &l))
	delete(l.Metadata, "custom_metadata") // what this program adds
	l.Package = slices.DeleteFunc(l.Package, func(p map[string]any) bool { return strings.HasPrefix(p["name"].(string), "__") })
	for i, c := range l.Metadata["channels"].([]any) {
		if name, ok := c.(string); ok {
			l.Metadata["channels"].([]any)[i] = map[string]any{"url": name, "used_env_vars": []any{}}
		}
	}
	for _, p := range l.Package {
		if p["source"] == nil {
			delete(p, "source")
		}
		if p["category"] == nil {
			p["category"] = "main"
		}
		p["optional"] = p["category"] != "main"
		delete(p, "constrains") // no part of the format: it goes to custom_metadata
	}
	return l
}

var comment = regexp.MustCompile(`(?m)^#.*\n`)

// Reading an @EXPLICIT file and writing it again keeps each URL, its checksum and their order.
func TestCorpusExplicit(t *testing.T) {
	_, files := lockFiles(t)
	packages := 0
	for _, path := range files {
		first, err := lock.ReadFile(path)
		require.NoError(t, err)
		require.Len(t, first.Platforms, 1)
		subdir := first.Platforms[0].Subdir
		require.NotEmpty(t, subdir, path)
		var out bytes.Buffer
		require.NoError(t, first.WriteExplicit(&out, subdir))
		second, err := lock.Read(bytes.NewReader(out.Bytes()), "written")
		require.NoError(t, err)
		require.True(t, reflect.DeepEqual(first, second), path)

		data, err := os.ReadFile(path)
		require.NoError(t, err)
		want := strings.Fields(comment.ReplaceAllString(string(data), ""))
		require.Equal(t, want, strings.Fields(comment.ReplaceAllString(out.String(), "")), path)
		packages += len(first.Platforms[0].Packages)
	}
	require.Greater(t, len(files), 15)
	t.Logf("@EXPLICIT: %d files with %d packages", len(files), packages)
}
