package repodata

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

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
	return e.read(context.Background(), strings.NewReader(text), state{Variant: plainVariant, Size: int64(len(text))}, unnamedPack)
}

// TestInterruptedReading ends with the context, and what it left half done is no damage.
func TestInterruptedReading(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	cancel(cause)
	e := entry{memory: 1}
	_, err := e.read(ctx, strings.NewReader(`{"packages": {}}`), state{Variant: plainVariant, Size: 16}, unnamedPack)
	require.ErrorIs(t, err, cause)
	p := patient{t.Context(), strings.NewReader("too long"), 7}
	_, err = io.ReadAll(&p)
	require.ErrorContains(t, err, "it has more than 8 GB")
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
		{"conda/index/index.json", 1149, 3}, // of dummies, whose files have the names of other packages
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

// generic is what encoding/json reads of a document: the records that count, by file name, with their names in lower case. It is
// not ok where the document is not one that can be compared: keys that stand twice, or values of another kind.
func generic(text string) (records map[string]map[string]any, ok bool) {
	var top map[string]any
	if !utf8.ValidString(text) || json.Unmarshal([]byte(text), &top) != nil || !unambiguous(text) {
		return nil, false
	}
	records = map[string]map[string]any{}
	v3, _ := top["v3"].(map[string]any)
	for _, of := range []struct {
		section   any
		extension string
	}{{top["packages"], ""}, {top["packages.conda"], ""}, {v3["tar.bz2"], ".tar.bz2"}, {v3["conda"], ".conda"}} {
		entries, isMap := of.section.(map[string]any)
		if !isMap && of.section != nil {
			return nil, false
		}
		for key, value := range entries {
			record, isMap := value.(map[string]any)
			if !isMap {
				return nil, false
			}
			if twin, _ := conda.CutExtension(key + of.extension); records[twin] != nil {
				return nil, false // which of two counts is tested elsewhere
			}
			stem, _ := conda.CutExtension(key + of.extension)
			record["file name"] = key + of.extension
			records[stem] = record
		}
	}
	return records, true
}

// unambiguous reports whether no object of a valid document has a key twice.
func unambiguous(text string) bool {
	d := json.NewDecoder(strings.NewReader(text))
	var keys []map[string]bool // of the objects that are open; nil for arrays
	expectKey := false
	for {
		token, err := d.Token()
		if err != nil {
			return true
		}
		switch token := token.(type) {
		case json.Delim:
			switch token {
			case '{':
				keys, expectKey = append(keys, map[string]bool{}), true
				continue
			case '[':
				keys, expectKey = append(keys, nil), false
				continue
			}
			keys = keys[:len(keys)-1]
		case string:
			if expectKey {
				if keys[len(keys)-1][token] {
					return false
				}
				keys[len(keys)-1][token], expectKey = true, false
				continue
			}
		}
		expectKey = len(keys) > 0 && keys[len(keys)-1] != nil
	}
}

// FuzzRepodata reads documents as small ones and as large ones are read: the same comes of both, and of valid ones what encoding/json
// finds in them.
func FuzzRepodata(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"packages": {}}`, `null`, `{"packages":{"a-1-0.tar.bz2":{"name":"a","version":"1"}}}`,
		`{"info":{"base_url":"x"},"packages.conda":{"a-1-0.conda":{"depends":["b"],"name":"a","version":"1","size":1}}}`,
		`{"packages":{"\u0061":{"version":"1","name":"\"a\\","x":[{"y":"}"}]}},"removed":["a"]}`,
		"{\"packages\" : {\n\"a\" :{\"name\": \"a\" , \"depends\" :[ \"x\" , \"y\"]}} }", `{"a`, `{"packages":{"a":{"name":"a"`,
		`{"packages":{"a":{"name":"a","build_number":"3","size":-1e99,"noarch":true,"track_features":["x"]}}}`,
		`{"packages":{"a":{"name":"a","version":"1","license":"}{","x":{"name":"b"}}, "b":{"version":"2","name" : "a"}}}`,
		`{"packages":{"a":{"name":"name","version":"1","depends":["name:"]},"b":{"x":"name","name":"A","version":"1"}}}`,
		`{"v3":{"conda":{"a-1-0":{"name":"a","version":"1","extra_depends":{"x":["y"]},"flags":["z"]}},"whl":{"a":1}},"x":[[{}]]}`,
		`{"packages":{"a":{"name":null,"version":"1"},"":{"name":"","version":""},"c":{"name":"a","version":1.5,"depends":null}}}`,
		`{"packages":{"a":{"name":"a","version":"1"}},"packages":{"b":{"name":"a","version":"1"}}}`, `{"packages":[]}`, `{"removed":[1]}`,
		"{\"packages\":{\"\xf3\":{}}}", `{"packages":{"":{"name":""]}}}`, `{"packages":{"a":{"name":"a"]},"b":{"name":"a","version":"1"}}}`,
		`{"packages.conda":{"a":{"x":["],"name":"a}`, "{\"packages\":{\"a\"\f:{\"name\":\"a\"}}}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		small, err := scan(text, memoryLimit)
		large, largeErr := scan(text, 0)
		require.Equal(t, err == nil, largeErr == nil, "%v, %v", err, largeErr)
		if err != nil {
			return
		}
		records, skipped := read(t, small)
		again, skippedAgain := read(t, large)
		require.Equal(t, records, again)
		require.Len(t, skippedAgain, len(skipped))
		for fileName, r := range records {
			require.NotContains(t, fileName, "/")
			require.NotEmpty(t, r.Name)
			require.False(t, r.Version.IsZero())
		}
		want, ok := generic(text)
		if !ok {
			return
		}
		for stem, w := range want {
			fileName := w["file name"].(string)
			if r := records[fileName]; r != nil {
				sameAsGeneric(t, w, r)
			} else {
				require.True(t, skipped[fileName] != nil || small.removed(fileName), stem)
			}
		}
		require.LessOrEqual(t, len(records), len(want))
	})
}

// sameAsGeneric compares a record with what encoding/json reads.
func sameAsGeneric(t *testing.T, want map[string]any, got *conda.Record) {
	t.Helper()
	text := func(key string) string {
		s, _ := want[key].(string)
		return s
	}
	require.Equal(t, strings.ToLower(text("name")), string(got.Name))
	require.Equal(t, strings.TrimSpace(text("version")), strings.TrimSpace(got.Version.String()))
	require.Equal(t, text("build"), got.Build)
	require.Equal(t, text("license"), got.License)
	require.Equal(t, strings.ToLower(text("sha256")), got.SHA256)
	list, _ := want["depends"].([]any)
	require.Len(t, got.Depends, len(list))
	for i, item := range list {
		require.Equal(t, item, got.Depends[i])
	}
}

// The window grows with what has to be in it as a whole, up to a limit; what is passed over needs none.
func TestWindow(t *testing.T) {
	long := strings.Repeat("x", 3<<20)
	for text, want := range map[string]string{
		`{"packages": {"a": {"name": "a", "version": "1", "license": "` + long + `"}}}`:        "",
		`{"packages": {"a": {"name": "a", "version": "1", "license": "` + long + long + `"}}}`: "a value of more than",
		`{"removed": ["` + long + long + `"]}`:                                                 "a value of more than",
		`{"other": ["` + long + `", {"` + long + `": "` + long + `"}]}`:                        "",
		`{"packages": {"a": {"name": "a", "version": "1", "x": {"y": "` + long + `"}}}}`:       "",
		`{"packages": {` + strings.Repeat(" ", 5<<20) + `"a": {"name": "a", "version": "1"}}}`: "",
		`{"packages": {"a": {"name": "a", "version": "1", "license": "` + long + long + `"`:    "a value of more than",
		`{"packages": {"a": {"name": "a", "version": "1", "license": "` + long:                 "it ends too early",
		`{"other": "` + long + long: "it ends too early",
	} {
		to, err := unnamedPack()
		require.NoError(t, err)
		p := newPacker(to)
		in := &ingest{stream: newStream(strings.NewReader(text)), to: p, ids: map[string]int{}, block: p.room(), last: -1}
		in.largest = 4 << 20
		err = in.run()
		if want == "" {
			require.NoError(t, err, text[:60])
		} else {
			require.ErrorContains(t, err, want, text[:60])
		}
		p.abandon()
	}
}

// FuzzPack opens files that may be packs: what is wrong with them is an error, and costs no more memory than they have bytes.
func FuzzPack(f *testing.F) {
	dir := f.TempDir()
	path := filepath.Join(dir, "x.pack")
	file, err := os.Create(path)
	require.NoError(f, err)
	text := `{"packages":{"a-1-0.tar.bz2":{"name":"a","version":"1"}},"removed":["b"],"info":{"base_url":"c"}}`
	_, err = readStream(strings.NewReader(text), packFile{File: file, name: "x.pack", commit: func() error { return nil }, abandon: func() {}})
	require.NoError(f, err)
	whole, err := os.ReadFile(path)
	require.NoError(f, err)
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add([]byte(packMagic))
	f.Add(append(bytes.Repeat([]byte{0xff}, 100), whole[len(whole)-footerSize:]...))
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := readPack(bytes.NewReader(body), int64(len(body)), "x.pack")
		if err != nil {
			return
		}
		for _, name := range p.allNames() {
			r := &reader{name: conda.PackageName(name), removed: p.removed, skip: func(string, error) {}}
			_ = p.read(t.Context(), r) // an error is fine
		}
	})
}

// FuzzShard reads shards and indexes.
func FuzzShard(f *testing.F) {
	add := func(v any) {
		packed := condatest.Msgpack(f, v)
		d, err := newUnpacker(unpackedLimit)
		require.NoError(f, err)
		plain, err := unpack(d, packed, nil)
		require.NoError(f, err)
		f.Add(plain)
	}
	record := map[string]any{
		"name": "a", "version": "1", "build": "0", "build_number": 3, "depends": []any{"b", "c >=1"}, "sha256": bytes.Repeat([]byte{1}, 32),
		"md5": bytes.Repeat([]byte{1}, 16), "noarch": true, "track_features": []any{"x"}, "flags": []any{"y"}, "extra_depends": map[string]any{"z": []any{"d"}},
	}
	add(map[string]any{"packages": map[string]any{"a-1-0.tar.bz2": record}, "packages.conda": map[string]any{"a-1-0.conda": record}, "removed": []any{"a"}})
	add(map[string]any{"v3": map[string]any{"conda": map[string]any{"a-1-0": record}}, "packages": nil})
	add(map[string]any{"version": 1, "info": map[string]any{"base_url": "x", "shards_base_url": "y"}, "shards": map[string]any{"b": bytes.Repeat([]byte{1}, 32), "a": bytes.Repeat([]byte{2}, 32)}})
	f.Add([]byte{0xdf, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0x81, 0xa6, 's', 'h', 'a', 'r', 'd', 's', 0xdf, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0x81, 0xa8, 'p', 'a', 'c', 'k', 'a', 'g', 'e', 's', 0x81, 0xa1, 'x', 0x81, 0xa7, 'd', 'e', 'p', 'e', 'n', 'd', 's', 0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, body []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r := &reader{origin: origin{base: "https://a.invalid"}, name: "a", skip: func(string, error) {}}
		if err := r.readShard(body); err == nil {
			for _, record := range r.records {
				require.Equal(t, conda.PackageName("a"), record.Name)
				require.NotContains(t, record.FileName, "/")
			}
		}
		x, err := parseShards(body, "https://a.invalid/linux-64")
		if err == nil {
			for _, name := range x.allNames() {
				require.Len(t, x.sum(name), 32)
			}
		}
		runtime.ReadMemStats(&after)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20+200*len(body)), "memory is bounded by what was sent")
	})
}

// FuzzUnpack decompresses what claims to be a shard.
func FuzzUnpack(f *testing.F) {
	f.Add(condatest.Msgpack(f, map[string]any{"packages": nil}))
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00})
	d, err := newUnpacker(16 << 20)
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, packed []byte) {
		body, err := unpack(d, packed, nil)
		require.True(t, err != nil || len(body) <= 16<<20)
	})
}

// A record that does not parse costs no more than itself, however many there are.
func TestManyRecordsThatDoNotParse(t *testing.T) {
	text := `{"packages":{"good":{"name":"x","version":"1"},` + strings.Repeat(`"a":{"name":"x","depends":["y"},`, 200_000) + `"last":{"name":"x","version":"2"}}}`
	p, err := scan(text, 1<<30)
	require.NoError(t, err)
	good, skipped := read(t, p)
	require.Len(t, good, 2)
	require.Len(t, skipped, 1, "all have the same file name")
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

func TestFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	require.NoError(t, err)
	abandoned := false
	_, err = readStream(strings.NewReader(`{"packages": {"a": {"name": "a"}}}`), packFile{File: full, abandon: func() { abandoned = true }})
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.ErrorContains(t, err, "keeping its records: ")
	require.True(t, abandoned)
}
