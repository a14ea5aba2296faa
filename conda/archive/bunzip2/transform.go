package bunzip2

import "bytes"

// An entry of the transform's table is a byte, and the place of the entry for the byte that comes after: place<<placeShift | byte.
const (
	placeShift = 12      // maxBlock is less than 1<<20
	last       = 1 << 11 // the place is where a piece begins
)

const (
	pieceShift = 10 // every so many places a piece begins
	lanes      = 16 // pieces that are walked at the same time
	burst      = 256
)

// transform undoes the Burrows-Wheeler transform of a block.
//
// Each byte's place is known only from the one before, and is most likely in no cache: who walks from the first byte to the
// last waits for memory at each. So the way is cut into pieces, at places that are known, and several are walked in turn, which
// wait at the same time. Then the pieces are put together.
type transform struct {
	table  []uint32
	pieces [maxBlock>>pieceShift + 2]piece // by place; the last one is that of the first byte, where no other begins there
	lanes  [lanes]lane
}

// piece is bytes that follow on each other.
type piece struct {
	lane     int32
	from, to int32 // in that lane
	next     int32 // piece that follows
}

// lane is pieces that were walked one after the other.
type lane struct {
	buf    []byte
	n      int32 // bytes of buf
	number int32
	piece  int32
	place  uint32
}

// undo does it for bytes whose counts are given, in place.
func (t *transform) undo(data []byte, counts *[256]uint32, origin uint32) {
	t.fill(data, counts, origin)
	n := int32(len(data)-1)>>pieceShift + 1 // pieces
	first := int32(origin >> pieceShift)
	if origin&(1<<pieceShift-1) != 0 {
		first = n
	}
	t.walk(n, first, origin)
	for at := first; len(data) > 0; {
		p := &t.pieces[at]
		data = data[copy(data, t.lanes[p.lane].buf[p.from:p.to]):]
		at = p.next
	}
}

// fill fills the table. What begins a piece is marked where it is gone to from.
func (t *transform) fill(data []byte, places *[256]uint32, origin uint32) {
	if cap(t.table) < len(data) {
		t.table = make([]uint32, len(data))
	}
	t.table = t.table[:len(data)]
	sum := uint32(0)
	for b, n := range places {
		places[b] = sum
		sum += n
	}
	for start := 0; start < len(data); start += 1 << pieceShift {
		entry := uint32(start)<<placeShift | last
		for _, b := range data[start:min(start+1<<pieceShift, len(data))] {
			t.table[places[b]] = entry | uint32(b)
			places[b]++
			entry = entry&^last + 1<<placeShift
		}
	}
	b := data[origin:][:1]
	t.table[int(places[b[0]])-bytes.Count(data[origin:], b)] |= last
}

// walk walks n pieces, and that of the first byte where it is another one. To some, no way may lead from there: where a block
// repeats itself, or was made up.
func (t *transform) walk(n, first int32, origin uint32) {
	var all [lanes]*lane
	begun := int32(0)
	begin := func(l *lane) bool {
		if begun > max(n-1, first) {
			return false
		}
		if l.piece, l.place = begun, uint32(begun)<<pieceShift; begun == n {
			l.place = origin
		}
		begun++
		t.pieces[l.piece].lane, t.pieces[l.piece].from = l.number, l.n
		return true
	}
	active := all[:0]
	for i := range t.lanes {
		l := &t.lanes[i]
		if l.number, l.n = int32(i), 0; begin(l) {
			active = append(active, l)
		}
	}
	for len(active) > 0 {
		i := t.burst(active)
		if i < 0 {
			continue
		}
		l := active[i]
		next := int32(l.place >> pieceShift)
		if l.place%(1<<pieceShift) != 0 {
			next = n // of all other places, only the first byte's begins a piece
		}
		t.pieces[l.piece].to, t.pieces[l.piece].next = l.n, next
		if !begin(l) {
			active = append(active[:i], active[i+1:]...)
		}
	}
}

// burst walks some steps of each lane. It says which one is at the end of its piece, -1 if none is.
func (t *transform) burst(active []*lane) int {
	for _, l := range active {
		if int(l.n)+burst > len(l.buf) {
			l.buf = append(l.buf, make([]byte, len(l.buf)/2+16<<10)...)
		}
	}
	table := t.table
	for range burst {
		for i, l := range active {
			e := table[l.place]
			l.buf[l.n] = byte(e)
			l.n++
			l.place = e >> placeShift
			if e&last != 0 {
				return i
			}
		}
	}
	return -1
}
