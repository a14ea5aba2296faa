package repodata

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// scanner reads JSON from a text that is there as a whole. What it returns shares the text's memory. Values that are
// passed over are checked no further than is needed to find their end.
type scanner struct {
	text string
	at   int
	room []string // for lists
}

var errEnd = errors.New("it ends too early")

func (s *scanner) errorf(format string, args ...any) error {
	return fmt.Errorf("at byte %d: %s", s.at, fmt.Sprintf(format, args...))
}

// next is the next byte that is not white space, 0 at the end.
func (s *scanner) next() byte {
	for s.at < len(s.text) {
		switch c := s.text[s.at]; c {
		case ' ', '\n', '\t', '\r':
			s.at++
		default:
			return c
		}
	}
	return 0
}

func (s *scanner) expect(c byte) error {
	got := s.next()
	if got == 0 && s.at >= len(s.text) {
		return errEnd
	}
	if got != c {
		return s.errorf("%q where %q was expected", got, c)
	}
	s.at++
	return nil
}

// object calls f for each key of an object; f reads or skips the value.
func (s *scanner) object(f func(key string) error) error {
	if err := s.expect('{'); err != nil {
		return err
	}
	if s.next() == '}' {
		s.at++
		return nil
	}
	for {
		key, err := s.string()
		if err != nil {
			return err
		}
		if err := s.expect(':'); err != nil {
			return err
		}
		if err := f(key); err != nil {
			return err
		}
		if s.next() != ',' {
			return s.expect('}')
		}
		s.at++
	}
}

// array calls f for each element of an array; f reads or skips it.
func (s *scanner) array(f func() error) error {
	if err := s.expect('['); err != nil {
		return err
	}
	if s.next() == ']' {
		s.at++
		return nil
	}
	for {
		if err := f(); err != nil {
			return err
		}
		if s.next() != ',' {
			return s.expect(']')
		}
		s.at++
	}
}

// entry passes over a key and its record, and returns the value of the record's name.
func (s *scanner) entry() (name string, err error) {
	if _, err := s.string(); err != nil {
		return "", err
	}
	if err := s.expect(':'); err != nil {
		return "", err
	}
	err = s.object(func(key string) (err error) {
		if key != "name" {
			return s.skip()
		}
		name, err = s.optional()
		return err
	})
	return name, err
}

// string reads a string.
func (s *scanner) string() (string, error) {
	if err := s.expect('"'); err != nil {
		return "", err
	}
	start := s.at
	if err := s.toQuote(); err != nil {
		return "", err
	}
	raw := s.text[start : s.at-1]
	if strings.IndexByte(raw, '\\') < 0 {
		return raw, nil
	}
	var text string
	if err := json.Unmarshal([]byte(s.text[start-1:s.at]), &text); err != nil {
		return "", s.errorf("a string that does not parse")
	}
	return text, nil
}

// toQuote moves behind the quote that ends the string that the scanner is in.
func (s *scanner) toQuote() error {
	for {
		i := strings.IndexByte(s.text[s.at:], '"')
		if i < 0 {
			return errEnd
		}
		end := s.at + i
		escapes := 0
		for escapes < i && s.text[end-1-escapes] == '\\' {
			escapes++
		}
		s.at = end + 1
		if escapes%2 == 0 {
			return nil
		}
	}
}

// skip passes over a value.
func (s *scanner) skip() error {
	switch s.next() {
	case '"':
		s.at++
		return s.toQuote()
	case '{', '[':
		s.at++
		return s.skipRest(1)
	case 0, ',', ':', '}', ']':
		if s.at >= len(s.text) {
			return errEnd
		}
		return s.errorf("%q where a value was expected", s.text[s.at])
	}
	s.literal()
	return nil
}

// skipRest passes over what is left of so many nested values.
func (s *scanner) skipRest(depth int) error {
	for depth > 0 {
		if s.at >= len(s.text) {
			return errEnd
		}
		c := s.text[s.at]
		s.at++
		switch c {
		case '"':
			if err := s.toQuote(); err != nil {
				return err
			}
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
	}
	return nil
}

// literal reads a number, true, false or null.
func (s *scanner) literal() string {
	s.next()
	start := s.at
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ',', '}', ']', ':', '"', '{', '[', ' ', '\n', '\t', '\r':
			return s.text[start:s.at]
		}
		s.at++
	}
	return s.text[start:]
}

// null passes over a null, if that is what comes next.
func (s *scanner) null() bool {
	if s.next() == 'n' && strings.HasPrefix(s.text[s.at:], "null") {
		s.at += len("null")
		return true
	}
	return false
}

// optional reads a string; what is no string is passed over and counts as empty.
func (s *scanner) optional() (string, error) {
	if s.next() != '"' {
		return "", s.skip()
	}
	return s.string()
}

// integer reads a whole number, which old indexes wrap in a string now and then; what is none counts as 0.
func (s *scanner) integer() (int64, error) {
	var text string
	switch s.next() {
	case '"':
		var err error
		if text, err = s.string(); err != nil {
			return 0, err
		}
	case '{', '[', 0:
		return 0, s.skip()
	default:
		text = s.literal()
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, nil
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && f >= -1<<62 && f <= 1<<62 {
		return int64(f), nil
	}
	return 0, nil
}

// list reads an array of strings.
func (s *scanner) list() ([]string, error) {
	if s.null() {
		return nil, nil
	}
	var items []string
	err := s.array(func() error {
		item, err := s.string()
		if items == nil {
			items = takeList(&s.room, s.count())
		}
		items = append(items, item)
		return err
	})
	return items, err
}

// takeList is an empty list with so much capacity, taken from room: most lists are short, and there are many.
func takeList(room *[]string, n int) []string {
	if n > len(*room) {
		*room = make([]string, max(n, 128))
	}
	list := (*room)[:0:n]
	*room = (*room)[n:]
	return list
}

// lists reads an object of arrays of strings.
func (s *scanner) lists() (map[string][]string, error) {
	if s.null() {
		return nil, nil
	}
	var all map[string][]string
	err := s.object(func(key string) error {
		items, err := s.list()
		if all == nil {
			all = map[string][]string{}
		}
		all[key] = items
		return err
	})
	return all, err
}

// count estimates how many elements the array has whose first one has just been read.
func (s *scanner) count() int {
	near := s.text[s.at:min(len(s.text), s.at+4<<10)] // no further, as the text may lack its end
	end := strings.IndexByte(near, ']')
	return strings.Count(s.text[s.at-1:s.at+max(end, 0)], `",`) + 1
}
