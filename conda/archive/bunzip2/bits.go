package bunzip2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// bitReader reads bits, the highest of each byte first. Behind the source's end come zeros without end, so that whoever reads
// them looks once, at the end of something, whether the source had that much.
type bitReader struct {
	src  io.ReaderAt
	size int64 // bytes of src

	buf  []byte
	at   int64 // where buf begins in src
	pos  int   // in buf
	bits uint64
	n    uint // how many of bits are there, from the highest on
	err  error
}

// seek goes to a bit of the source.
func (b *bitReader) seek(bit int64) {
	b.at, b.pos, b.bits, b.n, b.err = bit/8, len(b.buf), 0, 0, nil
	b.at -= int64(len(b.buf))
	b.refill()
	b.take(uint(bit % 8))
}

// position is the bit that comes next.
func (b *bitReader) position() int64 { return (b.at+int64(b.pos))*8 - int64(b.n) }

// check says what was wrong with the source so far.
func (b *bitReader) check() error {
	if b.err == nil && b.position() > b.size*8 {
		return io.ErrUnexpectedEOF
	}
	return b.err
}

// refill has at least 56 bits there.
func (b *bitReader) refill() {
	if b.pos+8 > len(b.buf) {
		b.fill()
	}
	b.bits |= binary.BigEndian.Uint64(b.buf[b.pos:]) >> b.n
	b.pos += int(63-b.n) / 8
	b.n |= 56
}

// fill reads on.
func (b *bitReader) fill() {
	n := copy(b.buf, b.buf[b.pos:])
	b.at += int64(b.pos)
	b.pos = 0
	if rest := b.size - b.at - int64(n); rest > 0 && b.err == nil {
		want := min(int64(len(b.buf)-n), rest)
		m, err := b.src.ReadAt(b.buf[n:n+int(want)], b.at+int64(n))
		if n += m; int64(m) < want {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			b.err = fmt.Errorf("reading at byte %d: %w", b.at+int64(n), err)
		}
	}
	clear(b.buf[n:])
}

// take reads up to 32 bits.
func (b *bitReader) take(n uint) uint32 {
	if b.n < n {
		b.refill()
	}
	v := b.bits >> (64 - n)
	b.bits <<= n
	b.n -= n
	return uint32(v)
}

// magic reads one of the 48-bit numbers that blocks and footers begin with.
func (b *bitReader) magic() uint64 {
	high := uint64(b.take(24))
	return high<<24 | uint64(b.take(24))
}
