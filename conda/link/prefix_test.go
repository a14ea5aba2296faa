package link

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// wholeText is what conda does to a text file, over the whole file; but conda puts a prefix that holds the placeholder twice
// in a first line, also where there is no space to be escaped.
func wholeText(data []byte, placeholder, prefix string) []byte {
	for _, e := range encodings {
		if end := bytes.IndexByte(data, '\n'); end >= 0 && end < maxLine && strings.Contains(prefix, " ") {
			line := bytes.ReplaceAll(data[:end], e.encode("#!"+placeholder), e.encode("#!"+strings.ReplaceAll(prefix, " ", `\ `)))
			data = append(bytes.Clone(line), data[end:]...)
		}
		data = bytes.ReplaceAll(data, e.encode(placeholder), e.encode(prefix))
	}
	m := shebang.FindSubmatch(data)
	if m == nil || len(m[1]) >= maxLine {
		return data
	}
	slash := bytes.LastIndexByte(m[2], '/')
	if len(m[1]) <= maxShebang && !bytes.Contains(m[2][:slash], []byte(`\ `)) {
		return data
	}
	return bytes.ReplaceAll(data, m[1], fmt.Appendf(nil, "#!/usr/bin/env %s%s", m[2][slash+1:], m[3]))
}

// wholeBinary is what conda does to a binary file, over the whole file; and what is done beyond maxString.
func wholeBinary(data []byte, placeholder, prefix string, maxString int) ([]byte, error) {
	for _, e := range encodings {
		from, to := e.encode(placeholder), e.encode(prefix)
		var out []byte
		for {
			i := bytes.Index(data, from)
			if i < 0 {
				break
			}
			out = append(out, data[:i]...)
			data = data[i:]
			end, nul := -1, e.width
			for at := len(from); at+e.width <= len(data); at += e.width {
				if bytes.Equal(data[at:at+e.width], make([]byte, e.width)) {
					end = at
					break
				}
			}
			if end < 0 && len(data) <= maxString {
				break
			}
			if end < 0 {
				end, nul = len(data), 0
			}
			if len(to) > len(from) {
				return nil, fmt.Errorf("too long")
			}
			n := bytes.Count(data[:end], from)
			out = append(out, bytes.ReplaceAll(data[:end], from, to)...)
			out = append(out, make([]byte, n*(len(from)-len(to))+nul)...)
			data = data[end+nul:]
		}
		data = append(out, data...)
	}
	return data, nil
}

const placeholder = "/opt/placehold_placehold_placehold_placehold"

func TestTextPrefix(t *testing.T) {
	long := "/opt/" + strings.Repeat("x", 130)
	for _, tc := range []struct{ name, prefix, in, want string }{
		{"everywhere", "/opt/conda", "a=" + placeholder + "/bin:" + placeholder + "\n" + placeholder, "a=/opt/conda/bin:/opt/conda\n/opt/conda"},
		{"shebang", "/opt/conda", "#!" + placeholder + "/bin/python\n", "#!/opt/conda/bin/python\n"},
		{"long shebang", long, "#!" + placeholder + "/bin/python -E -s\nx=" + placeholder, "#!/usr/bin/env python -E -s\nx=" + long},
		{"long shebang alone", long, "#!" + placeholder + "/bin/python", "#!/usr/bin/env python"},
		{"long shebang again", long, "#!" + placeholder + "/bin/sh\n#!" + placeholder + "/bin/sh\n", "#!/usr/bin/env sh\n#!/usr/bin/env sh\n"},
		{"127 bytes", "/opt/" + strings.Repeat("x", 127-len("#!/opt//bin/sh")), "#!" + placeholder + "/bin/sh\n", "#!/opt/" + strings.Repeat("x", 127-len("#!/opt//bin/sh")) + "/bin/sh\n"},
		{"128 bytes", "/opt/" + strings.Repeat("x", 128-len("#!/opt//bin/sh")), "#!" + placeholder + "/bin/sh\n", "#!/usr/bin/env sh\n"},
		{"spaces", "/opt/my conda", "#!" + placeholder + "/bin/python -E\nx=" + placeholder, "#!/usr/bin/env python -E\nx=/opt/my conda"},
		{"spaces without a newline", "/opt/my conda", "#!" + placeholder + "/bin/python", "#!/opt/my conda/bin/python"},
		{"not a shebang", long, "x\n#!" + placeholder + "/bin/python\n", "x\n#!" + long + "/bin/python\n"},
		{"windows line", long, "#!" + placeholder + "/bin/python\r\n", "#!/usr/bin/env python\r\n"},
		{"utf-16", "/opt/conda", string(encode16("x="+placeholder, binary.LittleEndian)), string(encode16("x=/opt/conda", binary.LittleEndian))},
		{"empty", "/opt/conda", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := io.ReadAll(replacement{mode: textMode, placeholder: placeholder, prefix: tc.prefix}.reader(strings.NewReader(tc.in)))
			require.NoError(t, err)
			require.Equal(t, tc.want, string(got))
			require.Equal(t, tc.want, string(wholeText([]byte(tc.in), placeholder, tc.prefix)))
		})
	}
}

func TestBinaryPrefix(t *testing.T) {
	const prefix = "/opt/conda"
	gap := strings.Repeat("\x00", len(placeholder)-len(prefix))
	wide := func(s string) string { return string(encode16(s, binary.LittleEndian)) }
	for _, tc := range []struct{ name, in, want string }{
		{"one", "\x7fELF" + placeholder + "/lib\x00rest", "\x7fELF" + prefix + "/lib" + gap + "\x00rest"},
		{"several in one string", placeholder + "/a:" + placeholder + "/b\x00x", prefix + "/a:" + prefix + "/b" + gap + gap + "\x00x"},
		{"several strings", placeholder + "\x00" + placeholder + "\x00", prefix + gap + "\x00" + prefix + gap + "\x00"},
		{"newlines", placeholder + "\n\n\x00", prefix + "\n\n" + gap + "\x00"},
		{"no end", "a\x00" + placeholder + "/lib", "a\x00" + placeholder + "/lib"},
		{"nothing", "a\x00b", "a\x00b"},
		{"utf-16", "a" + wide(placeholder+"/b") + "\x00\x00c", "a" + wide(prefix+"/b") + gap + gap + "\x00\x00c"},
		{"utf-16 aligned", wide(placeholder+"/aĀb") + "\x00\x00", wide(prefix+"/aĀb") + gap + gap + "\x00\x00"},
		{"utf-32", string(encode32(placeholder, binary.BigEndian)) + "\x00\x00\x00\x00", string(encode32(prefix, binary.BigEndian)) + gap + gap + gap + gap + "\x00\x00\x00\x00"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := io.ReadAll(replacement{mode: binaryMode, placeholder: placeholder, prefix: prefix}.reader(strings.NewReader(tc.in)))
			require.NoError(t, err)
			require.Equal(t, tc.want, string(got))
			require.Len(t, got, len(tc.in))
		})
	}
	_, err := io.ReadAll(replacement{mode: binaryMode, placeholder: "/short", prefix: "/longer"}.reader(strings.NewReader("/short\x00")))
	require.ErrorContains(t, err, "longer than the one of 6 bytes")
}

// TestLongString is a string that is too long to be kept until its end is seen.
func TestLongString(t *testing.T) {
	const prefix = "/opt/conda"
	body := strings.Repeat("b", 3<<20)
	gap := strings.Repeat("\x00", 2*(len(placeholder)-len(prefix)))
	for _, end := range []string{"", "\x00tail" + placeholder + "/x\x00"} {
		in := "a" + placeholder + body + placeholder + end
		want := "a" + prefix + body + prefix + gap
		if end != "" {
			want += "\x00tail" + prefix + "/x" + gap[:len(gap)/2] + "\x00"
		}
		got, err := io.ReadAll(replacement{mode: binaryMode, placeholder: placeholder, prefix: prefix}.reader(strings.NewReader(in)))
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
}

// TestChunks straddles occurrences and ends of strings over the chunks in which files are read.
func TestChunks(t *testing.T) {
	for shift := -60; shift <= 60; shift += 7 {
		in := bytes.Repeat([]byte("x"), chunk+shift)
		in = append(in, placeholder+"/lib:"+placeholder+"\x00"+strings.Repeat("y", chunk)+placeholder+strings.Repeat("z", chunk)+"\x00"...)
		for name, src := range map[string]io.Reader{
			"whole": bytes.NewReader(in), "halves": iotest.HalfReader(bytes.NewReader(in)), "with EOF": iotest.DataErrReader(bytes.NewReader(in)),
		} {
			want, err := wholeBinary(in, placeholder, "/opt/conda", 1<<20)
			require.NoError(t, err)
			got, err := io.ReadAll(replacement{mode: binaryMode, placeholder: placeholder, prefix: "/opt/conda"}.reader(src))
			require.NoError(t, err)
			require.True(t, bytes.Equal(want, got), "%s, shifted by %d", name, shift)
		}
	}
}

func TestReplaceError(t *testing.T) {
	for _, m := range []mode{textMode, binaryMode} {
		r := replacement{mode: m, placeholder: placeholder, prefix: "/p q"}.reader(
			io.MultiReader(strings.NewReader("some text"), iotest.ErrReader(io.ErrUnexpectedEOF)))
		_, err := io.ReadAll(r)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	}
}

// pieces is a reader that gives its bytes in pieces whose lengths come from a fuzzer.
type pieces struct {
	data []byte
	cuts []byte
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.data) == 0 {
		return 0, io.EOF
	}
	n := len(p.data)
	if len(p.cuts) > 0 {
		n = min(n, int(p.cuts[0]))
		p.cuts = p.cuts[1:]
	}
	n = copy(b, p.data[:n])
	p.data = p.data[n:]
	return n, nil
}

// FuzzPrefix holds the streams equal to the whole-file way, whatever the pieces.
func FuzzPrefix(f *testing.F) {
	f.Add([]byte("#!/place/bin/python -E\nx=/place\n"), "/place", "/opt/conda", []byte{1, 2, 3})
	f.Add([]byte("#!/place/bin/python\n"), "/place", "/opt/my conda", []byte{5})
	f.Add([]byte("a/place/x:/place/y\x00/place\x00"), "/place", "/p", []byte{4, 0, 9})
	f.Add([]byte("a/place/x:/place/yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy/place\x00/place"), "/place", "/p", []byte{2, 2, 2, 2, 2, 2})
	f.Add(append(encode16("/place/x", binary.LittleEndian), encode16("\x00/place", binary.BigEndian)...), "/place", "/p", []byte{3})
	f.Add(append(encode32("/place/x\x00", binary.LittleEndian), encode32("/place\x00", binary.BigEndian)...), "/place", "/p", []byte{1, 1})
	f.Add([]byte("#!/opt/bin/python\n/opt"), "/opt", "/opt/conda", []byte{5})
	f.Add([]byte("aaaaaaaaaaaa\x00aaa"), "aa", "a", []byte{1, 1, 1, 1, 1})
	f.Fuzz(func(t *testing.T, data []byte, placeholder, prefix string, cuts []byte) {
		if placeholder == "" || strings.ContainsRune(placeholder, 0) || len(placeholder) > 300 || len(prefix) > 300 || len(data) > 1<<16 {
			t.Skip()
		}
		r := replacement{mode: textMode, placeholder: placeholder, prefix: prefix, size: int64(len(data)), maxString: 64}
		got, err := io.ReadAll(r.reader(&pieces{data, cuts}))
		require.NoError(t, err)
		require.Equal(t, string(wholeText(data, placeholder, prefix)), string(got))

		r.mode = binaryMode
		want, wantErr := wholeBinary(data, placeholder, prefix, r.maxString)
		got, err = io.ReadAll(r.reader(&pieces{data, cuts}))
		if wantErr != nil {
			require.ErrorContains(t, err, "longer than")
			return
		}
		require.NoError(t, err)
		require.Equal(t, string(want), string(got))
		require.Len(t, got, len(data))
	})
}

func BenchmarkBinaryPrefix(b *testing.B) {
	data := bytes.Repeat(append(bytes.Repeat([]byte("/usr/lib/x\x00some text\x01\x02"), 4000), placeholder+"/lib\x00"...), 100)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		r := replacement{mode: binaryMode, placeholder: placeholder, prefix: "/opt/conda"}
		if _, err := io.Copy(io.Discard, r.reader(bytes.NewReader(data))); err != nil {
			b.Fatal(err)
		}
	}
}
