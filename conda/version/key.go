package version

import (
	"errors"
	"fmt"
	"strings"
)

// A version is a list of components, a component a list of atoms: numbers and texts. Conda compares both
// lists element by element, a list that ended counting as zeros for ever (1.0 is 1.0.0, and 1.1a, which
// ends in a text, comes before 1.1). A key spells these lists so that comparing its bytes gives the same
// order. Each element begins with a mark that says how the list goes on from here:
const (
	markBelow     = 1 // an element that is less than zero: a text, or a component that begins with one
	markZeroBelow = 2 // a zero, and the next element that is no zero is less than zero
	markEnd       = 3 // nothing but zeros follows
	markZeroAbove = 4 // a zero, and the next element that is no zero is greater than zero
	markAbove     = 5 // an element that is greater than zero
)

// What follows the mark of a number or text. Numbers are their count of digits and then the digits;
// texts end with a byte that is less than any in them.
const (
	textEnd   = 0x00
	textLast  = 0xff // greater than any byte of a text
	longDigit = 0xfa // that many digits, and the count goes on
	infinity  = 0xfe // "post", which is greater than every number
	beyond    = 0xff // greater than "post": no version has it
)

// extra is an atom that no version has, added at the end of a version to find where the versions that
// begin like it end.
type extra int

const (
	noExtra  extra = iota
	least          // less than every atom
	greatest       // greater than every atom
)

// keyWriter writes keys. Zeros are held back until it is known what follows them.
type keyWriter struct {
	buf       []byte
	zeroParts int  // components held back
	zeroAtoms int  // atoms held back
	open      bool // the component has been begun

	extra extra
}

// version writes the key of the version s, which has no spaces around it.
func (w *keyWriter) version(s string) error {
	norm, err := normalize(s)
	if err != nil {
		return err
	}
	epoch, main := "0", norm
	if i := strings.IndexByte(norm, '!'); i >= 0 {
		if epoch, main = norm[:i], norm[i+1:]; strings.Contains(main, "!") {
			return errors.New("more than one epoch ('!')")
		}
		if digits(epoch) != len(epoch) || epoch == "" {
			return fmt.Errorf("the epoch %q is not a number", epoch)
		}
	}
	main, local, hasLocal := strings.Cut(main, "+")
	if strings.Contains(local, "+") {
		return errors.New("more than one local version ('+')")
	}
	if main == "" {
		return errors.New("nothing between the epoch and the local version")
	}
	extra := w.extra
	if hasLocal {
		w.extra = noExtra
	}
	w.component(epoch, false)
	if err := w.list(main, true); err != nil {
		return err
	}
	if w.extra = extra; hasLocal {
		return w.list(local, false)
	}
	w.end()
	return nil
}

// list writes components separated by '.' or '_'. The last '_' of a version is part of its last
// component, as in OpenSSL's 1.1.1_.
func (w *keyWriter) list(s string, keepLast bool) error {
	begin := 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) && s[i] != '.' && (s[i] != '_' || keepLast && i == len(s)-1) {
			continue
		}
		if i == begin {
			return fmt.Errorf("empty component in %q", s)
		}
		w.component(s[begin:i], i == len(s))
		begin = i + 1
	}
	w.end()
	return nil
}

// component writes one component, which is not empty.
func (w *keyWriter) component(s string, last bool) {
	if s[0] < '0' || s[0] > '9' {
		w.number("0") // components begin with a number, so that numbers are compared with numbers
	}
	for s != "" {
		n := digits(s)
		switch {
		case n > 0:
			w.number(s[:n])
		case s[0] == '*':
			for n = 1; n < len(s) && s[n] == '*'; n++ {
			}
			w.text(s[:n], last && n == len(s))
		default:
			for n = 1; n < len(s) && s[n] != '*' && (s[n] < '0' || s[n] > '9'); n++ {
			}
			w.text(s[:n], last && n == len(s))
		}
		s = s[n:]
	}
	if last {
		w.addExtra()
	}
	if w.open {
		w.buf = append(w.buf, markEnd)
	} else {
		w.zeroParts++
	}
	w.open, w.zeroAtoms = false, 0
}

func (w *keyWriter) addExtra() {
	switch w.extra {
	case least:
		w.mark(markBelow, markZeroBelow)
		w.buf = append(w.buf, textEnd)
	case greatest:
		w.mark(markAbove, markZeroAbove)
		w.buf = append(w.buf, beyond)
	case noExtra:
	}
}

// mark begins an atom that is no zero, and writes the zeros held back before it.
func (w *keyWriter) mark(mark, zero byte) {
	if !w.open {
		w.buf = appendTimes(w.buf, zero, w.zeroParts)
		w.buf = append(w.buf, mark)
		w.open, w.zeroParts = true, 0
	}
	w.buf = appendTimes(w.buf, zero, w.zeroAtoms)
	w.buf = append(w.buf, mark)
	w.zeroAtoms = 0
}

func (w *keyWriter) number(s string) {
	s = strings.TrimLeft(s, "0")
	if s == "" {
		w.zeroAtoms++
		return
	}
	w.mark(markAbove, markZeroAbove)
	n := len(s)
	for ; n >= longDigit; n -= longDigit {
		w.buf = append(w.buf, longDigit)
	}
	w.buf = append(w.buf, byte(n))
	w.buf = append(w.buf, s...)
}

// text writes a text; where it is the version's last atom, greatest stands for every text that begins so.
func (w *keyWriter) text(s string, last bool) {
	if s == "post" {
		w.mark(markAbove, markZeroAbove)
		w.buf = append(w.buf, infinity)
		return
	}
	if s == "dev" {
		s = "DEV" // less than every other text, which are in lower case
	}
	w.mark(markBelow, markZeroBelow)
	w.buf = append(w.buf, s...)
	if last && w.extra == greatest {
		w.buf = append(w.buf, textLast)
	}
	w.buf = append(w.buf, textEnd)
}

// end ends a list of components.
func (w *keyWriter) end() {
	w.buf = append(w.buf, markEnd)
	w.zeroParts = 0
}

// normalize is s in lower case, with '-' for '_' where conda takes it so.
func normalize(s string) (string, error) {
	if s == "" {
		return "", errors.New("it is empty")
	}
	dash, underscore := false, false
	for i, c := range s {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9',
			c == '.', c == '!', c == '+', c == '*':
		case c == '_':
			underscore = true
		case c == '-':
			dash = true
		default:
			return "", fmt.Errorf("%q (character %d) is not allowed", c, i+1)
		}
	}
	if dash && underscore {
		return "", errors.New("it has both '-' and '_'")
	}
	if dash {
		s = strings.ReplaceAll(s, "-", "_")
	}
	return strings.ToLower(s), nil
}

// digits is how many digits s begins with.
func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

func appendTimes(b []byte, c byte, n int) []byte {
	for range n {
		b = append(b, c)
	}
	return b
}
