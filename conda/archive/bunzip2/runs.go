package bunzip2

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
)

// runLength is how many equal bytes are followed by how many more of them there are.
const runLength = 4

// runs unpacks runs.
type runs struct {
	data    []byte // what is to come, behind plain and the count
	plain   []byte // what is as it is
	repeats int    // how often last comes then
	last    byte
}

// read unpacks what fits into p; 0 is the end.
func (r *runs) read(p []byte) (n int) {
	for n < len(p) {
		switch {
		case len(r.plain) > 0:
			k := copy(p[n:], r.plain)
			r.plain = r.plain[k:]
			n += k
		case r.repeats > 0:
			k := min(r.repeats, len(p)-n)
			for i := range k {
				p[n+i] = r.last
			}
			r.repeats -= k
			n += k
		case len(r.data) == 0:
			return n
		default:
			r.advance()
		}
	}
	return n
}

// advance goes on to behind the next run.
func (r *runs) advance() {
	n := runEnd(r.data)
	r.plain, r.data = r.data[:n], r.data[n:]
	if len(r.data) > 0 {
		r.last, r.repeats, r.data = r.plain[n-1], int(r.data[0]), r.data[1:]
	}
}

// runEnd is where the count of the first run is, or the end.
func runEnd(data []byte) int {
	i := runLength - 1 // the last byte of what may be a run
	for i < len(data) {
		switch last := data[i]; {
		case data[i-1] != last:
			i += runLength - 1
		case data[i-2] != last:
			i += runLength - 2
		case data[i-3] != last:
			i++
		default:
			return i + 1
		}
	}
	return len(data)
}

// checksum is bzip2's CRC-32: the usual one, with the bits of each byte and of the sum the other way round.
type checksum uint32

func (c *checksum) add(p []byte) {
	sum := bits.Reverse32(uint32(*c))
	var buf [1 << 10]byte
	for len(p) > 0 {
		n := min(len(p), len(buf))
		i := 0
		for ; i+8 <= n; i += 8 {
			v := binary.LittleEndian.Uint64(p[i:])
			binary.LittleEndian.PutUint64(buf[i:], bits.ReverseBytes64(bits.Reverse64(v)))
		}
		for ; i < n; i++ {
			buf[i] = bits.Reverse8(p[i])
		}
		sum = crc32.Update(sum, crc32.IEEETable, buf[:n])
		p = p[n:]
	}
	*c = checksum(bits.Reverse32(sum))
}
