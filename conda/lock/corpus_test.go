package lock_test

import (
	"bytes"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/condatest"
	"github.com/datalayer/conda2docker/conda/lock"
)

// lockFiles are the corpus' lock files, by format.
func lockFiles(t *testing.T) (condaLock, explicit, pixi []string) {
	t.Helper()
	for _, dir := range []string{"env", "rattler", "conda/env", "mamba", "pixi"} {
		err := filepath.WalkDir(condatest.Corpus(t, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() || !slices.Contains([]string{".lock", ".yml", ".yaml", ".txt"}, filepath.Ext(path)) {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			switch lock.Detect(data) {
			case lock.CondaLock:
				condaLock = append(condaLock, path)
			case lock.Explicit:
				explicit = append(explicit, path)
			case lock.Pixi:
				pixi = append(pixi, path)
			}
			return nil
		})
		require.NoError(t, err)
	}
	return condaLock, explicit, pixi
}

// TestCorpusRefused holds the table of what is refused of the corpus, and why: whole files, and platforms of a pixi.lock whose
// packages cannot be had.
func TestCorpusRefused(t *testing.T) {
	root := condatest.Corpus(t, ".")
	counts := map[string]int{}
	for _, dir := range []string{"env", "rattler", "conda/env", "mamba", "pixi"} {
		require.NoError(t, filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() || !strings.Contains(strings.ToLower(d.Name()), "lock") || filepath.Ext(path) == ".toml" {
				return err
			}
			short, err := filepath.Rel(root, path)
			require.NoError(t, err)
			l, err := lock.ReadFile(path, lock.Options{})
			if err != nil {
				counts[short+": "+kind(err)]++
				return nil
			}
			for _, s := range l.Subdirs() {
				if _, err := l.Platform(s); err != nil {
					counts[short+": "+string(s)+": "+kind(err)]++
				}
			}
			return nil
		}))
	}
	var got strings.Builder
	for _, line := range slices.Sorted(maps.Keys(counts)) {
		got.WriteString(line + "\n")
	}
	const golden = "testdata/corpus-refused.txt"
	if os.Getenv("UPDATE") != "" {
		require.NoError(t, os.WriteFile(golden, []byte(got.String()), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), got.String())
}

// kind is what an error says, without its place and what it is about.
func kind(err error) string {
	for _, k := range []string{
		"is built from its source", "is a folder, a file or a repository", "has no checksum", "is not known", "is too old", "is neither a conda-lock file", "several platforms",
		"there is no environment", "mapping values are not allowed", "did not find expected",
	} {
		if strings.Contains(err.Error(), k) {
			return k
		}
	}
	return err.Error()
}

// Reading a conda-lock file and writing it again loses nothing.
func TestCorpusCondaLock(t *testing.T) {
	files, _, _ := lockFiles(t)
	packages, same := 0, 0
	for _, path := range files {
		first, err := lock.ReadFile(path, lock.Options{})
		if err != nil {
			require.ErrorContains(t, err, path+":") // TestCorpusRefused has the table
			continue
		}
		var out bytes.Buffer
		require.NoError(t, first.WriteCondaLock(&out))
		second, err := lock.Read(bytes.NewReader(out.Bytes()), "written", lock.Options{})
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
	_, files, _ := lockFiles(t)
	packages := 0
	for _, path := range files {
		first, err := lock.ReadFile(path, lock.Options{})
		require.NoError(t, err)
		require.Len(t, first.Platforms, 1)
		subdir := first.Platforms[0].Subdir
		require.NotEmpty(t, subdir, path)
		var out bytes.Buffer
		require.NoError(t, first.WriteExplicit(&out, subdir))
		second, err := lock.Read(bytes.NewReader(out.Bytes()), "written", lock.Options{})
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

// What a pixi.lock says of each environment is in the conda-lock file that is written of it. What cannot be had is refused, for
// one of the three reasons that there are.
func TestCorpusPixi(t *testing.T) {
	_, _, files := lockFiles(t)
	packages, pips, reasons := 0, 0, map[string]int{}
	for _, path := range files {
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		var doc struct {
			Environments map[string]struct{ Packages map[string]any }
		}
		require.NoError(t, yaml.Unmarshal(data, &doc))
		names := slices.Sorted(maps.Keys(doc.Environments))
		if len(data) > 1<<20 {
			names = names[:min(3, len(names))] // the largest have up to thirty, and reading them takes its time
		}
		for _, name := range names {
			env := doc.Environments[name]
			targets := []string{name}
			if l, err := lock.ReadFile(path, lock.Options{Environment: name}); err != nil || slices.ContainsFunc(l.Subdirs(), func(s conda.Subdir) bool {
				_, err := l.Platform(s)
				return err != nil && strings.Contains(err.Error(), "several platforms for")
			}) {
				require.NoError(t, err)
				targets = nil
				for platform := range env.Packages {
					targets = append(targets, name+"@"+platform)
				}
			}
			for _, target := range targets {
				first, err := lock.ReadFile(path, lock.Options{Environment: target})
				require.NoError(t, err)
				for _, s := range first.Subdirs() {
					if _, err := first.Platform(s); err != nil {
						reasons[reason(t, err.Error())]++
						continue
					}
					p, q := roundTrip(t, first, s)
					packages, pips = packages+p, pips+q
				}
			}
		}
	}
	require.Greater(t, len(files), 80)
	t.Logf("pixi.lock: %d files with %d packages and %d of pip's in their environments; refused platforms: %v", len(files), packages, pips, reasons)
}

func reason(t *testing.T, err string) string {
	t.Helper()
	require.Regexp(t, `^\S+:\d+: `, err)
	for _, r := range []string{"is built from its source", "is a folder, a file or a repository", "has no checksum"} {
		if strings.Contains(err, r) {
			return r
		}
	}
	require.Fail(t, "another reason", err)
	return ""
}

// roundTrip writes one platform of a lock as a conda-lock file, and reads it.
func roundTrip(t *testing.T, l *lock.Lock, s conda.Subdir) (packages, pips int) {
	t.Helper()
	first := *l
	first.Platforms = slices.DeleteFunc(slices.Clone(l.Platforms), func(p lock.Platform) bool { return p.Subdir != s })
	var out bytes.Buffer
	require.NoError(t, first.WriteCondaLock(&out))
	second, err := lock.Read(bytes.NewReader(out.Bytes()), "written", lock.Options{})
	require.NoError(t, err)
	if !reflect.DeepEqual(&first, second) {
		require.Equal(t, &first, second)
	}
	return len(first.Platforms[0].Packages), len(first.Platforms[0].Pip)
}

// madeUp are files that ask for systems which there cannot be, and how often.
var madeUp = map[string]int{"archspec.lock": 1, "ignored_virtual_packages.lock": 3}

// What the corpus' locks hold fits together: so a lock that does not is rightly found at fault.
func TestCorpusMisfits(t *testing.T) {
	condaLock, _, pixi := lockFiles(t)
	platforms := 0
	for _, path := range slices.Concat(condaLock, pixi) {
		l, err := lock.ReadFile(path, lock.Options{})
		if err != nil {
			continue
		}
		for _, p := range l.Platforms {
			if _, err := l.Platform(p.Subdir); err != nil || !strings.HasPrefix(string(p.Subdir), "linux") {
				continue
			}
			system := virtual(t, "__glibc=2.39", "__linux=6.1", "__unix=0", "__cuda=13.0", "__archspec=1=x86_64_v4")
			misfits, err := l.Misfits(p.Subdir, nil, system, categories(l)...)
			require.NoError(t, err)
			platforms++
			require.Len(t, misfits, madeUp[filepath.Base(path)], "%s: %v", path, misfits)
		}
	}
	require.Greater(t, platforms, 50)
	t.Logf("%d platforms fit", platforms)
}

// No real lock has a package that is of none of its channels.
func TestCorpusStrays(t *testing.T) {
	condaLock, explicit, pixi := lockFiles(t)
	platforms := 0
	for _, path := range slices.Concat(condaLock, explicit, pixi) {
		l, err := lock.ReadFile(path, lock.Options{})
		if err != nil {
			continue
		}
		for _, p := range l.Platforms {
			refs := l.ChannelRefs(p.Subdir)
			if _, err := l.Platform(p.Subdir); err != nil || len(refs) == 0 {
				continue
			}
			strays, err := l.Strays(p.Subdir, refs, nil, nil, categories(l)...)
			require.NoError(t, err)
			platforms++
			if filepath.Base(path) != "good_overlap_categories-lock.yaml" { // which is made up
				require.Empty(t, strays, path)
			}
		}
	}
	require.Greater(t, platforms, 100)
	t.Logf("%d platforms", platforms)
}
