package layer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	// chunkSize is how much of a tar goes into one gzip member or zstd frame. Members are independent: they are compressed in
	// parallel and always give the same bytes, and a file is read out of a segment without what comes before it. It
	// costs a fifth of a percent in size. Larger ones cost memory: a few of them are there at once, packed and unpacked.
	chunkSize = 2 << 20

	// pendingChunks is how many chunks of one tar may wait for the compressor or for the disk: it bounds the memory.
	pendingChunks = 2

	// The defaults are where more time stops to pay: on shared libraries and python gzip 3 is 4% larger than gzip 4 and
	// 8% larger than gzip 6, which takes half as long again.
	defaultGzipLevel = 3
	defaultZstdLevel = 3

	tarEndSize = 1024 // two blocks of zeros
)

// shelf keeps what is costly to make for who needs it next, as many as it has room for. A sync.Pool would be emptied by each
// garbage collection, and what takes 2 MiB would make for the next one.
type shelf[T any] chan T

func (s shelf[T]) take() (v T, ok bool) {
	select {
	case v = <-s:
		return v, true
	default:
		return v, false
	}
}

func (s shelf[T]) put(v T) {
	select {
	case s <- v:
	default:
	}
}

// codec is a compressor with its level.
type codec struct {
	kind     Compression
	level    int
	writers  shelf[*gzip.Writer]
	encoders shelf[*zstd.Encoder]
}

func newCodec(kind Compression, level int) (codec, error) {
	cores := runtime.GOMAXPROCS(0)
	c, most := codec{kind: kind, level: level, writers: make(shelf[*gzip.Writer], cores), encoders: make(shelf[*zstd.Encoder], cores)}, 9
	switch kind {
	case "", Gzip:
		c.kind = Gzip
		if level == 0 {
			c.level = defaultGzipLevel
		}
	case Zstd:
		most = 22
		if level == 0 {
			c.level = defaultZstdLevel
		}
	default:
		return codec{}, fmt.Errorf("layer compression %q: want gzip or zstd", kind)
	}
	if c.level < 1 || c.level > most {
		return codec{}, fmt.Errorf("layer compression level %d: want 1 to %d for %s", level, most, c.kind)
	}
	return c, nil
}

func (c codec) String() string { return fmt.Sprintf("%s-%d", c.kind, c.level) }

func (c codec) mediaType() string {
	if c.kind == Zstd {
		return specs.MediaTypeImageLayerZstd
	}
	return specs.MediaTypeImageLayerGzip
}

// compress appends one gzip member or zstd frame to out. What a compressor saw before does not show in its output.
func (c codec) compress(out *bytes.Buffer, raw []byte) error {
	if c.kind == Zstd {
		return c.frame(out, raw)
	}
	out.Grow(len(raw)/2 + len(raw)/64) // for most; for what cannot be compressed it grows once, to twice as much
	w, ok := c.writers.take()
	if ok {
		w.Reset(out)
	} else {
		var err error
		if w, err = gzip.NewWriterLevel(out, c.level); err != nil { // its header has no name, no time, and 255 for the system
			return err
		}
	}
	if _, err := w.Write(raw); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	c.writers.put(w)
	return nil
}

// frame appends one zstd frame to out.
func (c codec) frame(out *bytes.Buffer, raw []byte) error {
	out.Grow(len(raw) + len(raw)/256 + 512) // what cannot be compressed grows a little
	w, ok := c.encoders.take()
	if !ok {
		var err error
		w, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(c.level)))
		if err != nil {
			return err
		}
	}
	_, err := out.Write(w.EncodeAll(raw, out.AvailableBuffer()))
	c.encoders.put(w)
	return err
}

// end is the compressed end of a tar: the constant last member of every layer.
func (c codec) end() ([]byte, error) {
	var out bytes.Buffer
	err := c.compress(&out, make([]byte, tarEndSize))
	return out.Bytes(), err
}

// reader decompresses any number of concatenated members.
func (c codec) reader(r io.Reader) (io.ReadCloser, error) {
	if c.kind == Zstd {
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return gzip.NewReader(r)
}

// press compresses chunks for any number of tars at once.
type press struct {
	codec  codec
	end    func() ([]byte, error) // codec.end, which is always the same
	tokens chan struct{}          // bounds the chunks that are compressed at once
	chunks shelf[*chunk]
}

func newPress(c codec, parallel int) *press {
	return &press{
		codec: c, end: sync.OnceValues(c.end), tokens: make(chan struct{}, parallel), chunks: make(shelf[*chunk], parallel+pendingChunks),
	}
}

// chunk is a piece of a tar on its way through the press.
type chunk struct {
	raw    []byte
	packed bytes.Buffer
	err    error
	done   chan struct{}
}

func (p *press) newChunk() *chunk {
	c, ok := p.chunks.take()
	if !ok {
		c = &chunk{raw: make([]byte, 0, chunkSize)}
	}
	c.done = make(chan struct{})
	return c
}

func (p *press) compress(c *chunk) {
	defer close(c.done)
	p.tokens <- struct{}{}
	defer func() { <-p.tokens }()
	c.err = p.codec.compress(&c.packed, c.raw)
}

func (p *press) release(c *chunk) {
	c.raw, c.err = c.raw[:0], nil
	c.packed.Reset()
	p.chunks.put(c)
}

// chunker compresses what is written to it in chunks, several at once, and writes them in order.
type chunker struct {
	press  *press
	out    io.Writer
	chunk  *chunk // being filled
	queue  chan *chunk
	count  int           // chunks so far
	failed chan struct{} // closed with the first error
	closed chan struct{} // closed when all is written
	result sums
	err    error // may be read once failed or closed is closed
}

// sums is what is known of a compressed tar once it is written.
type sums struct {
	tar, packed         hash.Hash
	tarSize, packedSize int64
	chunks              []int64 // compressed sizes
}

func newChunker(p *press, out io.Writer) *chunker {
	w := &chunker{
		press: p, out: out,
		queue:  make(chan *chunk, pendingChunks),
		failed: make(chan struct{}), closed: make(chan struct{}),
		result: sums{tar: sha256.New(), packed: sha256.New()},
	}
	go w.drain(w.queue)
	return w
}

// Write takes the next bytes of the tar.
func (w *chunker) Write(p []byte) (int, error) {
	for n := 0; n < len(p); {
		if w.chunk == nil {
			w.chunk = w.press.newChunk()
		}
		k := min(len(p)-n, chunkSize-len(w.chunk.raw))
		w.chunk.raw = append(w.chunk.raw, p[n:n+k]...)
		n += k
		if len(w.chunk.raw) == chunkSize {
			if err := w.submit(); err != nil {
				return n, err
			}
		}
	}
	return len(p), nil
}

func (w *chunker) submit() error {
	c := w.chunk
	w.chunk = nil
	select {
	case <-w.failed:
		return w.err
	case w.queue <- c:
		w.count++
		go w.press.compress(c)
		return nil
	}
}

// cut lets what follows begin with a chunk of its own, and returns how many there are before it.
func (w *chunker) cut() (int, error) {
	if w.chunk != nil {
		if err := w.submit(); err != nil {
			return 0, err
		}
	}
	return w.count, nil
}

// drain writes the chunks in the order in which they came.
func (w *chunker) drain(queue <-chan *chunk) {
	defer close(w.closed)
	for c := range queue {
		<-c.done
		if w.err == nil {
			if w.err = w.put(c); w.err != nil {
				close(w.failed)
			}
		}
		w.press.release(c)
	}
}

func (w *chunker) put(c *chunk) error {
	if c.err != nil {
		return c.err
	}
	w.result.tar.Write(c.raw)
	w.result.tarSize += int64(len(c.raw))
	w.result.chunks = append(w.result.chunks, int64(c.packed.Len()))
	return w.putPacked(c.packed.Bytes())
}

func (w *chunker) putPacked(p []byte) error {
	w.result.packed.Write(p)
	w.result.packedSize += int64(len(p))
	_, err := w.out.Write(p)
	return err
}

// abort ends the work of a chunker that is not needed any more; it may be called after close.
func (w *chunker) abort() {
	if w.queue != nil {
		close(w.queue)
		w.queue = nil
		<-w.closed
	}
}

// finished is a compressed tar on disk, with its end.
type finished struct {
	tarSize, packedSize int64   // without the end
	size                int64   // of the whole blob
	chunks              []int64 // compressed sizes, without the end
	digest, diffID      digest.Digest
}

// close writes what is pending and the tar's end.
func (w *chunker) close() (finished, error) {
	if _, err := w.cut(); err != nil {
		return finished{}, err
	}
	w.abort()
	if w.err != nil {
		return finished{}, w.err
	}
	f := finished{tarSize: w.result.tarSize, packedSize: w.result.packedSize, chunks: w.result.chunks}
	end, err := w.press.end()
	if err != nil {
		return finished{}, err
	}
	if err := w.putPacked(end); err != nil {
		return finished{}, err
	}
	w.result.tar.Write(make([]byte, tarEndSize))
	f.size = w.result.packedSize
	f.digest = digest.NewDigest(digest.SHA256, w.result.packed)
	f.diffID = digest.NewDigest(digest.SHA256, w.result.tar)
	return f, nil
}

// contextReader ends a copy when its context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
