package repodata

import (
	"bytes"
	"compress/bzip2"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/datalayer/conda2docker/conda/fetch"
)

// errUnlocked says that the entry has to be locked first.
var errUnlocked = errors.New("its cached form has to be made")

// source opens what a state names. store keeps a changed state; it is nil where the entry is not locked.
func (e entry) source(ctx context.Context, s state, store func(state) error) (source, error) {
	if s.Missing {
		return nil, nil //nolint:nilnil // as open has it
	}
	if s.Pack != "" {
		if p, err := openPack(filepath.Join(e.dir, s.Pack), s.Pack); err == nil {
			return e.packed(p)
		}
	}
	f, err := os.Open(filepath.Join(e.dir, s.Body))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if s.Variant == shardsVariant {
		return e.shards(f)
	}
	p, err := e.read(ctx, f, s, func() (packFile, error) {
		if store == nil {
			return packFile{}, errUnlocked
		}
		return e.createPack()
	})
	if err != nil {
		return nil, err
	}
	if p.file != "" {
		s.Pack = p.file
		if err := store(s); err != nil {
			return nil, err
		}
	}
	return e.packed(p)
}

// packed is a pack with the place that its archives are at.
func (e entry) packed(p *pack) (source, error) {
	if p.base == "" {
		return located{p, e.url}, nil
	}
	base, err := resolveBase(e.url, p.base)
	if err != nil {
		return nil, fmt.Errorf("base_url: %w", err)
	}
	return located{p, base}, nil
}

// located is a pack whose archives are at a place.
type located struct {
	*pack
	base string
}

func (l located) baseURL() string { return l.base }

// shards reads an index, with the folder of the cache that its shards go to.
func (e entry) shards(body io.Reader) (source, error) {
	packed, err := io.ReadAll(io.LimitReader(body, shardIndexLimit))
	if err != nil {
		return nil, err
	}
	x, err := openShards(packed, e.url)
	if err != nil {
		return nil, err
	}
	x.client = e.client
	if !e.passing && !strings.HasPrefix(x.at, "file:") {
		x.dir = filepath.Join(e.dir, shardsFolder)
		if err := os.MkdirAll(x.dir, 0o755); err != nil {
			x.dir = "" // the cache belongs to someone else
		}
	}
	return x, nil
}

// createPack makes a file for a pack in the entry, which is locked.
func (e entry) createPack() (packFile, error) {
	f, err := os.CreateTemp(e.dir, ".tmp-*")
	if err != nil {
		return packFile{}, err
	}
	name := filepath.Base(f.Name())[len(".tmp-"):] + ".pack"
	return packFile{
		File: f, name: name,
		commit:  func() error { return errors.Join(f.Chmod(0o644), os.Rename(f.Name(), filepath.Join(e.dir, name))) },
		abandon: func() { f.Close(); os.Remove(f.Name()) },
	}, nil
}

// discardPack forgets a pack that is damaged.
func (e entry) discardPack() {
	s, err := e.load()
	if err == nil && s.Pack != "" {
		_ = os.Remove(filepath.Join(e.dir, s.Pack)) // then it is made anew
	}
}

// openFolder reads a channel that is a folder. Only of what is large something is kept in the cache: its pack, for as
// long as the file is the same.
func (e entry) openFolder(ctx context.Context) (source, error) {
	old, err := e.load()
	if err != nil || old.Pack == "" {
		old = state{}
	}
	for _, variant := range variants {
		s := state{URL: e.url + "/" + variant, Variant: variant, Checked: time.Now()}
		x, err := e.openFile(ctx, s, old)
		if fetch.NotFound(err) {
			continue
		}
		return x, err
	}
	return nil, nil //nolint:nilnil // as open has it
}

// openFile reads one variant of a folder.
func (e entry) openFile(ctx context.Context, s, old state) (source, error) {
	r := fetch.Request{URL: s.URL}
	if old.Variant == s.Variant {
		r.ETag = old.ETag
	}
	resp, err := e.client.Get(ctx, r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.NotModified {
		if p, err := openPack(filepath.Join(e.dir, old.Pack), old.Pack); err == nil {
			e.touch()
			return e.packed(p)
		}
		return e.openFile(ctx, s, state{})
	}
	x, err := e.readFile(ctx, s, resp)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if errors.Is(err, errKeeping) {
		return nil, fmt.Errorf("%s: %w", s.URL, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s does not parse: %w", s.URL, err)
	}
	return x, nil
}

func (e entry) readFile(ctx context.Context, s state, resp *fetch.Response) (source, error) {
	if s.Variant == shardsVariant {
		return e.shards(resp.Body)
	}
	s.Size = resp.Size
	unlock := func() {}
	defer func() { unlock() }()
	p, err := e.read(ctx, resp.Body, s, func() (packFile, error) {
		if !e.passing {
			done, err := e.lock(ctx)
			if err == nil {
				unlock = done
				return e.createPack()
			}
			if ctx.Err() != nil {
				return packFile{}, err
			}
		}
		return unnamedPack() // the cache belongs to someone else
	})
	if err != nil {
		return nil, err
	}
	if p.file != "" {
		s.Pack, s.ETag = p.file, resp.ETag
		if err := e.store(s); err != nil {
			return nil, err
		}
	}
	return e.packed(p)
}

// unnamedPack makes a file that is gone when the process ends.
func unnamedPack() (packFile, error) {
	f, err := os.CreateTemp("", "repodata-")
	if err != nil {
		return packFile{}, err
	}
	return packFile{File: f, commit: func() error { return nil }, abandon: func() { f.Close() }}, os.Remove(f.Name())
}

// read reads a repodata.json in one of its forms. One that is small stays in memory, where it is read as a whole; what another one
// holds goes to the file that create makes.
func (e entry) read(ctx context.Context, body io.Reader, s state, create func() (packFile, error)) (*pack, error) {
	grows := int64(7) // times, when it is decompressed
	if s.Variant == plainVariant {
		grows = 1
	}
	if s.Size > 0 && grows*s.Size <= int64(e.memory) {
		var whole bytes.Buffer
		whole.Grow(int(s.Size) + bytes.MinRead)
		if _, err := whole.ReadFrom(body); err != nil {
			return nil, err
		}
		packed := whole.Bytes()
		text, err := readSmall(packed, s.Variant, e.memory)
		if err == nil && len(text) <= e.memory {
			return readText(text)
		}
		if err != nil && !errors.Is(err, zstd.ErrDecoderSizeExceeded) && !errors.Is(err, zstd.ErrWindowSizeExceeded) {
			return nil, err
		}
		body = bytes.NewReader(packed)
	}
	switch filepath.Ext(s.Variant) {
	case ".zst":
		// A frame of a few bytes can ask for twice the window. Less memory than that (WithDecoderLowmem) moves the window at each block,
		// which takes a third of the time.
		d, err := zstd.NewReader(body, zstd.WithDecoderMaxWindow(128<<20), zstd.WithDecoderLowmem(false))
		if err != nil {
			return nil, err
		}
		defer d.Close()
		body = d
	case ".bz2":
		body = bzip2.NewReader(body)
	}
	to, err := create()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errKeeping, err)
	}
	return readStream(&patient{ctx, body, textLimit}, to)
}

// readSmall decompresses what is expected to stay below the limit.
func readSmall(packed []byte, variant string, limit int) ([]byte, error) {
	switch filepath.Ext(variant) {
	case ".zst":
		d, err := newUnpacker(max(limit, 8<<20)) // a window is not larger either
		if err != nil {
			return nil, err
		}
		defer d.Close()
		return d.DecodeAll(packed, nil)
	case ".bz2":
		return io.ReadAll(io.LimitReader(bzip2.NewReader(bytes.NewReader(packed)), int64(limit)+1))
	}
	return packed, nil
}

// textLimit is how long a repodata.json may be, in bytes; conda-forge's has less than half of a GB.
const textLimit = 8 << 30

// patient reads until the context ends, and so many bytes.
type patient struct {
	ctx  context.Context //nolint:containedctx // of one read of an index
	body io.Reader
	left int64
}

func (p *patient) Read(b []byte) (int, error) {
	if p.ctx.Err() != nil {
		return 0, context.Cause(p.ctx)
	}
	n, err := p.body.Read(b)
	if p.left -= int64(n); p.left < 0 {
		return 0, fmt.Errorf("it has more than %d GB", textLimit>>30)
	}
	return n, err
}
