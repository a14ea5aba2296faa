package repodata

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"runtime"
	"slices"

	"github.com/klauspost/compress/s2"
)

// pack is the records of one subdir, from which those of one name can be read: blocks of entries, and a table. The only block of a
// small repodata is its text, the blocks of a large one are in a file.
//
// The file is blocks, table, footer. Blocks are compressed by S2, which costs about as much as reading what it saves, so
// that making the file takes hardly longer than the parsing that runs beside it; zstd would make it a third smaller at three
// times the work. Table and footer have checksums, and so has each block: a file that is torn or damaged is noticed.
type pack struct {
	*table
	blocks blocks
	file   string // its name, "" for one in memory
}

// blocks are what the extents of a table speak of.
type blocks interface {
	// read is a part of a block, whose memory nothing else has.
	read(block, from, to uint32) (string, error)
}

// errDamaged says that a pack is not what was written.
var errDamaged = errors.New("its cached form is damaged")

// wholeText is the text of a repodata.json as its only block.
type wholeText []byte

func (w wholeText) read(_, from, to uint32) (string, error) { return string(w[from:to]), nil }

// memoryLimit is how large repodata may be that stays in memory: reading as much anew takes about as long as a tenth of a second.
const memoryLimit = 32 << 20

const (
	packMagic  = "repodata pack 2\n"
	footerSize = len(packMagic) + 8 + 4 + 4 + 4 // the table's offset, length and checksum, the number of blocks
	placeSize  = 8 + 4 + 4                      // a block's offset, length and checksum
)

// castagnoli is the polynomial that processors have instructions for.
func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// fileBlocks are the blocks of a file.
type fileBlocks struct {
	file    io.ReaderAt
	places  []byte             // placeSize bytes for each block
	buffers chan *blockBuffers // for as many as can use them at once
}

// blockBuffers are what reading a block needs for a while.
type blockBuffers struct{ packed, plain []byte }

func newFileBlocks(file io.ReaderAt, places []byte) *fileBlocks {
	f := &fileBlocks{file: file, places: places, buffers: make(chan *blockBuffers, runtime.GOMAXPROCS(0))}
	for range cap(f.buffers) {
		f.buffers <- &blockBuffers{}
	}
	return f
}

func (f *fileBlocks) read(block, from, to uint32) (string, error) {
	if int(block) >= len(f.places)/placeSize {
		return "", errDamaged
	}
	place := f.places[int(block)*placeSize:]
	buffers := <-f.buffers
	defer func() { f.buffers <- buffers }()
	length := int(binary.LittleEndian.Uint32(place[8:]))
	buffers.packed = slices.Grow(buffers.packed[:0], length)[:length]
	packed := buffers.packed
	if _, err := f.file.ReadAt(packed, int64(binary.LittleEndian.Uint64(place))); err != nil {
		return "", fmt.Errorf("%w: %w", errDamaged, err)
	}
	if checksum(packed) != binary.LittleEndian.Uint32(place[12:]) {
		return "", errDamaged
	}
	b, err := s2.Decode(buffers.plain[:cap(buffers.plain)], packed)
	if err != nil || from > to || int(to) > len(b) {
		return "", errDamaged
	}
	if cap(b) > cap(buffers.plain) {
		buffers.plain = b
	}
	return string(b[from:to]), nil
}

// openPack opens a pack's file.
func openPack(path, name string) (*pack, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	p, err := readPack(f, info.Size(), name)
	if err != nil {
		f.Close()
		return nil, err
	}
	return p, nil
}

// readPack reads the table of a pack of so many bytes; the file stays open for its blocks.
func readPack(f io.ReaderAt, size int64, name string) (*pack, error) {
	footer := make([]byte, footerSize)
	at := size - int64(footerSize)
	if at < 0 {
		return nil, errDamaged
	}
	if _, err := f.ReadAt(footer, at); err != nil || string(footer[:len(packMagic)]) != packMagic {
		return nil, errDamaged
	}
	rest := footer[len(packMagic):]
	offset, length := int64(binary.LittleEndian.Uint64(rest)), int64(binary.LittleEndian.Uint32(rest[8:]))
	count := int(binary.LittleEndian.Uint32(rest[16:]))
	if offset < 0 || offset+length != at || int64(count)*int64(placeSize) > length {
		return nil, errDamaged
	}
	body := make([]byte, length)
	if _, err := f.ReadAt(body, offset); err != nil || checksum(body) != binary.LittleEndian.Uint32(rest[12:]) {
		return nil, errDamaged
	}
	t, err := parseTable(body[count*placeSize:])
	if err != nil {
		return nil, err
	}
	return &pack{table: t, blocks: newFileBlocks(f, body[:count*placeSize]), file: name}, nil
}

// packFile is a file for a pack: one that is renamed to its name when it is whole, or removed.
type packFile struct {
	*os.File
	name string // what the pack will call itself
	// commit gives the file its name.
	commit  func() error
	abandon func()
}

// packer writes a pack's file.
type packer struct {
	to     packFile
	queue  chan []byte // blocks that are to be written
	unused chan []byte // blocks that can be filled again: new memory is what costs most
	done   chan error
	places []byte
}

func newPacker(to packFile) *packer {
	p := &packer{to: to, queue: make(chan []byte, 16), unused: make(chan []byte, 16), done: make(chan error, 1)}
	go func() { p.done <- p.pack() }()
	return p
}

// room is a block to be filled.
func (p *packer) room() []byte {
	select {
	case b := <-p.unused:
		return b
	default:
		return make([]byte, 0, blockLimit)
	}
}

// pack compresses blocks beside the parsing, and writes them.
func (p *packer) pack() error {
	w := bufio.NewWriterSize(p.to, 1<<20)
	var packed []byte
	var offset uint64
	var failed error
	for b := range p.queue {
		packed = s2.Encode(packed[:cap(packed)], b)
		p.places = binary.LittleEndian.AppendUint64(p.places, offset)
		p.places = binary.LittleEndian.AppendUint32(p.places, uint32(len(packed)))
		p.places = binary.LittleEndian.AppendUint32(p.places, checksum(packed))
		offset += uint64(len(packed))
		if _, err := w.Write(packed); err != nil && failed == nil {
			failed = err
		}
		select {
		case p.unused <- b[:0]:
		default:
		}
	}
	return errors.Join(failed, w.Flush())
}

// stop waits until all blocks are written.
func (p *packer) stop() error {
	close(p.queue)
	return <-p.done
}

// abandon gives up.
func (p *packer) abandon() {
	_ = p.stop() // it is not needed
	p.to.abandon()
}

// finish is the pack with this table.
func (p *packer) finish(t []byte) (*pack, error) {
	err := p.stop()
	var size int64
	if err == nil {
		size, err = p.writeEnd(t)
	}
	if err == nil {
		err = p.to.commit()
	}
	if err != nil {
		p.to.abandon()
		return nil, err
	}
	return readPack(p.to.File, size, p.to.name)
}

// writeEnd writes what comes behind the blocks. It returns the size of all.
func (p *packer) writeEnd(t []byte) (int64, error) {
	offset, err := p.to.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, err
	}
	count := len(p.places) / placeSize
	body := slices.Concat(p.places, t)
	end := append([]byte{}, packMagic...)
	end = binary.LittleEndian.AppendUint64(end, uint64(offset))
	end = binary.LittleEndian.AppendUint32(end, uint32(len(body)))
	end = binary.LittleEndian.AppendUint32(end, checksum(body))
	end = binary.LittleEndian.AppendUint32(end, uint32(count))
	n, err := p.to.Write(append(body, end...))
	return offset + int64(n), err
}

// read reads the records of the reader's name.
func (p *pack) read(ctx context.Context, r *reader) error {
	for _, x := range p.find(string(r.name)) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		text, err := p.blocks.read(x.block, x.from, x.to)
		if err != nil {
			return err
		}
		r.startSection(x.section)
		if err := r.readEntries(x.section, text); err != nil {
			return err
		}
	}
	return nil
}
