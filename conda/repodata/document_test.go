package repodata

import (
	"cmp"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/condatest"
)

// corpusText is the text of a repodata.json or .zst of the corpus.
func corpusText(t testing.TB, path string) string {
	t.Helper()
	f, err := os.Open(condatest.Corpus(t, path))
	require.NoError(t, err)
	defer f.Close()
	if !strings.HasSuffix(path, ".zst") {
		b, err := io.ReadAll(f)
		require.NoError(t, err)
		return string(b)
	}
	d, err := zstd.NewReader(f)
	require.NoError(t, err)
	defer d.Close()
	b, err := io.ReadAll(d)
	require.NoError(t, err)
	return string(b)
}

// plain is what encoding/json, which is slower and needs more memory, reads.
type plain struct {
	Packages map[string]plainRecord `json:"packages"`
	Conda    map[string]plainRecord `json:"packages.conda"`
}

type plainRecord struct {
	Name, Version, Build, License, MD5, SHA256, Features string
	BuildNumber                                          int64 `json:"build_number"`
	Size, Timestamp                                      int64
	Depends, Constrains                                  []string
	PythonSitePackagesPath                               string `json:"python_site_packages_path"`
}

// scan reads a repodata.json into memory, or into a file that is gone at once.
func scan(text string, memory int) (*pack, error) {
	e := entry{memory: memory}
	return e.read(strings.NewReader(text), state{Variant: plainVariant, Size: int64(len(text))}, unnamedPack)
}

// read reads all records, by file name, and what was left out.
func read(t testing.TB, p *pack) (map[string]*conda.Record, map[string]error) {
	t.Helper()
	records, skipped := map[string]*conda.Record{}, map[string]error{}
	for _, name := range p.allNames() {
		r := &reader{
			origin: origin{channel: conda.Channel{URL: "https://a.invalid/b"}, subdir: conda.Linux64, base: cmp.Or(p.base, "https://a.invalid/b/linux-64")},
			name:   conda.PackageName(name), removed: p.removed, skip: func(f string, err error) { skipped[f] = err },
		}
		require.NoError(t, p.read(t.Context(), r))
		for _, record := range r.records {
			records[record.FileName] = record
		}
	}
	return records, skipped
}

// same compares a record with what encoding/json reads.
func same(t testing.TB, want plainRecord, got *conda.Record) {
	t.Helper()
	if want.Timestamp < 253402300800 {
		want.Timestamp *= 1000
	}
	for _, list := range []*[]string{&want.Depends, &want.Constrains} {
		if len(*list) == 0 {
			*list = nil
		}
	}
	require.Equal(t, want, plainRecord{
		Name: string(got.Name), Version: got.Version.String(), Build: got.Build, License: got.License,
		MD5: got.MD5, SHA256: got.SHA256, Features: got.Features, BuildNumber: got.BuildNumber, Size: got.Size,
		Timestamp: got.Timestamp, Depends: got.Depends, Constrains: got.Constrains,
		PythonSitePackagesPath: got.PythonSitePackagesPath,
	})
}

func TestCorpusIsReadAsEncodingJSONReadsIt(t *testing.T) {
	for _, test := range []struct {
		path    string
		records int
		skipped int
	}{
		{"repodata/conda-forge/linux-64/repodata.json.zst", 19304, 0},
		{"repodata/conda-forge/noarch/repodata.json.zst", 7077, 0},
		{"repodata/subchannel-demo/linux-64/repodata.json.zst", 2709, 0},
		{"repodata/pytorch/linux-64/repodata.json.zst", 19, 0},
		{"rattler/channels/pytorch/linux-64/repodata.json", 2181, 0},
		{"conda/repodata/r_linux-64.json", 4211, 0},
		{"conda/index/index.json", 1149, 0},
		{"conda/index/index2.json", 4118, 0},
		{"conda/index/index4.json", 5643, 0},
		{"conda/index/index5.json", 1152, 0},
	} {
		t.Run(test.path, func(t *testing.T) {
			text := corpusText(t, test.path)
			if strings.HasPrefix(test.path, "conda/index/") {
				text = `{"packages": ` + text + "}" // they are only the inside
			}
			var want plain
			require.NoError(t, json.Unmarshal([]byte(text), &want))
			p, err := scan(text, memoryLimit)
			require.NoError(t, err)
			require.Empty(t, p.file)
			records, skipped := read(t, p)
			packed, err := scan(text, 1)
			require.NoError(t, err)
			fromFile, _ := read(t, packed)
			require.Equal(t, records, fromFile)
			require.Len(t, skipped, test.skipped)
			require.Equal(t, test.records, len(want.Packages)+len(want.Conda))
			found := 0
			for _, of := range []map[string]plainRecord{want.Packages, want.Conda} {
				for fileName, w := range of {
					if r := records[fileName]; r != nil {
						found++
						same(t, w, r)
						continue
					}
					twin := strings.TrimSuffix(fileName, ".tar.bz2") + ".conda"
					require.True(t, records[twin] != nil || skipped[fileName] != nil, fileName)
				}
			}
			require.Len(t, records, found)
		})
	}
}

func TestCorpusBaseURL(t *testing.T) {
	for subdir, base := range map[conda.Subdir]string{
		conda.Linux64:      "https://repo.anaconda.com/pkgs/main/linux-64",
		conda.NoArchSubdir: "https://repo.anaconda.com/pkgs/main/noarch",
	} {
		text := corpusText(t, "conda/packages/base_url_channel/"+string(subdir)+"/repodata.json")
		p, err := scan(text, memoryLimit)
		require.NoError(t, err)
		records, _ := read(t, p)
		for name, r := range records {
			require.Equal(t, base+"/"+name, r.URL)
		}
	}
}

func BenchmarkScan(b *testing.B) {
	text := corpusText(b, "repodata/conda-forge/linux-64/repodata.json.zst")
	for name, memory := range map[string]int{"memory": memoryLimit, "file": 1} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				_, err := scan(text, memory)
				require.NoError(b, err)
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	text := corpusText(b, "repodata/conda-forge/linux-64/repodata.json.zst")
	for name, memory := range map[string]int{"memory": memoryLimit, "file": 1} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			p, err := scan(text, memory)
			require.NoError(b, err)
			for b.Loop() {
				read(b, p)
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	at := "file://" + condatest.Corpus(b, "repodata/conda-forge")
	o := Options{
		Channels: []conda.Channel{{Name: "conda-forge", URL: at}}, Subdirs: []conda.Subdir{conda.Linux64, conda.NoArchSubdir},
	}
	b.ReportAllocs()
	for b.Loop() {
		_, err := Open(b.Context(), o)
		require.NoError(b, err)
	}
}
