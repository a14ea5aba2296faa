package repodata

import (
	"cmp"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"sort"
)

// table says where the records of each name are: the form that it has in a pack, in which a name is found by bisection. To load
// it means to read it, whatever the number of names.
//
// It is a header of 32-bit numbers, then the offsets of the names and of their first extents, the extents, and texts.
type table struct {
	names, extents   int
	format           uint32   // repodata_version, 0 where it is not said
	base             string   // of the URLs of archives, "" for the folder with the repodata
	nameAt, extentAt []byte   // names+1 numbers each
	extentList       []byte   // four numbers each
	text             string   // the names, in their order
	removedList      []string // sorted
}

const (
	tableHeader = 6 * 4 // names, extents, removed, lengths of base and text, format
	extentSize  = 4 * 4
)

var errTable = errors.New("its table is damaged")

// newTable is what an ingest has found.
func newTable(in *ingest) []byte {
	names := slices.Sorted(maps.Keys(in.ids))
	slices.Sort(in.removed)
	count, length := 0, 0
	for _, n := range names {
		of := in.extents[in.ids[n]]
		slices.SortStableFunc(of, func(a, b extent) int { return cmp.Compare(a.section, b.section) })
		count += len(of)
		length += len(n)
	}
	b := make([]byte, 0, tableHeader+8*(len(names)+1)+extentSize*count+length)
	for _, n := range []int{len(names), count, len(in.removed), len(in.base), length, int(in.format)} {
		b = binary.LittleEndian.AppendUint32(b, uint32(n))
	}
	at := 0
	for _, n := range names {
		b = binary.LittleEndian.AppendUint32(b, uint32(at))
		at += len(n)
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(at))
	at = 0
	for _, n := range names {
		b = binary.LittleEndian.AppendUint32(b, uint32(at))
		at += len(in.extents[in.ids[n]])
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(at))
	for _, n := range names {
		for _, x := range in.extents[in.ids[n]] {
			for _, v := range []uint32{uint32(x.section), x.block, x.from, x.to} {
				b = binary.LittleEndian.AppendUint32(b, v)
			}
		}
	}
	b = append(b, in.base...)
	for _, n := range names {
		b = append(b, n...)
	}
	for _, r := range in.removed {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(r)))
		b = append(b, r...)
	}
	return b
}

// parseTable reads what newTable makes.
func parseTable(b []byte) (*table, error) {
	take := func(n int) []byte {
		if n < 0 || n > len(b) {
			return nil
		}
		part := b[:n]
		b = b[n:]
		return part
	}
	header := take(tableHeader)
	if header == nil {
		return nil, errTable
	}
	t := &table{names: number(header, 0), extents: number(header, 1), format: uint32(number(header, 5))}
	t.nameAt, t.extentAt = take(4*(t.names+1)), take(4*(t.names+1))
	t.extentList = take(extentSize * t.extents)
	base, text := take(number(header, 3)), take(number(header, 4))
	if t.nameAt == nil || t.extentAt == nil || t.extentList == nil || base == nil || text == nil {
		return nil, errTable
	}
	t.base, t.text = string(base), string(text)
	if number(t.nameAt, t.names) != len(t.text) || number(t.extentAt, t.names) != t.extents {
		return nil, errTable
	}
	for range number(header, 2) {
		length := take(4)
		if length == nil {
			return nil, errTable
		}
		name := take(number(length, 0))
		if name == nil {
			return nil, errTable
		}
		t.removedList = append(t.removedList, string(name))
	}
	return t, nil
}

// number is the i-th number of some.
func number(b []byte, i int) int { return int(binary.LittleEndian.Uint32(b[4*i:])) }

// name is the i-th name.
func (t *table) name(i int) string { return t.text[number(t.nameAt, i):number(t.nameAt, i+1)] }

// search is the number of a name.
func (t *table) search(name string) (int, bool) {
	return sort.Find(t.names, func(i int) int { return cmp.Compare(name, t.name(i)) })
}

func (t *table) has(name string) bool {
	_, ok := t.search(name)
	return ok
}

// find is where a name's records are.
func (t *table) find(name string) []extent {
	i, ok := t.search(name)
	if !ok {
		return nil
	}
	from, to := number(t.extentAt, i), number(t.extentAt, i+1)
	extents := make([]extent, 0, max(0, to-from))
	for ; from < to; from++ {
		b := t.extentList[extentSize*from:]
		extents = append(extents, extent{
			section: section(number(b, 0)), block: uint32(number(b, 1)), from: uint32(number(b, 2)), to: uint32(number(b, 3)),
		})
	}
	return extents
}

// removed reports whether an archive was taken back.
func (t *table) removed(fileName string) bool {
	if len(t.removedList) == 0 {
		return false
	}
	_, found := slices.BinarySearch(t.removedList, fileName)
	return found
}

// version is the repodata_version.
func (t *table) version() uint32 { return t.format }

// allNames are the names that have records, sorted.
func (t *table) allNames() []string {
	all := make([]string, 0, t.names)
	for i := range t.names {
		all = append(all, t.name(i))
	}
	return all
}
