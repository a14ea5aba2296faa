package archive

import (
	"archive/zip"
	"bufio"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// usualWindow is the largest window of decoders that are kept for the next package. Levels up to 19 need 8 MiB.
const usualWindow = 16 << 20

// Decoders keeps between packages what decompressing them takes: a window of some MiB, which costs time to allocate and clear.
// Packages that need a larger one are decompressed one at a time. The zero value is ready for use, also by several readers at
// once; a nil one keeps nothing, and lets nobody wait.
type Decoders struct {
	free  sync.Pool // of *zstd.Decoder, for usual windows
	large sync.Mutex
}

// unpacker decompresses the members of a zip.
type unpacker struct {
	decoders *Decoders
	window   uint64 // the largest
}

// unpacked is a member's decompressed bytes.
type unpacked struct {
	*zstd.Decoder
	release func()
	member  io.Closer
}

func (u unpacked) Close() error {
	u.release()
	return u.member.Close()
}

func (u unpacker) open(f *zip.File) (io.ReadCloser, error) {
	m, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", f.Name, err)
	}
	b := bufio.NewReaderSize(m, readAhead)
	z, release, err := u.decoder(b)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening %s: %w", f.Name, err), m.Close())
	}
	return unpacked{z, release, m}, nil
}

// decoder is one for a stream, and what is to be called when it is not needed any more.
func (u unpacker) decoder(b *bufio.Reader) (*zstd.Decoder, func(), error) {
	window := windowOf(b)
	switch {
	case window > u.window:
		return nil, nil, fmt.Errorf("decompressing it takes a zstd window of %d MiB, and the limit is %d MiB; it must be packed anew with a level of 19 or less",
			window>>20, u.window>>20)
	case u.decoders == nil:
		z, err := newDecoder(b, max(window, usualWindow))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	case window > usualWindow:
		return u.decoders.alone(b, window)
	}
	return u.decoders.usual(b)
}

// newDecoder makes a decoder. Later frames of the stream may not ask for more than the given window.
func newDecoder(r io.Reader, window uint64) (*zstd.Decoder, error) {
	return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(window))
}

func (d *Decoders) usual(r io.Reader) (*zstd.Decoder, func(), error) {
	z, ok := d.free.Get().(*zstd.Decoder)
	var err error
	if ok {
		err = z.Reset(r)
	} else {
		z, err = newDecoder(r, usualWindow)
	}
	if err != nil {
		return nil, nil, err
	}
	return z, func() {
		if z.Reset(nil) == nil {
			d.free.Put(z)
		}
	}, nil
}

// alone waits until no one else has a large window.
func (d *Decoders) alone(r io.Reader, window uint64) (*zstd.Decoder, func(), error) {
	d.large.Lock()
	z, err := newDecoder(r, window)
	if err != nil {
		d.large.Unlock()
		return nil, nil, err
	}
	return z, func() {
		z.Close()
		d.large.Unlock()
	}, nil
}

// windowOf is the window that a stream's first frame asks for.
func windowOf(b *bufio.Reader) uint64 {
	head, _ := b.Peek(zstd.HeaderMaxSize) // a stream may be shorter, and what is wrong with it is the decoder's to say
	var h zstd.Header
	switch err := h.Decode(head); {
	case err != nil:
		return 0
	case h.SingleSegment:
		return h.FrameContentSize
	}
	return h.WindowSize
}
