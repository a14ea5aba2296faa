package bunzip2

import "errors"

const (
	maxSymbols = 258 // 256 bytes less the one in front, two digits of a run, and the end
	maxCode    = 20  // bits of a code
	shortCode  = 10  // bits of codes that are looked up at once
)

// tree decodes a canonical prefix code.
type tree struct {
	short  [1 << shortCode]uint16 // for what comes next: symbol<<4 | bits of its code; 0 where the code is longer
	limit  [maxCode + 1]uint32    // codes of so many bits are below it
	offset [maxCode + 1]uint32    // from a code of so many bits to its place in order
	order  [maxSymbols]uint16     // symbols by their codes
}

// build makes the tree of codes with the given lengths, from 1 to maxCode. Codes may be left over, as of some compressors they are.
func (t *tree) build(lengths []uint8) error {
	var count [maxCode + 1]uint32
	for _, l := range lengths {
		count[l]++
	}
	var next [maxCode + 1]uint32 // place of the next symbol
	code, place := uint32(0), uint32(0)
	for l := 1; l <= maxCode; l++ {
		code <<= 1
		t.offset[l], next[l] = place-code, place
		code += count[l]
		t.limit[l] = code
		place += count[l]
		if code > 1<<l {
			return errors.New("a prefix code has more symbols than codes")
		}
	}
	clear(t.short[:])
	for symbol, l := range lengths {
		t.order[next[l]] = uint16(symbol)
		if l <= shortCode {
			first := (next[l] - t.offset[l]) << (shortCode - l)
			for i := range uint32(1) << (shortCode - l) {
				t.short[first+i] = uint16(symbol)<<4 | uint16(l)
			}
		}
		next[l]++
	}
	return nil
}

// long decodes a code that is not short, out of the bits that come next. There is none where its length is 0.
func (t *tree) long(bits uint64) (symbol uint16, length uint) {
	for l := uint(shortCode + 1); l <= maxCode; l++ {
		if code := uint32(bits >> (64 - l)); code < t.limit[l] {
			return t.order[code+t.offset[l]], l
		}
	}
	return 0, 0
}
