package layer

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/condatest"
	"github.com/datalayer/conda2docker/conda/link"
)

func target() link.Target {
	return link.Target{
		Prefix: "/opt/conda", Subdir: conda.Linux64,
		Python: &link.Python{Version: "3.11", SitePackages: "lib/python3.11/site-packages", Path: "bin/python3.11"},
	}
}

// input writes the package's archive to a folder of the test.
func input(t testing.TB, p condatest.Package) Input {
	t.Helper()
	a := p.Archive(t)
	path := filepath.Join(t.TempDir(), a.FileName)
	require.NoError(t, os.WriteFile(path, a.Bytes, 0o644))
	return Input{Record: a.Record, ArchivePath: path, ArchiveSHA256: a.Record.SHA256, Target: target()}
}

func openCache(t testing.TB, o Options) *Cache {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	c, err := Open(o)
	require.NoError(t, err)
	return c
}

// samples are packages with one of everything.
func samples() []condatest.Package {
	return []condatest.Package{
		{
			Name: "native", Timestamp: 1700000000000,
			Files: []condatest.File{
				{Path: "bin/tool", Body: "#!" + condatest.Placeholder + "/bin/sh\necho hello\n", Prefix: condatest.Text},
				{Path: "lib/libnative.so.1", Body: "\x7fELF" + condatest.Placeholder + "/share\x00rest", Prefix: condatest.Binary},
				{Path: "lib/libnative.so", Link: "libnative.so.1"},
				{Path: "lib/hard", HardLink: "bin/tool", Prefix: condatest.Text},
				{Path: "share/native/big.txt", Body: string(text(7, chunkSize+1000))},
				{Path: "share/native/last.txt", Body: "at the end of the second chunk"},
				{Path: "share/native/last-hard.txt", HardLink: "share/native/last.txt"},
				{Path: "var/empty", Mode: fs.ModeDir | 0o700},
			},
		},
		{
			Name: "pure", NoArch: conda.NoArchPython, Timestamp: 1700000000000, Depends: []string{"python"}, Format: condatest.TarBz2,
			Files:       []condatest.File{{Path: "site-packages/pure/__init__.py", Body: "def main(): pass\n"}},
			EntryPoints: []string{"pure = pure:main"},
		},
		{Name: "meta"},
	}
}

// listing is a layer's tar, a line per entry.
func listing(t testing.TB, l Layer) []string {
	t.Helper()
	var lines []string
	require.NoError(t, l.Walk(func(h *tar.Header, r io.Reader) error {
		require.Empty(t, h.Uname+h.Gname)
		b, err := io.ReadAll(r)
		line := fmt.Sprintf("%c %o %d:%d %s %s", h.Typeflag, h.Mode, h.Uid, h.Gid, h.ModTime.UTC().Format("2006-01-02T15:04:05.999"), h.Name)
		if h.Linkname != "" {
			line += " -> " + h.Linkname
		}
		if h.Typeflag == tar.TypeReg {
			line += fmt.Sprintf(" %d bytes", len(b))
		}
		lines = append(lines, line)
		return err
	}))
	return lines
}

// only are the lines that contain s.
func only(lines []string, s string) []string {
	var out []string
	for _, l := range lines {
		if strings.Contains(l, s) {
			out = append(out, l)
		}
	}
	return out
}

func segments(t testing.TB, c *Cache, inputs []Input, parallel int) []Segment {
	t.Helper()
	s, err := c.Segments(context.Background(), inputs, parallel, nil)
	require.NoError(t, err)
	return s
}

func sampleInputs(t testing.TB) []Input {
	t.Helper()
	var inputs []Input
	for _, p := range samples() {
		inputs = append(inputs, input(t, p))
	}
	return inputs
}

func TestSegmentHoldsThePackage(t *testing.T) {
	ctx := context.Background()
	c := openCache(t, Options{})
	inputs := sampleInputs(t)
	s := segments(t, c, inputs, 2)

	l, err := c.Layer(ctx, Groups(s[:1], 0)[0])
	require.NoError(t, err)
	require.Equal(t, "native-1.0-0", l.Name)
	lines := listing(t, l)
	require.Equal(t, "5 755 0:0 1980-01-01T00:00:00 opt/", lines[0])
	require.Equal(t, "5 755 0:0 1980-01-01T00:00:00 opt/conda/", lines[1])
	require.Equal(t, []string{"5 755 0:0 1980-01-01T00:00:00 opt/conda/var/empty/"}, only(lines, "var/empty"))
	require.Len(t, only(lines, " opt/conda/lib/"), 4)
	require.Regexp(t, `^0 755 0:0 \S+ opt/conda/bin/tool 31 bytes$`, only(lines, "bin/tool")[0])
	require.Regexp(t, `^2 777 0:0 \S+ opt/conda/lib/libnative.so -> libnative.so.1$`, only(lines, "libnative.so ")[0])
	require.Regexp(t, `^1 644 0:0 \S+ opt/conda/share/native/last-hard.txt -> opt/conda/share/native/last.txt$`, only(lines, "last-hard")[0])

	l, err = c.Layer(ctx, Groups(s[1:2], 0)[0])
	require.NoError(t, err)
	lines = listing(t, l)
	require.Len(t, only(lines, "opt/conda/lib/python3.11/site-packages/pure/__init__.py 17 bytes"), 1)
	require.Regexp(t, `^0 755 0:0 2023-11-14T22:13:20 opt/conda/bin/pure`, only(lines, "bin/pure")[0])

	require.Empty(t, Groups(s[2:], 0), "a package without files needs no layer")
	require.Empty(t, s[2].Entries)
	require.Contains(t, string(s[2].Package.Index), `"meta"`)

	native := s[0]
	require.Equal(t, native.Package.Paths[0], *native.Entries[0].Path)
	for name, want := range map[string]string{
		"bin/tool":                   "#!/opt/conda/bin/sh\necho hello\n",
		"lib/hard":                   "#!/opt/conda/bin/sh\necho hello\n",
		"share/native/big.txt":       string(text(7, chunkSize+1000)),
		"share/native/last.txt":      "at the end of the second chunk",
		"share/native/last-hard.txt": "at the end of the second chunk",
	} {
		e, ok := native.Find(name)
		require.True(t, ok)
		r, err := c.Open(ctx, native, e)
		require.NoError(t, err)
		b, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, r.Close())
		require.Equal(t, want, string(b), name)
		require.Equal(t, e.SHA256, hexSum(b), name)
	}
	e, _ := native.Find("lib/libnative.so")
	_, err = c.Open(ctx, native, e)
	require.ErrorContains(t, err, "lib/libnative.so has no content: it is a symlink")
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func TestSegmentsAreTheSameEverywhere(t *testing.T) {
	inputs := sampleInputs(t)
	for _, o := range []Options{{}, {Compression: Zstd}, {Level: 9}} {
		var want []Segment
		for _, parallel := range []int{1, 1, 4} {
			o.Dir, o.Parallel = t.TempDir(), parallel
			got := segments(t, openCache(t, o), inputs, parallel)
			for i := range got {
				b, err := os.ReadFile(got[i].blob.path)
				require.NoError(t, err)
				require.Equal(t, digest.FromBytes(b), got[i].blob.digest)
				require.Equal(t, digest.FromBytes(unpacked(t, got[i].blob.path)), got[i].blob.diffID)
				got[i].blob.path, got[i].input = "", Input{}
			}
			if want == nil {
				want = got
			}
			require.Equal(t, want, got)
		}
	}
}

// unpacked decompresses a blob by other means than the cache's.
func unpacked(t testing.TB, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	var r io.Reader
	if raw[0] == 0x1f {
		r, err = gzip.NewReader(bytes.NewReader(raw))
	} else {
		r, err = zstd.NewReader(bytes.NewReader(raw))
	}
	require.NoError(t, err)
	b, err := io.ReadAll(r)
	require.NoError(t, err)
	return b
}

func TestSegmentKeys(t *testing.T) {
	inputs := sampleInputs(t)
	native, pure := inputs[0], inputs[1]
	c := openCache(t, Options{})
	key := func(in Input, change func(*Input)) string {
		change(&in)
		in.Target = in.target()
		return c.segmentID(in)
	}
	same := func(*Input) {}
	otherPython := func(in *Input) {
		in.Target.Python = &link.Python{Version: "3.12", SitePackages: "lib/python3.12/site-packages", Path: "bin/python3.12"}
	}
	require.Equal(t, key(native, same), key(native, otherPython), "only noarch python depends on python")
	require.NotEqual(t, key(pure, same), key(pure, otherPython))
	for name, change := range map[string]func(*Input){
		"prefix":  func(in *Input) { in.Target.Prefix = "/opt/other" },
		"subdir":  func(in *Input) { in.Target.Subdir = conda.LinuxAarch64 },
		"archive": func(in *Input) { in.ArchiveSHA256 = strings.Repeat("0", 64) },
	} {
		require.NotEqual(t, key(native, same), key(native, change), name)
	}
	of := func(o Options) string {
		in := native
		in.Target = in.target()
		return openCache(t, o).segmentID(in)
	}
	for _, o := range []Options{{Compression: Zstd}, {Level: 1}, {Linker: link.Linker{Safety: link.SafetyEnabled}}} {
		require.NotEqual(t, key(native, same), of(o))
	}
	require.Equal(t, key(native, same), of(Options{Linker: link.Linker{Safety: link.SafetyWarn}}))
}

func TestSegmentsComeFromTheCache(t *testing.T) {
	ctx := context.Background()
	inputs := sampleInputs(t)
	dir := t.TempDir()
	first := segments(t, openCache(t, Options{Dir: dir}), inputs, 2)
	old := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(filepath.Join(dir, segmentsDir, first[0].ID), old, old))
	for _, in := range inputs {
		require.NoError(t, os.Remove(in.ArchivePath))
	}

	var events []Event
	again, err := openCache(t, Options{Dir: dir, Verify: true}).Segments(ctx, inputs, 2, func(e Event) { events = append(events, e) })
	require.NoError(t, err)
	require.Equal(t, first, again)
	require.Len(t, events, 3)
	for i, e := range events {
		require.True(t, e.Cached)
		require.Equal(t, i+1, e.Done)
		require.Equal(t, 3, e.Total)
	}
	fi, err := os.Stat(filepath.Join(dir, segmentsDir, first[0].ID))
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), fi.ModTime(), time.Minute, "a used segment is touched")
}

// Whatever is wrong with a cached segment, only that one is made again.
func TestBrokenSegmentIsMadeAgain(t *testing.T) {
	inputs := sampleInputs(t)
	for name, tt := range map[string]struct {
		verify bool
		harm   func(t *testing.T, s Segment)
	}{
		"folder gone":    {false, func(t *testing.T, s Segment) { require.NoError(t, os.RemoveAll(filepath.Dir(s.blob.path))) }},
		"blob gone":      {false, func(t *testing.T, s Segment) { require.NoError(t, os.Remove(s.blob.path)) }},
		"blob truncated": {false, func(t *testing.T, s Segment) { require.NoError(t, os.Truncate(s.blob.path, s.blob.size-1)) }},
		"index gone": {false, func(t *testing.T, s Segment) {
			require.NoError(t, os.Remove(filepath.Join(filepath.Dir(s.blob.path), indexFile)))
		}},
		"index truncated": {false, func(t *testing.T, s Segment) {
			require.NoError(t, os.Truncate(filepath.Join(filepath.Dir(s.blob.path), indexFile), 100))
		}},
		"index with other bytes": {false, func(t *testing.T, s Segment) { flip(t, filepath.Join(filepath.Dir(s.blob.path), indexFile)) }},
		"blob with other bytes":  {true, func(t *testing.T, s Segment) { flip(t, s.blob.path) }},
	} {
		t.Run(name, func(t *testing.T) {
			c := openCache(t, Options{Verify: tt.verify})
			want := segments(t, c, inputs, 1)
			tt.harm(t, want[0])
			made := map[string]bool{}
			got, err := c.Segments(context.Background(), inputs, 1, func(e Event) { made[string(e.Segment.Name)] = !e.Cached })
			require.NoError(t, err)
			require.Equal(t, want, got)
			require.Equal(t, map[string]bool{"native": true, "pure": false, "meta": false}, made)
			b, err := os.ReadFile(got[0].blob.path)
			require.NoError(t, err)
			require.Equal(t, got[0].blob.digest, digest.FromBytes(b))
			left, err := filepath.Glob(filepath.Join(c.opts.Dir, "*", tempPrefix+"*"))
			require.NoError(t, err)
			require.Empty(t, left)
		})
	}
}

// flip changes one byte in the middle of a file.
func flip(t testing.TB, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	b[len(b)/2] ^= 1
	require.NoError(t, os.WriteFile(path, b, 0o644))
}

func TestSegmentErrors(t *testing.T) {
	ctx := context.Background()
	c := openCache(t, Options{})
	good := sampleInputs(t)[0]
	for name, tt := range map[string]struct {
		change func(*Input)
		want   string
	}{
		"no record":     {func(in *Input) { in.Record = nil }, "making a layer segment: no record given"},
		"no sha256":     {func(in *Input) { in.ArchiveSHA256 = "" }, `making the layer segment of native-1.0-0: archive sha256 "": want 64 hex digits`},
		"prefix":        {func(in *Input) { in.Target.Prefix = "opt" }, `prefix "opt": want an absolute, clean path below /`},
		"prefix root":   {func(in *Input) { in.Target.Prefix = "/" }, `prefix "/": want an absolute, clean path below /`},
		"no archive":    {func(in *Input) { in.ArchivePath = "/nowhere/x.conda" }, "making the layer segment of native-1.0-0: "},
		"another thing": {func(in *Input) { in.ArchivePath = "segment_test.go" }, "making the layer segment of native-1.0-0: "},
	} {
		t.Run(name, func(t *testing.T) {
			in := good
			tt.change(&in)
			_, err := c.Segments(ctx, []Input{in}, 1, nil)
			require.ErrorContains(t, err, tt.want)
		})
	}
	left, err := os.ReadDir(filepath.Join(c.opts.Dir, segmentsDir))
	require.NoError(t, err)
	require.Empty(t, left, "a failure leaves nothing")

	canceled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = c.Segment(canceled, good)
	require.ErrorIs(t, err, context.Canceled)
}

// Whiteouts would delete files of other packages, and only in some ways of unpacking.
func TestSegmentRefusesWhiteouts(t *testing.T) {
	in := input(t, condatest.Package{Name: "evil", Files: []condatest.File{{Path: "lib/.wh.victim", Body: "x"}}})
	_, err := openCache(t, Options{}).Segment(context.Background(), in)
	require.ErrorContains(t, err, ".wh.victim")
}

func TestConcurrentMakersAgree(t *testing.T) {
	inputs := sampleInputs(t)
	dir := t.TempDir()
	var all []Input
	for range 5 {
		all = append(all, inputs...)
	}
	type result struct {
		s   []Segment
		err error
	}
	results := make(chan result)
	for range 3 { // as three processes would: each with a cache of its own
		go func() {
			c, err := Open(Options{Dir: dir})
			if err == nil {
				var s []Segment
				s, err = c.Segments(context.Background(), all, 4, nil)
				results <- result{s, err}
				return
			}
			results <- result{nil, err}
		}()
	}
	var want []Segment
	for range 3 {
		r := <-results
		require.NoError(t, r.err)
		if want == nil {
			want = r.s
		}
		require.Equal(t, want, r.s)
	}
	entries, err := os.ReadDir(filepath.Join(dir, segmentsDir))
	require.NoError(t, err)
	require.Len(t, entries, 3)
}

func TestOpenNeedsAFolder(t *testing.T) {
	_, err := Open(Options{})
	require.EqualError(t, err, "opening the layer cache: no directory given")
	_, err = Open(Options{Dir: t.TempDir(), Compression: "xz"})
	require.EqualError(t, err, `opening the layer cache: layer compression "xz": want gzip or zstd`)
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	_, err = Open(Options{Dir: file})
	var pe *fs.PathError
	require.ErrorAs(t, err, &pe)
}
