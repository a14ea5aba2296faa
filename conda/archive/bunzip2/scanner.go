package bunzip2

import "io"

// scanner looks for the number that blocks begin with, at any bit.
type scanner struct {
	src    io.ReaderAt
	size   int64
	buf    []byte // what was read and not looked at
	store  []byte // what buf is a part of
	at     int64  // where buf begins
	window uint64 // the bytes before it
	shifts [256]uint8
}

// newScanner looks at everything. Of the last eight bytes, the third from the end is wholly the number's, however that lies in
// them: it tells which shifts are possible.
func newScanner(src io.ReaderAt, size int64) scanner {
	s := scanner{src: src, size: size}
	for shift := range 8 {
		s.shifts[blockMagic<<shift>>16&0xff] |= 1 << shift
	}
	return s
}

// skip goes on to a bit, unless the scanner was there.
func (s *scanner) skip(bit int64) {
	if to := bit / 8; to >= s.at {
		s.buf = s.buf[min(to-s.at, int64(len(s.buf))):]
		s.at, s.window = to, 0
	}
}

// next finds the bit behind the next number. What the source cannot be read of is not found; who decodes will be told.
func (s *scanner) next() (int64, bool) {
	for {
		for i, b := range s.buf {
			s.window = s.window<<8 | uint64(b)
			possible := s.shifts[byte(s.window>>16)]
			for shift := 0; possible>>shift != 0; shift++ {
				if s.window>>shift&(1<<magicBits-1) == blockMagic {
					s.at += int64(i) + 1
					s.buf = s.buf[i+1:]
					return s.at*8 - int64(shift), true
				}
			}
		}
		s.at += int64(len(s.buf))
		if s.at >= s.size {
			return 0, false
		}
		if s.store == nil {
			s.store = make([]byte, inputBuffer)
		}
		n, err := s.src.ReadAt(s.store[:min(inputBuffer, s.size-s.at)], s.at)
		if s.buf = s.store[:n]; n == 0 && err != nil {
			return 0, false
		}
	}
}
