// Package bunzip2 decompresses bzip2 as fast as the cores allow: blocks of one stream are decoded at the same time, and undoing a
// block's transform waits for several places of memory at once.
//
// What is read is what decoding block after block gives, whatever the stream: what looks like a block, by the number that it begins
// with, is decoded ahead, and taken only if the block before ends there. A block that is being decoded takes 6 MB.
//
// The format has no specification; https://sourceware.org/bzip2/ is the program that everything else is held to.
package bunzip2

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
)

const (
	blockMagic = 0x314159265359
	endMagic   = 0x177245385090
	magicBits  = 48
)

// Pool keeps what readers need for those to come, and lets all of them together decode no more blocks ahead than there are cores. The
// zero value is ready for use, also by several readers at once.
type Pool struct {
	decoders sync.Pool // of *decoder
	rooms    sync.Pool // of *room
	running  atomic.Int32
}

// Reader decompresses one source, of one bzip2 stream or several.
type Reader struct {
	pool  *Pool
	in    bitReader
	ahead ahead

	blockSize int      // bytes that a block of this stream may have; 0 between streams
	streams   int      // that were begun
	block     block    // that is being read
	runs      runs     // of it
	sum       checksum // of what was read of it
	total     checksum // of the stream's blocks
	err       error
}

// NewReader decompresses the size bytes of src. It must be closed. A nil pool keeps nothing for other readers.
func (p *Pool) NewReader(src io.ReaderAt, size int64) *Reader {
	if p == nil {
		p = new(Pool)
	}
	r := &Reader{pool: p, in: bitReader{src: src, size: size, buf: make([]byte, 64)}}
	r.ahead = ahead{pool: p, src: src, size: size, scanner: newScanner(src, size)}
	if cores := runtime.GOMAXPROCS(0); cores > 1 {
		r.ahead.most = min(cores, mostAhead)
	}
	r.in.seek(0)
	return r
}

// Read returns io.ErrUnexpectedEOF, wrapped, where the source ends too early.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for r.err == nil {
		if n := r.runs.read(p); n > 0 {
			r.sum.add(p[:n])
			return n, nil
		}
		at := r.in.position()
		if r.err = r.advance(); r.err != nil && r.err != io.EOF { //nolint:errorlint // EOF of the source, wrapped, is none of the stream
			r.err = fmt.Errorf("decompressing bzip2 at byte %d: %w", at/8, r.err)
		}
	}
	return 0, r.err
}

// Close stops what is being decoded ahead.
func (r *Reader) Close() error {
	r.err = errors.New("the reader is closed")
	r.runs = runs{}
	r.release()
	r.ahead.close()
	return nil
}

// release lets others have the block's room.
func (r *Reader) release() {
	if r.block.room != nil {
		r.pool.rooms.Put(r.block.room)
		r.block = block{}
	}
}

// advance goes on to the next block, or to the stream's end, or to the next stream.
func (r *Reader) advance() error {
	if r.block.room != nil {
		if uint32(r.sum) != r.block.crc {
			return errors.New("the block's checksum differs")
		}
		r.total = r.total<<1 | r.total>>31
		r.total ^= r.sum
		r.release()
	}
	if r.blockSize == 0 {
		return r.header()
	}
	magic := r.in.magic()
	if err := r.in.check(); err != nil {
		return err
	}
	switch magic {
	case blockMagic:
		return r.decode()
	case endMagic:
		return r.footer()
	}
	return errors.New("there is neither a block nor the stream's end")
}

// header begins a stream, where there is one.
func (r *Reader) header() error {
	if r.in.position() == r.in.size*8 && r.streams > 0 {
		return io.EOF
	}
	magic, level := r.in.take(24), int(r.in.take(8))-'0'
	if err := r.in.check(); err != nil {
		return err
	}
	if magic != 'B'<<16|'Z'<<8|'h' || level < 1 || level > 9 {
		return errors.New("there is no bzip2 stream")
	}
	r.blockSize, r.total = level*100_000, 0
	r.streams++
	return nil
}

// footer ends a stream.
func (r *Reader) footer() error {
	total := r.in.take(32)
	if odd := r.in.position() % 8; odd > 0 {
		r.in.take(uint(8 - odd))
	}
	if err := r.in.check(); err != nil {
		return err
	}
	if total != uint32(r.total) {
		return errors.New("the stream's checksum differs")
	}
	r.blockSize = 0
	return nil
}

// decode decodes the block whose number was read.
func (r *Reader) decode() error {
	b, err := r.ahead.block(r.in.position())
	if err != nil {
		return err
	}
	r.block, r.runs, r.sum = b, runs{data: b.data}, 0
	if len(b.data) > r.blockSize {
		return fmt.Errorf("the block has %d bytes, and the stream's may have %d", len(b.data), r.blockSize)
	}
	r.in.seek(b.end)
	return nil
}

// decode decodes one block.
func (p *Pool) decode(src io.ReaderAt, size, bit int64) (block, error) {
	d, ok := p.decoders.Get().(*decoder)
	if !ok {
		d = newDecoder()
	}
	to, ok := p.rooms.Get().(*room)
	if !ok {
		to = new(room)
	}
	b, err := d.decode(src, size, bit, to)
	d.in.src = nil
	p.decoders.Put(d)
	if err != nil {
		p.rooms.Put(to)
		return block{}, err
	}
	return b, nil
}
