package repodata

import (
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

// read reads all records of a document, by file name, and what was left out.
func read(d *document) (map[string]*conda.Record, map[string]error) {
	records, skipped := map[string]*conda.Record{}, map[string]error{}
	for _, name := range d.names() {
		for _, r := range d.read(conda.PackageName(name), func(f string, err error) { skipped[f] = err }) {
			records[r.FileName] = r
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
			d, err := scanDocument(text, conda.Channel{URL: "https://a.invalid/b"}, conda.Linux64)
			require.NoError(t, err)
			require.Equal(t, test.records, d.records)
			records, skipped := read(d)
			require.Len(t, skipped, test.skipped)
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
		d, err := scanDocument(text, conda.Channel{URL: "https://a.invalid/b"}, subdir)
		require.NoError(t, err)
		records, _ := read(d)
		for name, r := range records {
			require.Equal(t, base+"/"+name, r.URL)
		}
	}
}

func FuzzDocument(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"packages": {}}`, `null`, `{"packages":{"a-1-0.tar.bz2":{"name":"a","version":"1"}}}`,
		`{"info":{"base_url":"x"},"packages.conda":{"a-1-0.conda":{"depends":["b"],"name":"a","version":"1","size":1}}}`,
		`{"packages":{"\u0061":{"version":"1","name":"\"a\\","x":[{"y":"}"}]}},"removed":["a"]}`,
		"{\"packages\" : {\n\"a\" :{\"name\": \"a\" , \"depends\" :[ \"x\" , \"y\"]}} }", `{"a`, `{"packages":{"a":{"name":"a"`,
		`{"packages":{"a":{"name":"a","build_number":"3","size":-1e99,"noarch":true,"track_features":["x"]}}}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := scanDocument(text, conda.Channel{URL: "https://a.invalid/b"}, conda.Linux64)
		if err != nil {
			return
		}
		records, skipped := read(d)
		require.LessOrEqual(t, len(records)+len(skipped), d.records)
		for fileName, r := range records {
			require.NotContains(t, fileName, "/")
			require.NotEmpty(t, r.Name)
			require.False(t, r.Version.IsZero())
		}
	})
}

func BenchmarkScan(b *testing.B) {
	text := corpusText(b, "repodata/conda-forge/linux-64/repodata.json.zst")
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		_, err := scanDocument(text, conda.Channel{}, conda.Linux64)
		require.NoError(b, err)
	}
}

func BenchmarkRead(b *testing.B) {
	text := corpusText(b, "repodata/conda-forge/linux-64/repodata.json.zst")
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	d, err := scanDocument(text, conda.Channel{}, conda.Linux64)
	require.NoError(b, err)
	for b.Loop() {
		read(d)
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
