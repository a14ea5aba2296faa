package link

import (
	"encoding/binary"
	"unicode/utf16"
)

// encoding is one of the ways in which a prefix may be written in a file. conda tries them in the order of encodings.
type encoding struct {
	name   string
	width  int // bytes of a NUL
	encode func(string) []byte
}

// encodings are conda's POPULAR_ENCODINGS, in its order.
var encodings = []encoding{
	{"utf-8", 1, func(s string) []byte { return []byte(s) }},
	{"utf-16-le", 2, func(s string) []byte { return encode16(s, binary.LittleEndian) }},
	{"utf-16-be", 2, func(s string) []byte { return encode16(s, binary.BigEndian) }},
	{"utf-32-le", 4, func(s string) []byte { return encode32(s, binary.LittleEndian) }},
	{"utf-32-be", 4, func(s string) []byte { return encode32(s, binary.BigEndian) }},
}

func encode16(s string, order binary.AppendByteOrder) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = order.AppendUint16(b, u)
	}
	return b
}

func encode32(s string, order binary.AppendByteOrder) []byte {
	var b []byte
	for _, r := range s {
		b = order.AppendUint32(b, uint32(r))
	}
	return b
}
