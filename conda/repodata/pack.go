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

	"github.com/klauspost/compress/s2"
)

// pack is the records of one subdir, from which those of one name can be read: blocks of entries, and a table. The blocks of a
// small repodata are in memory, those of a large one in a file.
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

// memoryBlocks are blocks that are in memory.
type memoryBlocks [][]byte

func (m memoryBlocks) read(block, from, to uint32) (string, error) {
	if int(block) >= len(m) || from > to || int(to) > len(m[block]) {
		return "", errDamaged
	}
	return string(m[block][from:to]), nil
}

// memoryLimit is how large repodata may be that stays in memory: reading as much anew takes about as long as a tenth of a second.
const memoryLimit = 32 << 20

const (
	packMagic  = "repodata pack 1\n"
	footerSize = len(packMagic) + 8 + 4 + 4 + 4 // the table's offset, length and checksum, the number of blocks
	placeSize  = 8 + 4 + 4                      // a block's offset, length and checksum
)

// castagnoli is the polynomial that processors have instructions for.
func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// fileBlocks are the blocks of a file.
type fileBlocks struct {
	file   io.ReaderAt
	places []byte // placeSize bytes for each block
}

func (f *fileBlocks) read(block, from, to uint32) (string, error) {
	if int(block) >= len(f.places)/placeSize {
		return "", errDamaged
	}
	place := f.places[int(block)*placeSize:]
	packed := make([]byte, binary.LittleEndian.Uint32(place[8:]))
	if _, err := f.file.ReadAt(packed, int64(binary.LittleEndian.Uint64(place))); err != nil {
		return "", fmt.Errorf("%w: %w", errDamaged, err)
	}
	if checksum(packed) != binary.LittleEndian.Uint32(place[12:]) {
		return "", errDamaged
	}
	b, err := s2.Decode(nil, packed)
	if err != nil || from > to || int(to) > len(b) {
		return "", errDamaged
	}
	return string(b[from:to]), nil
}

// openPack opens a pack's file.
func openPack(path, name string) (*pack, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	p, err := readPack(f, name)
	if err != nil {
		f.Close()
		return nil, err
	}
	return p, nil
}

// readPack reads a pack's table; the file stays open for its blocks.
func readPack(f *os.File, name string) (*pack, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	footer := make([]byte, footerSize)
	at := info.Size() - int64(footerSize)
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
	return &pack{table: t, blocks: &fileBlocks{file: f, places: body[:count*placeSize]}, file: name}, nil
}

// packFile is a file for a pack: one that is renamed to its name when it is whole, or removed.
type packFile struct {
	*os.File
	name string // what the pack will call itself
	// commit gives the file its name.
	commit  func() error
	abandon func()
}

// spill keeps the first blocks in memory, and all in a file where they get too many.
type spill struct {
	limit  int // of the memory, in bytes
	create func() (packFile, error)
	memory memoryBlocks
	size   int

	to     *packFile
	queue  chan []byte
	done   chan error
	places []byte
}

func (s *spill) write(block []byte) error {
	if s.to == nil {
		s.memory = append(s.memory, block)
		if s.size += len(block); s.size <= s.limit {
			return nil
		}
		f, err := s.create()
		if err != nil {
			return err
		}
		s.to, s.queue, s.done = &f, make(chan []byte, 16), make(chan error, 1)
		go func() { s.done <- s.pack() }()
		for _, b := range s.memory {
			s.queue <- b
		}
		s.memory = nil
		return nil
	}
	s.queue <- block
	return nil
}

// pack compresses blocks beside the parsing, and writes them.
func (s *spill) pack() error {
	w := bufio.NewWriterSize(s.to, 1<<20)
	var packed []byte
	var offset uint64
	var failed error
	for b := range s.queue {
		packed = s2.Encode(packed[:cap(packed)], b)
		s.places = binary.LittleEndian.AppendUint64(s.places, offset)
		s.places = binary.LittleEndian.AppendUint32(s.places, uint32(len(packed)))
		s.places = binary.LittleEndian.AppendUint32(s.places, checksum(packed))
		offset += uint64(len(packed))
		if _, err := w.Write(packed); err != nil && failed == nil {
			failed = err
		}
	}
	return errors.Join(failed, w.Flush())
}

// stop ends the compressing.
func (s *spill) stop() error {
	if s.to == nil {
		return nil
	}
	close(s.queue)
	return <-s.done
}

// abandon gives up.
func (s *spill) abandon() {
	if s.to != nil {
		_ = s.stop() // it is not needed
		s.to.abandon()
	}
}

// finish is the pack with this table.
func (s *spill) finish(t []byte) (*pack, error) {
	err := s.stop()
	if s.to == nil {
		parsed, err := parseTable(t)
		return &pack{table: parsed, blocks: s.memory}, err
	}
	if err == nil {
		err = s.writeEnd(t)
	}
	if err == nil {
		err = s.to.commit()
	}
	if err != nil {
		s.to.abandon()
		return nil, err
	}
	return readPack(s.to.File, s.to.name)
}

// writeEnd writes what comes behind the blocks.
func (s *spill) writeEnd(t []byte) error {
	offset, err := s.to.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	count := len(s.places) / placeSize
	body := append(s.places, t...)
	end := append([]byte{}, packMagic...)
	end = binary.LittleEndian.AppendUint64(end, uint64(offset))
	end = binary.LittleEndian.AppendUint32(end, uint32(len(body)))
	end = binary.LittleEndian.AppendUint32(end, checksum(body))
	end = binary.LittleEndian.AppendUint32(end, uint32(count))
	if _, err := s.to.Write(append(body, end...)); err != nil {
		return err
	}
	return nil
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
