package repodata

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// streamLimit is how long a part of repodata can be that has to be in memory as a whole: one record, or all of info or removed.
const streamLimit = 64 << 20

// stream reads a repodata.json (CEP 36) of any length through a window: the places of its records are found, and what is in
// them is not looked at.
//
// Most of the time of a large channel goes into finding where a record ends, so that is done by the standard library's
// vectorised searches, and byte by byte only for records that have objects or escapes in them.
type stream struct {
	from    io.Reader
	buf     []byte // the window
	at      int    // what was read already
	before  int64  // length of what was before the window
	largest int    // the most that the window may hold
	whole   bool   // the window is all that there is
}

func newStream(from io.Reader) *stream {
	return &stream{from: from, buf: make([]byte, 0, 1<<20), largest: streamLimit}
}

func (s *stream) errorf(format string, args ...any) error {
	return fmt.Errorf("at byte %d: %w", s.before+int64(s.at), fmt.Errorf(format, args...))
}

// rest is what is in the window and was not read yet.
func (s *stream) rest() []byte { return s.buf[s.at:] }

// fill gets more behind the rest. Its error is errEnd where there is no more.
func (s *stream) fill() error {
	rest := s.rest()
	if s.whole {
		return errEnd
	}
	s.before += int64(s.at)
	s.at = 0
	switch room := cap(s.buf); {
	case len(rest) > room/2 && 2*room <= s.largest:
		s.buf = make([]byte, len(rest), 2*room)
		copy(s.buf, rest)
	case len(rest) == room:
		return s.errorf("a value of more than %d MB", room>>20)
	default:
		s.buf = s.buf[:copy(s.buf[:room], rest)]
	}
	// All of the window is filled: what is looked at again then, such as an entry that has not ended, is at least half of it.
	n, err := io.ReadFull(s.from, s.buf[len(s.buf):cap(s.buf)])
	s.buf = s.buf[:len(s.buf)+n]
	switch {
	case n > 0: // an error comes again
		return nil
	case errors.Is(err, io.EOF):
		return errEnd
	}
	return err
}

// next is the next byte that is not white space, 0 at the end.
func (s *stream) next() (byte, error) {
	for {
		for ; s.at < len(s.buf); s.at++ {
			switch c := s.buf[s.at]; c {
			case ' ', '\n', '\t', '\r':
			default:
				return c, nil
			}
		}
		if err := s.fill(); errors.Is(err, errEnd) {
			return 0, nil
		} else if err != nil {
			return 0, err
		}
	}
}

func (s *stream) expect(c byte) error {
	got, err := s.next()
	switch {
	case err != nil:
		return err
	case got == 0 && s.at >= len(s.buf):
		return errEnd
	case got != c:
		return s.errorf("%q where %q was expected", got, c)
	}
	s.at++
	return nil
}

// members calls f, which reads what is there, for each member of an object.
func (s *stream) members(f func() error) error {
	if err := s.expect('{'); err != nil {
		return err
	}
	if c, err := s.next(); err != nil || c == '}' {
		s.at++
		return err
	}
	for {
		if err := f(); err != nil {
			return err
		}
		c, err := s.next()
		if err != nil {
			return err
		}
		if c != ',' {
			return s.expect('}')
		}
		s.at++
		if _, err := s.next(); err != nil {
			return err
		}
	}
}

// object calls f, which reads or skips the value, for each key of an object.
func (s *stream) object(f func(key string) error) error {
	return s.members(func() error {
		text, err := s.value(true)
		if err != nil {
			return err
		}
		key, err := (&scanner{text: text}).string()
		if err != nil {
			return s.errorf("%w where a key was expected", err)
		}
		if err := s.expect(':'); err != nil {
			return err
		}
		return f(key)
	})
}

// null passes over a null, if that is what comes next.
func (s *stream) null() (bool, error) {
	if c, err := s.next(); err != nil || c != 'n' {
		return false, err
	}
	text, err := s.value(true)
	return text == "null", err
}

// value reads the next value and is its text, or passes over it.
func (s *stream) value(keep bool) (string, error) {
	c, err := s.next()
	if err != nil {
		return "", err
	}
	w := walk{}
	switch c {
	case '"', '{', '[':
	case 0, ',', ':', '}', ']':
		if s.at >= len(s.buf) {
			return "", errEnd
		}
		return "", s.errorf("%q where a value was expected", c)
	default:
		w.literal = true
	}
	done := 0 // of the rest
	for {
		n, ended := w.walk(s.rest()[done:])
		done += n
		if ended {
			break
		}
		if !keep {
			s.at += done
			done = 0
		}
		if err := s.fill(); errors.Is(err, errEnd) && w.literal {
			break
		} else if err != nil {
			return "", err
		}
	}
	text := ""
	if keep {
		text = string(s.rest()[:done])
	}
	s.at += done
	return text, nil
}

// walk finds the end of a value, of which it sees one piece after the other.
type walk struct {
	depth                      int
	inString, escaped, literal bool
}

// walk is how many of the bytes belong to the value, and whether it has ended.
func (w *walk) walk(b []byte) (n int, ended bool) {
	for i, c := range b {
		switch {
		case w.literal:
			if strings.IndexByte(",}]:\"{[ \n\t\r", c) >= 0 {
				return i, true
			}
		case w.escaped:
			w.escaped = false
		case w.inString && c == '\\':
			w.escaped = true
		case c == '"':
			w.inString = !w.inString
		case w.inString:
		case c == '{', c == '[':
			w.depth++
		case c == '}', c == ']':
			w.depth--
		default:
			continue
		}
		if w.depth == 0 && !w.inString && !w.literal {
			return i + 1, true
		}
	}
	return len(b), false
}

// entry reads one key with its record, and is their text and the record's name. They are valid until the next call.
func (s *stream) entry() (text, name []byte, err error) {
	for {
		n, name, err := findEntry(s.rest())
		if err == nil {
			text := s.rest()[:n]
			s.at += n
			return text, name, nil
		}
		if !errors.Is(err, errEnd) {
			return nil, nil, s.errorf("%w", err)
		}
		if err := s.fill(); err != nil {
			return nil, nil, err
		}
	}
}

// findEntry finds the end of the entry that the text begins with, and the record's name.
func findEntry(b []byte) (n int, name []byte, err error) {
	n, name, err = quickEntry(b)
	if errors.Is(err, errSlow) {
		return slowEntry(b)
	}
	return n, name, err
}

// errSlow says that an entry needs a closer look.
var errSlow = errors.New("it is not simple")

// quickEntry finds the end of an entry whose record has neither an object nor an escape in it: at the first brace, if the quotes
// before it are even.
func quickEntry(b []byte) (n int, name []byte, err error) {
	end := bytes.IndexByte(b, '}')
	if end < 0 {
		return 0, nil, errEnd
	}
	b = b[:end+1]
	if b[0] != '"' || bytes.IndexByte(b, '\\') >= 0 || bytes.Count(b, []byte{'"'})%2 != 0 {
		return 0, nil, errSlow
	}
	open := bytes.IndexByte(b, '{')
	key := 1 + bytes.IndexByte(b[1:], '"')
	if open < key || bytes.IndexByte(b[open+1:], '{') >= 0 || string(bytes.Trim(b[key+1:open], " \n\t\r")) != ":" {
		return 0, nil, errSlow
	}
	field := []byte(`"name":`)
	at := bytes.Index(b[open:], field)
	if at < 0 {
		return 0, nil, errSlow
	}
	value := bytes.TrimLeft(b[open+at+len(field):], " \n\t\r")
	if value[0] != '"' || bytes.Contains(value, []byte(`"name"`)) {
		return 0, nil, errSlow
	}
	name, _, ok := bytes.Cut(value[1:], []byte{'"'})
	if !ok { // another value has an odd number of quotes too
		return 0, nil, errSlow
	}
	return end + 1, name, nil
}

// slowEntry finds the end of any entry.
func slowEntry(b []byte) (n int, name []byte, err error) {
	for size := 8 << 10; ; size *= 4 {
		s := scanner{text: string(b[:min(size, len(b))])}
		name, err := s.entry()
		if err == nil || !errors.Is(err, errEnd) || size >= len(b) {
			return s.at, []byte(name), err
		}
	}
}
