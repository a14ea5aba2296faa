package repodata

import (
	"bufio"
	"compress/bzip2"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/datalayer/conda2docker/conda/fetch"
)

// openFolder reads a channel that is a folder, which needs no cache.
func (e entry) openFolder(ctx context.Context, scan func(text string, s state, cached bool) error) error {
	for _, variant := range variants {
		s := state{URL: e.url + "/" + variant, Variant: variant, Checked: time.Now()}
		resp, err := e.client.Get(ctx, fetch.Request{URL: s.URL})
		if fetch.NotFound(err) {
			continue
		}
		if err != nil {
			return err
		}
		text, err := decompress(resp.Body, variant, resp.Size)
		resp.Body.Close()
		if err == nil {
			err = scan(text, s, false)
		}
		if err != nil {
			return fmt.Errorf("%s does not parse: %w", s.URL, err)
		}
		return nil
	}
	return scan("", state{Missing: true, Checked: time.Now()}, false)
}

// read reads the body that a state names.
func (e entry) read(s state) (string, error) {
	if s.Missing {
		return "", nil
	}
	f, err := os.Open(filepath.Join(e.dir, s.Body))
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	text, err := decompress(f, s.Variant, info.Size())
	if err != nil {
		_ = os.Remove(filepath.Join(e.dir, "state.json")) // so that it is fetched anew
		return "", fmt.Errorf("%s does not parse: %w", s.URL, err)
	}
	return text, nil
}

// decompress reads a variant of repodata of so many bytes into one text.
func decompress(r io.Reader, variant string, size int64) (string, error) {
	switch filepath.Ext(variant) {
	case ".zst":
		b := bufio.NewReader(r)
		size = unpackedSize(b, size)
		d, err := zstd.NewReader(b, zstd.WithDecoderMaxMemory(math.MaxUint32), zstd.WithDecoderMaxWindow(1<<30))
		if err != nil {
			return "", err
		}
		defer d.Close()
		r = d
	case ".bz2":
		r, size = bzip2.NewReader(r), 8*size
	}
	var text strings.Builder
	text.Grow(int(min(max(size, 0), 1<<30)))
	n, err := io.Copy(&text, io.LimitReader(r, math.MaxUint32))
	if err == nil && n == math.MaxUint32 {
		err = fmt.Errorf("it is longer than the 4 GiB that are read")
	}
	return text.String(), err
}

// unpackedSize is what the first frame of r says, or an estimate.
func unpackedSize(r *bufio.Reader, size int64) int64 {
	start, _ := r.Peek(zstd.HeaderMaxSize) // less than that is fine
	var h zstd.Header
	if err := h.Decode(start); err == nil && h.HasFCS && h.FrameContentSize < math.MaxUint32 {
		return int64(h.FrameContentSize) + 1
	}
	return 10 * size
}
