package repodata

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/tinylib/msgp/msgp"

	"github.com/datalayer/conda2docker/conda/fetch"
)

const (
	shardIndexLimit = 64 << 20  // bytes of an index that is compressed; conda-forge's has less than one MB
	shardLimit      = 32 << 20  // bytes of a shard that is compressed; conda-forge's largest ones have some 100 kB
	unpackedLimit   = 256 << 20 // bytes of either that is not
	// shardsKept is how long a shard stays in the cache that the index does not name any longer.
	shardsKept = 14 * 24 * time.Hour
)

// shards is sharded repodata (CEP 16): an index that says which shard has the records of which name.
type shards struct {
	client *fetch.Client
	dir    string // where shards are kept, by their sum; "" for nowhere
	base   string // URL of the folder with the archives
	at     string // URL of the folder with the shards
	sums   map[string][sha256.Size]byte
	unzip  *zstd.Decoder
}

// openShards reads the index of a subdir, which is compressed.
func openShards(packed []byte, subdirURL string) (*shards, error) {
	d, err := newUnpacker(unpackedLimit)
	if err != nil {
		return nil, err
	}
	body, err := unpack(d, packed)
	if err != nil {
		return nil, err
	}
	x, err := parseShards(body, subdirURL)
	if err != nil {
		return nil, err
	}
	x.unzip = d
	return x, nil
}

// parseShards reads the index of a subdir.
func parseShards(body []byte, subdirURL string) (*shards, error) {
	x := &shards{base: subdirURL, at: subdirURL, sums: map[string][sha256.Size]byte{}}
	s := newShardReader(body)
	err := s.object(func(key string) error {
		switch key {
		case "version":
			if v, err := s.integer(); err != nil || v != 1 {
				return errors.Join(fmt.Errorf("it is %d, and only 1 is known", v), err)
			}
			return nil
		case "info":
			return x.parseInfo(s, subdirURL)
		case "shards":
			return s.object(func(name string) error {
				b, rest, err := msgp.ReadBytesZC(s.rest)
				if err != nil {
					return err
				}
				s.rest = rest
				if len(b) != sha256.Size {
					return fmt.Errorf("a sum of %d bytes", len(b))
				}
				x.sums[strings.ToLower(name)] = [sha256.Size]byte(b)
				return nil
			})
		}
		return s.skip()
	})
	if err != nil {
		return nil, err
	}
	return x, nil
}

func (x *shards) parseInfo(s *shardReader, subdirURL string) error {
	return s.object(func(key string) error {
		var to *string
		switch key {
		case "base_url":
			to = &x.base
		case "shards_base_url":
			to = &x.at
		default:
			return s.skip()
		}
		text, err := s.optional()
		if err != nil || text == "" {
			return err
		}
		*to, err = resolveBase(subdirURL, text)
		return err
	})
}

func (x *shards) has(name string) bool {
	_, ok := x.sums[name]
	return ok
}

func (x *shards) allNames() []string { return slices.Collect(maps.Keys(x.sums)) }

// removed is not known before a shard is read.
func (x *shards) removed(string) bool { return false }

// baseURL is where the archives are.
func (x *shards) baseURL() string { return x.base }

// read reads the records of a name from its shard, which is fetched if it has not been.
func (x *shards) read(ctx context.Context, r *reader) error {
	sum, ok := x.sums[string(r.name)]
	if !ok {
		return nil
	}
	hexSum := hex.EncodeToString(sum[:])
	packed, err := x.get(ctx, sum, hexSum+".msgpack.zst")
	if err != nil {
		return fmt.Errorf("the shard of %s: %w", r.name, err)
	}
	body, err := unpack(x.unzip, packed)
	if err == nil {
		err = r.readShard(body)
	}
	if err != nil {
		return fmt.Errorf("the shard of %s: %s/%s.msgpack.zst does not parse: %w", r.name, x.at, hexSum, err)
	}
	return nil
}

// get is a shard from the cache, or from the channel.
func (x *shards) get(ctx context.Context, sum [sha256.Size]byte, file string) ([]byte, error) {
	path := ""
	if x.dir != "" {
		path = filepath.Join(x.dir, file)
		if b, err := os.ReadFile(path); err == nil && sha256.Sum256(b) == sum {
			return b, nil
		}
	}
	url := x.at + "/" + file
	b, err := getAll(ctx, x.client, url, shardLimit)
	if err != nil {
		return nil, err
	}
	if got := sha256.Sum256(b); got != sum {
		return nil, &fetch.ChecksumError{
			Name: file, URL: fetch.Redact(url), Algorithm: "sha256", Want: hex.EncodeToString(sum[:]), Got: hex.EncodeToString(got[:]),
		}
	}
	if path != "" {
		keepShard(path, b)
	}
	return b, nil
}

// keepShard writes a shard into the cache. It is not an error where that cannot be done.
func keepShard(path string, b []byte) {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
}

// tidy removes shards that were not used for a while and that the index does not name.
func (x *shards) tidy() {
	entries, err := os.ReadDir(x.dir)
	if err != nil {
		return
	}
	named := make(map[string]bool, len(x.sums))
	for _, sum := range x.sums {
		named[hex.EncodeToString(sum[:])+".msgpack.zst"] = true
	}
	for _, e := range entries {
		if named[e.Name()] {
			continue
		}
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > shardsKept {
			_ = os.Remove(filepath.Join(x.dir, e.Name())) // it is in no one's way
		}
	}
}

// getAll is the body of an answer, asked for again where it breaks off.
func getAll(ctx context.Context, client *fetch.Client, url string, limit int64) ([]byte, error) {
	for again := 2; ; again-- {
		resp, err := client.Get(ctx, fetch.Request{URL: url, Limit: limit})
		if err != nil {
			return nil, err
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil {
			return b, nil
		}
		if ctx.Err() != nil || again == 0 {
			return nil, fmt.Errorf("%s: %w", fetch.Redact(url), err)
		}
	}
}

// unpack decompresses a shard or an index, which may be a bomb.
func unpack(d *zstd.Decoder, packed []byte) ([]byte, error) {
	var h zstd.Header
	if err := h.Decode(packed); err == nil && h.HasFCS && h.FrameContentSize > uint64(len(packed))*1000+1<<16 {
		return nil, fmt.Errorf("it is %d bytes that claim to be %d", len(packed), h.FrameContentSize)
	}
	return d.DecodeAll(packed, nil)
}

// newUnpacker decompresses into so many bytes at most.
func newUnpacker(limit int) (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(uint64(limit)), zstd.WithDecoderLowmem(true))
}

var _ source = (*shards)(nil)
