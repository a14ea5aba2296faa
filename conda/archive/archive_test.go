package archive_test

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda/archive"
)

// seen is an entry with its bytes.
type seen struct {
	archive.Entry
	body string
}

// read walks a package as link does, and keeps all of it.
func read(ctx context.Context, b []byte, opts archive.Options) (info, payload []seen, err error) {
	r, err := open(b, opts)
	if err != nil {
		return nil, nil, err
	}
	keep := func(to *[]seen) archive.Yield {
		return func(e archive.Entry, body io.Reader) error {
			s := seen{Entry: e}
			if body != nil {
				b, err := io.ReadAll(body)
				if err != nil {
					return err
				}
				s.body = string(b)
			}
			*to = append(*to, s)
			return nil
		}
	}
	if err := r.Info(ctx, keep(&info)); err != nil {
		return nil, nil, err
	}
	return info, payload, r.Payload(ctx, keep(&payload))
}

func paths(s []seen) []string {
	var out []string
	for _, e := range s {
		out = append(out, e.Path)
	}
	return out
}

func TestEntries(t *testing.T) {
	members := []member{
		{tar.Header{Name: "./bin/", Typeflag: tar.TypeDir, Mode: 0o755}, ""},
		file("./bin/tool", "#!/bin/sh\n"),
		special("lib/libz.so", tar.TypeSymlink, "libz.so.1"),
		special("bin/again", tar.TypeLink, "bin/tool"),
		special("bin/thrice", tar.TypeLink, "./bin/again"),
		special("share/up", tar.TypeSymlink, "../bin/tool"),
	}
	for name, b := range map[string][]byte{"demo-1-0.conda": dotConda(t, members...), "demo-1-0.tar.bz2": dotBz2(t, members...)} {
		t.Run(name, func(t *testing.T) {
			info, payload, err := read(t.Context(), b, archive.Options{Name: name})
			require.NoError(t, err)
			require.Equal(t, []string{"info/index.json"}, paths(info))
			require.Equal(t, index().body, info[0].body)
			require.Equal(t, []string{"bin", "bin/tool", "lib/libz.so", "bin/again", "bin/thrice", "share/up"}, paths(payload))
			tool := payload[1]
			require.Equal(t, archive.Regular, tool.Type)
			require.Equal(t, "#!/bin/sh\n", tool.body)
			require.Equal(t, int64(10), tool.Size)
			require.Equal(t, fs.FileMode(0o644), tool.Mode)
			require.Equal(t, time.Unix(1e9, 0), tool.ModTime)
			require.Equal(t, "libz.so.1", payload[2].Link)
			require.Equal(t, "bin/tool", payload[3].Link)
			require.Equal(t, "bin/tool", payload[4].Link, "a link to a link leads to the file")
		})
	}
}

// hostile are members that no package may have, each with what its refusal says.
var hostile = []struct {
	name    string
	members []member
	limits  archive.Limits
	want    string
}{
	{"parent", []member{file("../escape", "x")}, archive.Limits{}, "leads out of the prefix"},
	{"parent inside", []member{file("lib/../../escape", "x")}, archive.Limits{}, "leads out of the prefix"},
	{"absolute", []member{file("/etc/passwd", "x")}, archive.Limits{}, "absolute path"},
	{"whiteout", []member{file("lib/.wh.libz.so", "x")}, archive.Limits{}, "a deletion in an image's layer"},
	{"opaque", []member{file("lib/.wh..wh..opq", "x")}, archive.Limits{}, "a deletion in an image's layer"},
	{"not UTF-8", []member{file("lib/\xff\xfe", "x")}, archive.Limits{}, "not UTF-8"},
	{"symlink out", []member{special("lib/evil", tar.TypeSymlink, "../../etc/passwd")}, archive.Limits{}, "out of the prefix"},
	{"symlink absolute", []member{special("lib/evil", tar.TypeSymlink, "/etc/passwd")}, archive.Limits{}, "absolute path"},
	{"symlink to nothing", []member{special("lib/evil", tar.TypeSymlink, "")}, archive.Limits{}, "symbolic link to nothing"},
	{"through a symlink", []member{special("lib", tar.TypeSymlink, "bin"), file("lib/x", "x")}, archive.Limits{}, `is below "lib", which is a symlink`},
	{"symlink over a directory", []member{file("lib/x", "x"), special("lib", tar.TypeSymlink, "bin")}, archive.Limits{}, "is there twice"},
	{"below a file", []member{file("lib", "x"), file("lib/x", "x")}, archive.Limits{}, `is below "lib", which is a file`},
	{"hard link out", []member{special("lib/evil", tar.TypeLink, "../../etc/passwd")}, archive.Limits{}, "hard link out of the package"},
	{"hard link to nothing", []member{special("lib/evil", tar.TypeLink, "lib/none")}, archive.Limits{}, "no file that came before"},
	{"hard link to symlink", []member{special("a", tar.TypeSymlink, "b"), special("c", tar.TypeLink, "a")}, archive.Limits{}, "no file that came before"},
	{"character device", []member{special("dev/null", tar.TypeChar, "")}, archive.Limits{}, "device node"},
	{"block device", []member{special("dev/sda", tar.TypeBlock, "")}, archive.Limits{}, "device node"},
	{"pipe", []member{special("run/pipe", tar.TypeFifo, "")}, archive.Limits{}, "named pipe"},
	{"duplicate", []member{file("bin/a", "x"), file("./bin//a", "y")}, archive.Limits{}, "is there twice"},
	{"duplicate of another type", []member{file("bin/a", "x"), special("bin/a", tar.TypeSymlink, "b")}, archive.Limits{}, "is there twice"},
	{"root", []member{special("./", tar.TypeSymlink, "bin")}, archive.Limits{}, "root"},
	{"large file", []member{file("bin/a", strings.Repeat("x", 100))}, archive.Limits{FileBytes: 99}, "limit of 99 for one file"},
	{"large package", []member{file("bin/a", strings.Repeat("x", 100)), file("bin/b", strings.Repeat("x", 100))}, archive.Limits{TotalBytes: 199}, "limit of 199 bytes"},
	{"many entries", []member{file("a", ""), file("b", ""), file("c", "")}, archive.Limits{Entries: 2}, "more than 2 entries"},
}

func TestHostile(t *testing.T) {
	for _, tc := range hostile {
		for _, format := range []string{".conda", ".tar.bz2"} {
			t.Run(tc.name+format, func(t *testing.T) {
				b := dotConda(t, tc.members...)
				if format == ".tar.bz2" {
					b = dotBz2(t, tc.members...)
				}
				_, _, err := read(t.Context(), b, archive.Options{Name: "demo-1-0" + format, Limits: tc.limits})
				require.ErrorContains(t, err, tc.want)
				require.ErrorContains(t, err, "demo-1-0"+format, "a refusal names the package")
			})
		}
	}
}

func TestBomb(t *testing.T) {
	// 17 MiB of zeros in a few KiB, promised honestly and behind the end of the tarball.
	zeros := strings.Repeat("\x00", 17<<20)
	b := dotConda(t, file("lib/zeros", zeros))
	require.Less(t, len(b), 64<<10)
	_, _, err := read(t.Context(), b, archive.Options{Name: "demo.conda", Limits: archive.Limits{TotalBytes: 16 << 20}})
	require.ErrorContains(t, err, "limit of 16777216 bytes")

	tail := append(tarball(t, file("a", "x")), zeros...)
	b = zipped(t, zipMember{"info-d.tar.zst", compressZstd(t, tarball(t, index()))},
		zipMember{"pkg-d.tar.zst", compressZstd(t, tail)})
	_, _, err = read(t.Context(), b, archive.Options{Name: "demo.conda", Limits: archive.Limits{TotalBytes: 1000}})
	require.ErrorContains(t, err, "unpacks to more than the limit")

	_, _, err = read(t.Context(), dotBz2(t, file("info/paths.json", strings.Repeat(" ", 200))),
		archive.Options{Name: "demo.tar.bz2", Limits: archive.Limits{InfoBytes: 199}})
	require.ErrorContains(t, err, "limit of 199")
}

func TestTruncated(t *testing.T) {
	body := make([]byte, 1<<20)
	for i := range body { // not to be compressed away
		body[i] = byte(i * i >> 3)
	}
	for name, b := range map[string][]byte{
		"demo.conda": dotConda(t, file("lib/a", string(body))), "demo.tar.bz2": dotBz2(t, file("lib/a", string(body))),
	} {
		for _, n := range []int{len(b) - 1, len(b) * 3 / 4, len(b) / 2, len(b) / 4, 100} {
			_, _, err := read(t.Context(), b[:n], archive.Options{Name: name})
			require.ErrorContains(t, err, name, "%d of %d bytes", n, len(b))
			require.ErrorContains(t, err, "truncated", "%d of %d bytes", n, len(b))
		}
	}
	// A zip whose tarball ends too early is told apart from one whose own end is missing.
	z := compressZstd(t, tarball(t, file("lib/a", string(body))))
	b := zipped(t, zipMember{"info-d.tar.zst", compressZstd(t, tarball(t, index()))}, zipMember{"pkg-d.tar.zst", z[:len(z)/2]})
	_, _, err := read(t.Context(), b, archive.Options{Name: "demo.conda"})
	require.ErrorContains(t, err, "truncated")
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

func TestDamaged(t *testing.T) {
	b := dotBz2(t, file("lib/a", strings.Repeat("some text ", 1000)))
	b[len(b)/2] ^= 0x55
	_, _, err := read(t.Context(), b, archive.Options{Name: "demo.tar.bz2"})
	require.ErrorContains(t, err, "demo.tar.bz2: reading the archive")

	b = dotConda(t, file("lib/a", "some text"))
	b[len("PK..")+60] ^= 0x55 // in the first member's body, which the zip's checksum covers
	_, _, err = read(t.Context(), b, archive.Options{Name: "demo.conda"})
	require.ErrorContains(t, err, "demo.conda")
}

func TestMislabelled(t *testing.T) {
	conda, bz2 := dotConda(t), dotBz2(t)
	for _, tc := range []struct{ name, content, want string }{
		{"a.tar.bz2", string(conda), "is not a .tar.bz2 package (bzip2): it is a .conda package (zip)"},
		{"a.conda", string(bz2), "is not a .conda package (zip): it is a .tar.bz2 package (bzip2)"},
		{"a.tar.bz2", "\x1f\x8b\x08\x00", "it is gzip"},
		{"a.tar.bz2", "\xfd7zXZ\x00", "it is xz"},
		{"a.conda", "\x28\xb5\x2f\xfd", "it is zstandard"},
		{"a.tar.bz2", string(tarball(t, index())), "it is a tarball that is not compressed"},
		{"a.conda", "<!DOCTYPE html>", "it is HTML or XML"},
		{"a.conda", `{"error": "not found"}`, "it is JSON"},
		{"a.conda", "hello", "it is no known archive"},
		{"a", "hello", "is not a conda package: it is no known archive"},
		{"a.conda", "", "is empty"},
	} {
		_, err := open([]byte(tc.content), archive.Options{Name: tc.name})
		require.ErrorContains(t, err, tc.want)
		require.ErrorContains(t, err, tc.name+": ")
	}
	for _, b := range [][]byte{conda, bz2} { // content-addressed names say nothing
		_, _, err := read(t.Context(), b, archive.Options{Name: "sha256-0123"})
		require.NoError(t, err)
	}
}

func TestCondaZip(t *testing.T) {
	info := zipMember{"info-d.tar.zst", compressZstd(t, tarball(t, index()))}
	pkg := zipMember{"pkg-d.tar.zst", compressZstd(t, tarball(t, file("a", "x"), file("info/licenses/MIT", "x")))}
	for _, order := range [][]zipMember{{info, pkg, metadata()}, {pkg, metadata(), info}, {metadata(), {"future", []byte("x")}, pkg, info}} {
		in, payload, err := read(t.Context(), zipped(t, order...), archive.Options{Name: "d.conda"})
		require.NoError(t, err)
		require.Equal(t, []string{"info/index.json"}, paths(in))
		require.Equal(t, []string{"a"}, paths(payload))
	}
	for _, tc := range []struct {
		members []zipMember
		want    string
	}{
		{[]zipMember{metadata(), pkg}, "no info-*.tar.zst"},
		{[]zipMember{metadata(), info}, "no pkg-*.tar.zst"},
		{[]zipMember{info, {"pkg-e.tar.zst", pkg.body}}, "parts of two packages"},
		{[]zipMember{info, pkg, {"pkg-e.tar.zst", pkg.body}}, `both "pkg-d.tar.zst" and "pkg-e.tar.zst"`},
		{[]zipMember{{"home/info-d.tar.zst", info.body}, {"home/pkg-d.tar.zst", pkg.body}}, "not at its top"},
		{[]zipMember{info, pkg, {"metadata.json", []byte(`{"conda_pkg_format_version": 3}`)}}, `format "3"`},
		{[]zipMember{info, pkg, {"metadata.json", []byte(`{`)}}, "reading metadata.json"},
		{[]zipMember{pkg, {"info-d.tar.zst", compressZstd(t, tarball(t, index(), file("bin/a", "x")))}}, `"bin/a" is in the tarball of info/`},
		{[]zipMember{info, {"pkg-d.tar.zst", compressZstd(t, tarball(t, file("info/paths.json", "x")))}}, `"info/paths.json" is in the tarball of the files`},
	} {
		_, _, err := read(t.Context(), zipped(t, tc.members...), archive.Options{Name: "d.conda"})
		require.ErrorContains(t, err, tc.want)
	}
}

// TestInfoAnywhere reads .tar.bz2 packages whose info/ is in front, in the middle, and in two places.
func TestInfoAnywhere(t *testing.T) {
	pathsJSON := file("info/paths.json", "{}")
	for _, tc := range []struct {
		name    string
		members []member
		info    []string
		want    string
	}{
		{"in front", []member{index(), pathsJSON, file("a", "x"), file("info/recipe/meta.yaml", "x")}, []string{"info/index.json", "info/paths.json"}, ""},
		{"in the middle", []member{file("a", "x"), index(), pathsJSON, file("z", "x")}, []string{"info/index.json", "info/paths.json"}, ""},
		{"incomplete in front", []member{index(), file("a", "x"), pathsJSON}, []string{"info/index.json", "info/paths.json"}, ""},
		{"too late", []member{index(), pathsJSON, file("a", "x"), file("info/link.json", "{}")}, nil, `"info/link.json" comes after the files`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			info, payload, err := read(t.Context(), compressBz2(t, tarball(t, tc.members...)), archive.Options{Name: "d.tar.bz2"})
			if tc.want != "" {
				require.ErrorContains(t, err, tc.want)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.info, paths(info))
			require.Equal(t, "a", paths(payload)[0])
		})
	}
}

// TestParallelBzip2 reads what parallel compressors write: several streams, one after the other.
func TestParallelBzip2(t *testing.T) {
	b := tarball(t, index(), file("a", strings.Repeat("some text ", 1000)))
	half := compressBz2(t, b[:len(b)/2])
	_, payload, err := read(t.Context(), append(half, compressBz2(t, b[len(b)/2:])...), archive.Options{Name: "d.tar.bz2"})
	require.NoError(t, err)
	require.Equal(t, strings.Repeat("some text ", 1000), payload[0].body)

	_, _, err = read(t.Context(), half, archive.Options{Name: "d.tar.bz2"})
	require.ErrorContains(t, err, "truncated")
}

// TestDecoders reads packages with what others left, broken ones among them, and with windows of any size.
func TestDecoders(t *testing.T) {
	var d archive.Decoders
	body := strings.Repeat("some text ", 100_000)
	for range 3 {
		for _, window := range []int{1 << 10, 1 << 20, 32 << 20} {
			w, err := zstd.NewWriter(nil, zstd.WithWindowSize(window), zstd.WithSingleSegment(window == 1<<20))
			require.NoError(t, err)
			pkg := w.EncodeAll(tarball(t, file("a", body)), nil)
			info := zipMember{"info-d.tar.zst", compressZstd(t, tarball(t, index()))}
			_, payload, err := read(t.Context(), zipped(t, info, zipMember{"pkg-d.tar.zst", pkg}), archive.Options{Name: "d.conda", Decoders: &d})
			require.NoError(t, err)
			same := payload[0].body == body
			require.True(t, same)
			_, _, err = read(t.Context(), zipped(t, info, zipMember{"pkg-d.tar.zst", pkg[:len(pkg)/2]}), archive.Options{Name: "d.conda", Decoders: &d})
			require.ErrorContains(t, err, "truncated")
		}
	}
}

// TestOnceThrough reads a .tar.bz2 in every order of walks, with what others left, broken ones among them.
func TestOnceThrough(t *testing.T) {
	body := strings.Repeat("some text ", 1000)
	whole := dotBz2(t, file("info/paths.json", "{}"), file("a", body), special("b", tar.TypeLink, "a"), file("info/about.json", "{}"), file("c", "x"))
	var d archive.Decoders
	for range 3 {
		r, err := open(whole, archive.Options{Name: "d.tar.bz2", Decoders: &d})
		require.NoError(t, err)
		walk := func(do func(context.Context, archive.Yield) error, want ...string) {
			var got []string
			require.NoError(t, do(t.Context(), func(e archive.Entry, r io.Reader) error {
				got = append(got, e.Path)
				if e.Path == "a" {
					b, err := io.ReadAll(r)
					require.Equal(t, body, string(b))
					return err
				}
				return nil
			}))
			require.Equal(t, want, got)
		}
		info, files := []string{"info/index.json", "info/paths.json"}, []string{"a", "b", "c"}
		walk(r.Info, info...)
		walk(r.Info, info...)
		walk(r.Payload, files...)
		walk(r.Payload, files...)
		walk(r.Info, info...)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, r.Payload(ctx, func(archive.Entry, io.Reader) error { return nil }), context.Canceled)
		walk(r.Info, info...)
		fault := errors.New("disk full")
		require.ErrorIs(t, r.Payload(t.Context(), func(archive.Entry, io.Reader) error { return fault }), fault)
		walk(r.Info, info...)
		require.NoError(t, r.Close())

		_, _, err = read(t.Context(), whole[:len(whole)-8], archive.Options{Name: "d.tar.bz2", Decoders: &d})
		require.ErrorContains(t, err, "truncated")
	}
}

// TestWindow reads packages that say how much memory decompressing them takes, and refuses those that say too much, also late.
func TestWindow(t *testing.T) {
	w, err := zstd.NewWriter(nil, zstd.WithWindowSize(1<<20), zstd.WithSingleSegment(false))
	require.NoError(t, err)
	frame := func(b []byte, log int) []byte {
		f := w.EncodeAll(b, nil)
		require.Zero(t, f[4]&0x20, "a single segment has no window")
		f[5] = byte((log - 10) << 3)
		return f
	}
	b := tarball(t, file("a", strings.Repeat("some text ", 100_000)))
	half := len(b) / 2
	for _, tc := range []struct {
		name  string
		pkg   []byte
		limit int64
		want  string
	}{
		{"level 22", frame(b, 27), 0, ""},
		{"more", frame(b, 28), 0, "d.conda: opening pkg-d.tar.zst: decompressing it takes a zstd window of 256 MiB, and the limit is 128 MiB"},
		{"more than is wanted", frame(b, 25), 16 << 20, "takes a zstd window of 32 MiB, and the limit is 16 MiB"},
		{"just what is wanted", frame(b, 25), 32 << 20, ""},
		{"several frames", append(frame(b[:half], 23), frame(b[half:], 20)...), 0, ""},
		{"more in a later frame", append(frame(b[:half], 20), frame(b[half:], 27)...), 0, "window size exceeded"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := zipped(t, zipMember{"info-d.tar.zst", frame(tarball(t, index()), 20)}, zipMember{"pkg-d.tar.zst", tc.pkg})
			for _, d := range []*archive.Decoders{nil, {}} {
				for range 2 { // the second time with what the first has left
					opts := archive.Options{Name: "d.conda", Limits: archive.Limits{Window: tc.limit}, Decoders: d}
					_, payload, err := read(t.Context(), c, opts)
					if tc.want != "" {
						require.ErrorContains(t, err, tc.want)
						continue
					}
					require.NoError(t, err)
					require.Len(t, payload[0].body, 1_000_000)
				}
			}
		})
	}
}

// TestFarMatch reads a small package whose window is needed: what comes late repeats what came early.
func TestFarMatch(t *testing.T) {
	noise := make([]byte, 1<<20)
	_, err := rand.NewChaCha8([32]byte{}).Read(noise)
	require.NoError(t, err)
	body := string(noise) + strings.Repeat("\x00", 20<<20) + string(noise)
	w, err := zstd.NewWriter(nil, zstd.WithWindowSize(32<<20), zstd.WithSingleSegment(false), zstd.WithEncoderLevel(zstd.SpeedBetterCompression))
	require.NoError(t, err)
	pkg := w.EncodeAll(tarball(t, file("a", "first"), file("b", body), file("c", "last")), nil)
	require.Less(t, len(pkg), len(noise)*3/2)
	for _, d := range []*archive.Decoders{nil, {}} {
		opts := archive.Options{Name: "d.conda", Decoders: d}
		info := zipMember{"info-d.tar.zst", compressZstd(t, tarball(t, index()))}
		_, payload, err := read(t.Context(), zipped(t, info, zipMember{"pkg-d.tar.zst", pkg}), opts)
		require.NoError(t, err)
		require.Equal(t, []string{"a", "b", "c"}, paths(payload))
		same := payload[1].body == body && payload[2].body == "last"
		require.True(t, same)

		_, _, err = read(t.Context(), zipped(t, info, zipMember{"pkg-d.tar.zst", pkg[:len(pkg)-9]}), opts)
		require.ErrorContains(t, err, "truncated")
	}
}

func TestYield(t *testing.T) {
	r, err := open(dotConda(t, file("a", "aaaa"), file("b", "b")), archive.Options{})
	require.NoError(t, err)
	fault := errors.New("disk full")
	require.ErrorIs(t, r.Payload(t.Context(), func(archive.Entry, io.Reader) error { return fault }), fault)
	n := 0
	require.NoError(t, r.Payload(t.Context(), func(archive.Entry, io.Reader) error { n++; return fs.SkipAll }))
	require.Equal(t, 1, n)

	ctx, cancel := context.WithCancel(t.Context())
	err = r.Payload(ctx, func(_ archive.Entry, body io.Reader) error {
		cancel()
		_, err := io.Copy(io.Discard, body)
		return err
	})
	require.ErrorIs(t, err, context.Canceled)
}

func TestOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "demo-1-0.conda")
	require.NoError(t, os.WriteFile(path, dotConda(t, file("a", "x")), 0o600))
	r, err := archive.Open(path, archive.Options{})
	require.NoError(t, err)
	require.NoError(t, r.Info(t.Context(), func(archive.Entry, io.Reader) error { return nil }))
	require.NoError(t, r.Close())

	_, err = archive.Open(path+"x", archive.Options{})
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, os.WriteFile(path, []byte("<html>"), 0o600))
	_, err = archive.Open(path, archive.Options{})
	require.ErrorContains(t, err, "demo-1-0.conda: the file is not a .conda package (zip): it is HTML")
}

func TestCleanPath(t *testing.T) {
	for in, want := range map[string]string{"a": "a", "./a": "a", "a//b/": "a/b", "./": ".", "a/.hidden": "a/.hidden", "a/...": "a/...", "a/.whx": "a/.whx"} {
		got, err := archive.CleanPath(in)
		require.NoError(t, err, in)
		require.Equal(t, want, got)
	}
	for _, in := range []string{"", "..", "a/..", "/", "/a", "a\x00b", "\xc3\x28", ".wh.a", "a/.wh.b/c"} {
		_, err := archive.CleanPath(in)
		require.Error(t, err, in)
	}
}
