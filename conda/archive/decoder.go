package archive

import (
	"archive/zip"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/datalayer/conda2docker/conda/archive/bunzip2"
)

// usualWindow is the largest window of decoders that are kept for the next package. Levels up to 19 need 8 MiB.
const usualWindow = 16 << 20

// Decoders keeps between packages what decompressing them takes: some MiB, which cost time to allocate and clear.
// Packages that need a larger one are decompressed one at a time. Blocks of .tar.bz2 packages are decompressed ahead, as many in all as
// there are cores. The zero value is ready for use, also by several readers at
// once; a nil one keeps nothing, and lets nobody wait.
type Decoders struct {
	free   sync.Pool // of *zstd.Decoder, for usual windows
	large  sync.Mutex
	bzip2s bunzip2.Pool
}

// unpacker decompresses the members of a zip.
type unpacker struct {
	decoders *Decoders
	window   uint64 // the largest
}

// unpacked is a member's decompressed bytes.
type unpacked struct {
	unpacker

	zip     *zip.File
	member  io.ReadCloser
	decoder *zstd.Decoder
	release func()
	small   bool  // the window is smaller than the one that is asked for
	given   int64 // bytes that were read
}

func (u unpacker) open(f *zip.File) (io.ReadCloser, error) {
	r := &unpacked{unpacker: u, zip: f}
	if err := r.start(true); err != nil {
		return nil, fmt.Errorf("opening %s: %w", f.Name, err)
	}
	return r, nil
}

// Read begins again with the window that is asked for where a smaller one did not do, or where something else is wrong.
func (r *unpacked) Read(p []byte) (int, error) {
	n, err := r.decoder.Read(p)
	r.given += int64(n)
	if err == nil || errors.Is(err, io.EOF) || !r.small {
		return n, err
	}
	if err := errors.Join(r.Close(), r.start(false)); err != nil {
		return n, err
	}
	_, err = io.CopyN(io.Discard, r.decoder, r.given)
	return n, err
}

// Close lets others have the decoder.
func (r *unpacked) Close() error {
	if r.decoder == nil {
		return nil
	}
	r.decoder = nil
	r.release()
	return r.member.Close()
}

// start begins with the first byte.
func (r *unpacked) start(small bool) (err error) {
	if r.member, err = r.zip.Open(); err != nil {
		return err
	}
	b := bufio.NewReaderSize(r.member, readAhead)
	window, fixed := windowOf(b)
	if window > r.window {
		err = fmt.Errorf("decompressing it takes a zstd window of %d MiB, and the limit is %d MiB; it must be packed anew with a level of 19 or less",
			window>>20, r.window>>20)
		return errors.Join(err, r.member.Close())
	}
	var src io.Reader = b
	if enough := r.enough(); small && !fixed && window > enough {
		r.small, window, src = true, enough, withWindow(b, enough)
	} else {
		r.small = false
	}
	if r.decoder, r.release, err = r.decoders.decoder(src, window); err != nil {
		r.decoder = nil
		return errors.Join(err, r.member.Close())
	}
	return nil
}

// enough is a window, a power of two, that will most likely do for a member of this size. zstd's levels above 19 ask for up to
// 128 MiB also where there is not as much to be unpacked.
func (r *unpacked) enough() uint64 {
	const ratio = 6 // that few packages are compressed by
	window := uint64(8 << 20)
	for window < ratio*r.zip.UncompressedSize64 && window < 1<<40 {
		window *= 2
	}
	return window
}

// withWindow is a stream whose first frame, which has a window, asks for another one.
func withWindow(b *bufio.Reader, window uint64) io.Reader {
	head := make([]byte, windowAt+1)
	if n, err := io.ReadFull(b, head); err != nil {
		return bytes.NewReader(head[:n]) // too short for anything, as the decoder will say
	}
	head[windowAt] = byte(bits.Len64(window)-1-10) << 3 // RFC 8878, 3.1.1.1.2
	return io.MultiReader(bytes.NewReader(head), b)
}

// readAhead is how much of a compressed stream is read at a time.
const readAhead = 256 << 10

// windowAt is where a frame's header has its window.
const windowAt = 5

// newDecoder makes a decoder. Later frames of the stream may not ask for more than the given window.
func newDecoder(r io.Reader, window uint64) (*zstd.Decoder, error) {
	return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(window))
}

// decoder is one for a stream whose first frame has the given window, and what is to be called when it is not needed any more.
func (d *Decoders) decoder(r io.Reader, window uint64) (*zstd.Decoder, func(), error) {
	switch {
	case d == nil:
		z, err := newDecoder(r, max(window, usualWindow))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	case window > usualWindow:
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

// windowOf is the window that a stream's first frame asks for, 0 where it does not; it is fixed where the frame has its content's
// size instead, which is kept in one piece.
func windowOf(b *bufio.Reader) (window uint64, fixed bool) {
	head, _ := b.Peek(zstd.HeaderMaxSize) // a stream may be shorter, and what is wrong with it is the decoder's to say
	var h zstd.Header
	switch err := h.Decode(head); {
	case err != nil:
		return 0, false
	case h.SingleSegment:
		return h.FrameContentSize, true
	}
	return h.WindowSize, false
}
