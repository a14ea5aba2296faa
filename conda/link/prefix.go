package link

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// mode is how a prefix is replaced in a file: info/paths.json's file_mode.
type mode string

const (
	textMode   mode = "text"
	binaryMode mode = "binary"
)

// replacement is a prefix that takes the place of another one.
type replacement struct {
	mode        mode
	placeholder string
	prefix      string
	size        int64 // of the file, to spare memory where it is small; 0 where it is not known

	// maxString is the longest string of a binary file that is looked through for its end before its bytes are let go.
	// conda, which has the whole file at hand, leaves a string alone that no NUL ends; one that is longer than this is
	// replaced without knowing, and padded where it or the file ends, as rattler does it. 1 MiB by default.
	maxString int
}

// reader is src with the prefix replaced, in memory that does not depend on its length. Binary files keep their size.
func (p replacement) reader(src io.Reader) io.Reader {
	if p.mode == binaryMode {
		return p.binary(src)
	}
	return p.text(src)
}

func (p replacement) binary(src io.Reader) io.Reader {
	limit := p.maxString
	if limit <= 0 {
		limit = 1 << 20
	}
	for _, e := range encodings {
		src = &rewriter{src: src, from: e.encode(p.placeholder), to: e.encode(p.prefix), step: p.step(), nul: e.width, maxString: limit}
	}
	return src
}

func (p replacement) text(src io.Reader) io.Reader {
	for _, e := range encodings {
		if strings.Contains(p.prefix, " ") {
			src = p.escapeShebang(src, e)
		}
		src = &rewriter{src: src, from: e.encode(p.placeholder), to: e.encode(p.prefix), step: p.step()}
	}
	return shortenShebang(src)
}

// step is how much of the file is looked through at a time.
func (p replacement) step() int {
	if p.size <= 0 {
		return chunk
	}
	return int(max(512, min(p.size+1, chunk)))
}

// maxLine bounds what is looked at for a shebang line.
const maxLine = 64 << 10

// escapeShebang escapes the spaces of a prefix in the first line, which shortenShebang then recognizes.
func (p replacement) escapeShebang(src io.Reader, e encoding) io.Reader {
	return &deferred{open: func() (io.Reader, error) {
		b := bufio.NewReaderSize(src, maxLine)
		head, err := b.Peek(maxLine)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		end := bytes.IndexByte(head, '\n')
		if end < 0 {
			return b, nil
		}
		line := bytes.ReplaceAll(head[:end], e.encode("#!"+p.placeholder),
			e.encode("#!"+strings.ReplaceAll(p.prefix, " ", `\ `)))
		if _, err := b.Discard(end); err != nil {
			return nil, err
		}
		return io.MultiReader(bytes.NewReader(line), b), nil
	}}
}

// shebang is conda's SHEBANG_REGEX: the whole line, the executable, its options.
var shebang = regexp.MustCompile(`(?m)\A(#![ ]*(/(?:\\ |[^ \n\r\t])*)(.*))$`)

// maxShebang is the longest shebang line that Linux reads.
const maxShebang = 127

// shortenShebang replaces a shebang line that Linux cannot read with one that finds the executable by PATH. As in conda,
// every further occurrence of that line is replaced, too.
func shortenShebang(src io.Reader) io.Reader {
	return &deferred{open: func() (io.Reader, error) {
		start := make([]byte, len("#!"))
		n, err := io.ReadFull(src, start)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, err
		}
		src = io.MultiReader(bytes.NewReader(start[:n]), src)
		if string(start[:n]) != "#!" {
			return src, nil
		}
		b := bufio.NewReaderSize(src, maxLine)
		head, err := b.Peek(maxLine)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if len(head) == maxLine && bytes.IndexByte(head, '\n') < 0 {
			return b, nil
		}
		m := shebang.FindSubmatch(head)
		if m == nil {
			return b, nil
		}
		slash := bytes.LastIndexByte(m[2], '/')
		if len(m[1]) <= maxShebang && !bytes.Contains(m[2][:slash], []byte(`\ `)) {
			return b, nil
		}
		short := append([]byte("#!/usr/bin/env "), m[2][slash+1:]...)
		return &rewriter{src: b, from: bytes.Clone(m[1]), to: append(short, m[3]...), step: chunk}, nil
	}}
}

// deferred is a reader that is made when its first byte is asked for.
type deferred struct {
	open func() (io.Reader, error)
	r    io.Reader
	err  error
}

func (d *deferred) Read(p []byte) (int, error) {
	if d.r == nil && d.err == nil {
		d.r, d.err = d.open()
	}
	if d.err != nil {
		return 0, d.err
	}
	return d.r.Read(p)
}

// chunk is how much of a large file is looked through at a time.
const chunk = 64 << 10

// rewriter replaces from with to in a stream. With nul = 0 that is all. With a nul of 1, 2 or 4 bytes, the width of a
// character, strings keep their length: what is replaced in a string is made up for by NULs at its end.
type rewriter struct {
	src       io.Reader
	from, to  []byte
	step      int // bytes that are read at a time
	nul       int
	maxString int

	buf   []byte // what in is a part of
	in    []byte // read, and not yet decided upon
	out   []byte // decided upon
	taken int    // of out
	err   error  // of src

	state stringState
	pos   int // where in its string in begins; where in in the search for its end goes on
	owed  int // NULs that are due at the string's end
	due   int // NULs that are due behind out
}

type stringState int

const (
	outside   stringState = iota // no string that holds from
	undecided                    // in begins with from, and the string's end is not in sight
	committed                    // in the string's further course, too long to be kept
)

func (r *rewriter) Read(p []byte) (int, error) {
	for r.taken == len(r.out) {
		if r.due > 0 {
			n := min(len(p), r.due)
			clear(p[:n])
			r.due -= n
			return n, nil
		}
		r.out, r.taken = r.out[:0], 0
		if r.err != nil && len(r.in) == 0 && r.owed == 0 {
			return 0, r.err
		}
		r.fill()
		if err := r.process(); err != nil {
			r.in, r.owed, r.err = nil, 0, err
		}
	}
	n := copy(p, r.out[r.taken:])
	r.taken += n
	return n, nil
}

// fill reads one chunk more.
func (r *rewriter) fill() {
	if r.err != nil {
		return
	}
	at := len(r.in)
	if cap(r.in)-at < r.step {
		if len(r.buf) < at+r.step {
			r.buf = make([]byte, 2*(at+r.step))
		}
		r.in = r.buf[:copy(r.buf, r.in)]
	}
	n, err := r.src.Read(r.in[at : at+r.step])
	r.in, r.err = r.in[:at+n], err
}

func (r *rewriter) eof() bool { return r.err != nil }

// emit decides upon the first n bytes.
func (r *rewriter) emit(n int) {
	r.out = append(r.out, r.in[:n]...)
	r.drop(n)
}

// drop forgets the first n bytes.
func (r *rewriter) drop(n int) { r.in = r.in[n:] }

// pad decides upon n NULs. Many are not kept: they come before anything else is decided, and it says so with false.
func (r *rewriter) pad(n int) bool {
	if n > chunk {
		r.due = n
		return false
	}
	r.out = append(r.out, make([]byte, n)...)
	return true
}

// process decides upon as much of in as it can.
func (r *rewriter) process() error {
	for {
		more, err := true, error(nil)
		switch r.state {
		case outside:
			more = r.search()
		case undecided:
			more, err = r.decide()
		case committed:
			more = r.follow()
		}
		if err != nil || !more {
			return err
		}
	}
}

// search looks for the next occurrence; it says whether there is more to do without reading.
func (r *rewriter) search() bool {
	i := index(r.in, r.from)
	if i < 0 {
		r.emit(len(r.in) - r.keep(len(r.from)-1))
		return false
	}
	r.emit(i)
	if r.nul == 0 {
		r.out = append(r.out, r.to...)
		r.drop(len(r.from))
		return true
	}
	r.state, r.pos = undecided, len(r.from)
	return true
}

// keep is how many bytes at the end of in may be the beginning of something that is n+1 bytes long.
func (r *rewriter) keep(n int) int {
	if r.eof() {
		return 0
	}
	return min(n, len(r.in))
}

// decide looks for the end of the string that in begins with.
func (r *rewriter) decide() (bool, error) {
	end := indexNUL(r.in, r.pos, r.nul)
	if end >= 0 {
		n := bytes.Count(r.in[:end], r.from)
		gap := len(r.from) - len(r.to)
		if gap < 0 {
			return false, r.tooLong()
		}
		r.out = append(r.out, bytes.ReplaceAll(r.in[:end], r.from, r.to)...)
		r.drop(end + r.nul)
		r.state = outside
		return r.pad(n*gap + r.nul), nil
	}
	r.pos = len(r.in) - (len(r.in)-r.pos)%r.nul
	switch {
	case len(r.in) > r.maxString:
		if len(r.from) < len(r.to) {
			return false, r.tooLong()
		}
		r.state, r.pos = committed, 0
		return true, nil
	case r.eof(): // as conda: what no NUL ends is no string
		r.emit(len(r.in))
	}
	return false, nil
}

func (r *rewriter) tooLong() error {
	return fmt.Errorf("the prefix is longer than the one of %d bytes that the file was built with, and does not fit in its place; choose a shorter prefix",
		len(r.from)/r.nul)
}

// follow replaces in the rest of a string that is too long to be kept, until its end comes.
func (r *rewriter) follow() bool {
	end := indexNUL(r.in, (r.nul-r.pos%r.nul)%r.nul, r.nul)
	i := index(r.in, r.from)
	switch {
	case i >= 0 && (end < 0 || i+len(r.from) <= end):
		r.emit(i)
		r.out = append(r.out, r.to...)
		r.drop(len(r.from))
		r.owed += len(r.from) - len(r.to)
		r.pos = (r.pos + i + len(r.from)) % r.nul
		return true
	case end >= 0:
		r.emit(end)
		r.drop(r.nul)
		owed := r.owed
		r.state, r.owed = outside, 0
		return r.pad(owed + r.nul)
	}
	n := len(r.in) - r.keep(max(len(r.from), r.nul)-1)
	r.emit(n)
	r.pos = (r.pos + n) % r.nul
	if r.eof() {
		r.due, r.owed = r.owed, 0
	}
	return false
}

// index is bytes.Index, which searches with vector instructions for short patterns only, and a prefix is a long one.
func index(s, sep []byte) int {
	const short = 32
	if len(sep) <= short {
		return bytes.Index(s, sep)
	}
	for at := 0; ; at++ {
		i := bytes.Index(s[at:], sep[:short])
		if i < 0 {
			return -1
		}
		if at += i; bytes.HasPrefix(s[at:], sep) {
			return at
		}
	}
}

// indexNUL is where the first NUL of the given width is, among those that are whole characters from at on; -1 if none.
func indexNUL(s []byte, at, width int) int {
	if at > len(s) {
		return -1
	}
	if width == 1 {
		if i := bytes.IndexByte(s[at:], 0); i >= 0 {
			return at + i
		}
		return -1
	}
	for ; at+width <= len(s); at += width {
		if s[at]|s[at+1] == 0 && (width == 2 || s[at+2]|s[at+3] == 0) {
			return at
		}
	}
	return -1
}
