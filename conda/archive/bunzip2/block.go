package bunzip2

import (
	"errors"
	"fmt"
	"io"
)

const (
	maxTrees     = 6
	maxSelectors = 1 << 15
	groupSize    = 50 // symbols that one selector is for
	maxBlock     = 900_000
	inputBuffer  = 64 << 10
)

// block is a decoded block: the bytes whose runs are still packed.
type block struct {
	data []byte
	crc  uint32 // that the unpacked bytes shall have
	end  int64  // the bit behind it
	room *room
}

// room is what a block's bytes are in.
type room [maxBlock]byte

// decoder decodes one block at a time.
type decoder struct {
	in        bitReader
	trees     [maxTrees]tree
	selectors [maxSelectors]uint8
	used      [256]byte // the bytes that occur, the last one in front
	counts    [256]uint32
	transform transform
}

func newDecoder() *decoder { return &decoder{in: bitReader{buf: make([]byte, inputBuffer)}} }

// decode decodes the block at a bit of the source, behind its magic number.
func (d *decoder) decode(src io.ReaderAt, size, bit int64, to *room) (block, error) {
	d.in.src, d.in.size = src, size
	d.in.seek(bit)
	b := block{room: to, crc: d.in.take(32)}
	n, origin, err := d.transformed(to)
	if lacks := d.in.check(); lacks != nil { // zeros that are not there are nobody's fault
		err = lacks
	}
	if err != nil {
		return b, err
	}
	b.data, b.end = to[:n], d.in.position()
	d.transform.undo(b.data, &d.counts, origin)
	return b, nil
}

// transformed decodes to the bytes as the Burrows-Wheeler transform left them, and to where they begin.
func (d *decoder) transformed(to *room) (n int, origin uint32, err error) {
	if d.in.take(1) != 0 {
		return 0, 0, errors.New("it is randomized, which bzip2 has not done since version 0.9.0")
	}
	origin = d.in.take(24)
	symbols := d.readUsed() + 2
	if symbols < 3 {
		return 0, 0, errors.New("no byte occurs in it")
	}
	trees := int(d.in.take(3))
	if trees < 2 || trees > maxTrees {
		return 0, 0, fmt.Errorf("it has %d prefix codes, and 2 to %d are possible", trees, maxTrees)
	}
	selectors, err := d.readSelectors(trees)
	if err != nil {
		return 0, 0, err
	}
	for i := range trees {
		if err := d.readTree(&d.trees[i], symbols); err != nil {
			return 0, 0, err
		}
	}
	n, err = d.readSymbols(selectors, uint16(symbols-1), to)
	if err == nil && origin >= uint32(n) {
		err = fmt.Errorf("its first byte is number %d of %d", origin, n)
	}
	return n, origin, err
}

// readUsed reads which bytes occur, and says how many.
func (d *decoder) readUsed() (n int) {
	for high, sets := 0, d.in.take(16); high < 256; high, sets = high+16, sets<<1 {
		if sets&0x8000 == 0 {
			continue
		}
		for low, set := 0, d.in.take(16); low < 16; low, set = low+1, set<<1 {
			if set&0x8000 != 0 {
				d.used[n] = byte(high + low)
				n++
			}
		}
	}
	return n
}

// readSelectors reads which prefix code each group of symbols has.
func (d *decoder) readSelectors(trees int) ([]uint8, error) {
	selectors := d.selectors[:d.in.take(15)]
	order := [maxTrees]uint8{0, 1, 2, 3, 4, 5}
	for i := range selectors {
		k := 0
		for d.in.take(1) == 1 {
			if k++; k == trees {
				return nil, errors.New("a group of symbols has a prefix code that is not there")
			}
		}
		front := order[k]
		copy(order[1:], order[:k])
		order[0], selectors[i] = front, front
	}
	return selectors, nil
}

// readTree reads a prefix code.
func (d *decoder) readTree(t *tree, symbols int) error {
	var lengths [maxSymbols]uint8
	length := d.in.take(5)
	for i := range symbols {
		for {
			if length < 1 || length > maxCode {
				return fmt.Errorf("a prefix code has codes of %d bits, and 1 to %d are possible", int32(length), maxCode)
			}
			if d.in.take(1) == 0 {
				break
			}
			length += 1 - 2*d.in.take(1)
		}
		lengths[i] = uint8(length)
	}
	return t.build(lengths[:symbols])
}

// readSymbols decodes symbols to bytes, and counts those: each is a place in the list of bytes, most recent first, or a digit of how
// often the most recent one is repeated.
func (d *decoder) readSymbols(selectors []uint8, end uint16, to *room) (int, error) {
	clear(d.counts[:])
	s := symbols{end: end, to: to, digit: 1}
	for _, tree := range selectors {
		if ended, err := d.readGroup(&d.trees[tree], &s); ended || err != nil {
			return s.n, err
		}
	}
	return s.n, errors.New("it has more symbols than prefix codes for them")
}

// symbols is how far decoding them is.
type symbols struct {
	end        uint16 // the last one
	to         *room
	n          int    // bytes in it
	run, digit uint32 // repetitions to come, and what the next digit of their number counts
}

// readGroup decodes the symbols that have the same prefix code.
func (d *decoder) readGroup(t *tree, s *symbols) (ended bool, err error) {
	in := &d.in
	for range groupSize {
		if in.n < maxCode {
			in.refill()
		}
		e := t.short[in.bits>>(64-shortCode)]
		symbol, length := e>>4, uint(e&15)
		if length == 0 {
			if symbol, length = t.long(in.bits); length == 0 {
				return false, errors.New("a code is no symbol's")
			}
		}
		in.bits <<= length
		in.n -= length
		if symbol < 2 {
			if s.run += s.digit << symbol; s.run > maxBlock {
				return false, errTooLong()
			}
			s.digit <<= 1
			continue
		}
		if s.run > 0 && !d.repeat(s) || symbol != s.end && s.n == maxBlock {
			return false, errTooLong()
		}
		if symbol == s.end {
			return true, nil
		}
		b := d.front(int(symbol - 1))
		s.to[s.n] = b
		d.counts[b]++
		s.n++
	}
	return false, nil
}

func errTooLong() error { return fmt.Errorf("it has more than %d bytes", maxBlock) }

// repeat repeats the byte in front, if there is room for it.
func (d *decoder) repeat(s *symbols) bool {
	if int(s.run) > maxBlock-s.n {
		return false
	}
	b := d.used[0]
	d.counts[b] += s.run
	run := s.to[s.n : s.n+int(s.run)]
	for i := range run {
		run[i] = b
	}
	s.n += len(run)
	s.run, s.digit = 0, 1
	return true
}

// front moves a byte to the front.
func (d *decoder) front(i int) byte {
	b := d.used[i&255]
	if i < 16 {
		for ; i > 0; i-- {
			d.used[i] = d.used[i-1]
		}
	} else {
		copy(d.used[1:], d.used[:i])
	}
	d.used[0] = b
	return b
}
