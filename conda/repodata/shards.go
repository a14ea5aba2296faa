package repodata

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/tinylib/msgp/msgp"

	"github.com/datalayer/conda2docker/conda/fetch"
)

const (
	shardIndexLimit = 64 << 20  // bytes of an index that is compressed; conda-forge's has less than one MB
	shardLimit      = 8 << 20   // bytes of a shard that is compressed; conda-forge's largest ones have some 100 kB
	unpackedLimit   = 256 << 20 // bytes of either that is not
	// shardsKept is how long a shard stays in the cache that the index does not name any longer.
	shardsKept = 14 * 24 * time.Hour
)

// errStale says that a channel no longer has what the cached index names.
var errStale = errors.New("the index names what the channel does not have")

// shards is sharded repodata (CEP 16): an index that says which shard has the records of which name.
type shards struct {
	client *fetch.Client
	dir    string // where shards are kept, by their sum; "" for nowhere
	format uint32 // repodata_version
	base   string // URL of the folder with the archives
	at     string // URL of the folder with the shards
	index  []shard
	unzip  *zstd.Decoder
	room   sync.Pool // of what shards are decompressed into
}

// shard is an entry of the index. They are sorted: an index has tens of thousands, of which a hundred are looked at.
type shard struct {
	name string
	sum  []byte
}

// openShards reads the index of a subdir, which is compressed.
func openShards(packed []byte, subdirURL string) (*shards, error) {
	d, err := newUnpacker(unpackedLimit)
	if err != nil {
		return nil, err
	}
	body, err := unpack(d, packed, nil)
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
	x := &shards{base: subdirURL, at: subdirURL}
	s := newShardReader(body)
	err := s.object(func(key string) error {
		switch key {
		case "version":
			if v, err := s.integer(); err != nil || v != 1 {
				return errors.Join(fmt.Errorf("it is %d, and only 1 is known", v), err)
			}
			return nil
		case "repodata_version":
			v, err := s.integer()
			x.format = format(v)
			return err
		case "info":
			return x.parseInfo(s, subdirURL)
		case "shards":
			n, _, _ := msgp.ReadMapHeaderBytes(s.rest) // an error is told of next
			x.index = make([]shard, 0, min(int(n), len(s.rest)/(sha256.Size+2)))
			return s.object(func(name string) error {
				b, rest, err := msgp.ReadBytesZC(s.rest)
				if err != nil {
					return err
				}
				s.rest = rest
				if len(b) != sha256.Size {
					return fmt.Errorf("a sum of %d bytes", len(b))
				}
				x.index = append(x.index, shard{name: strings.ToLower(name), sum: b})
				return nil
			})
		}
		return s.skip()
	})
	if err != nil {
		return nil, err
	}
	byName := func(a, b shard) int { return strings.Compare(a.name, b.name) }
	if !slices.IsSortedFunc(x.index, byName) {
		slices.SortStableFunc(x.index, byName)
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

// sum is that of the shard of a name, nil where there is none.
func (x *shards) sum(name string) []byte {
	i, ok := slices.BinarySearchFunc(x.index, name, func(s shard, name string) int { return strings.Compare(s.name, name) })
	if !ok {
		return nil
	}
	return x.index[i].sum
}

func (x *shards) has(name string) bool { return x.sum(name) != nil }

func (x *shards) allNames() []string {
	all := make([]string, 0, len(x.index))
	for _, s := range x.index {
		all = append(all, s.name)
	}
	return all
}

// removed is not known before a shard is read.
func (x *shards) removed(string) bool { return false }

func (x *shards) version() uint32 { return x.format }

// baseURL is where the archives are.
func (x *shards) baseURL() string { return x.base }

// read reads the records of a name from its shard, which is fetched if it has not been.
func (x *shards) read(ctx context.Context, r *reader) error {
	sum := x.sum(string(r.name))
	if sum == nil {
		return nil
	}
	file := shardFile(sum)
	packed, err := x.get(ctx, sum, file)
	if fetch.NotFound(err) {
		return fmt.Errorf("the shard of %s: %w: %w", r.name, errStale, err)
	}
	if err != nil {
		return fmt.Errorf("the shard of %s: %w", r.name, err)
	}
	room, _ := x.room.Get().([]byte)
	body, err := unpack(x.unzip, packed, room[:0])
	if err == nil {
		err = r.readShard(body)
		x.room.Put(body) //nolint:staticcheck // a slice's header is small beside what it holds
	}
	if err != nil {
		return fmt.Errorf("the shard of %s: %s/%s does not parse: %w", r.name, x.at, file, err)
	}
	return nil
}

func shardFile(sum []byte) string { return hex.EncodeToString(sum) + ".msgpack.zst" }

// get is a shard from the cache, or from the channel.
func (x *shards) get(ctx context.Context, sum []byte, file string) ([]byte, error) {
	path := ""
	if x.dir != "" {
		path = filepath.Join(x.dir, file)
		if b, err := os.ReadFile(path); err == nil && sha256.Sum256(b) == [sha256.Size]byte(sum) {
			return b, nil
		}
	}
	url := x.at + "/" + file
	b, err := getAll(ctx, x.client, url, shardLimit)
	if err != nil {
		return nil, err
	}
	if got := sha256.Sum256(b); got != [sha256.Size]byte(sum) {
		return nil, &fetch.ChecksumError{
			Name: file, URL: fetch.Redact(url), Algorithm: "sha256", Want: hex.EncodeToString(sum), Got: hex.EncodeToString(got[:]),
		}
	}
	if path != "" {
		// Half a shard has another sum, so there is no need for a file that appears as a whole; nor is it an error not to keep one.
		_ = os.WriteFile(path, b, 0o644)
	}
	return b, nil
}

// tidy removes shards that are old and that the index does not name.
func (x *shards) tidy() {
	entries, err := os.ReadDir(x.dir)
	if err != nil {
		return
	}
	old := map[string]bool{}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > shardsKept {
			old[e.Name()] = true
		}
	}
	if len(old) == 0 {
		return
	}
	for _, s := range x.index {
		delete(old, shardFile(s.sum))
	}
	for name := range old {
		_ = os.Remove(filepath.Join(x.dir, name)) // it is in no one's way
	}
}

// getAll is the body of an answer, asked for again where it breaks off.
func getAll(ctx context.Context, client *fetch.Client, url string, limit int64) ([]byte, error) {
	for again := 2; ; again-- {
		resp, err := client.Get(ctx, fetch.Request{URL: url, Limit: limit})
		if err != nil {
			return nil, err
		}
		b, err := readAll(resp.Body, resp.Size)
		resp.Body.Close()
		if err == nil {
			return b, nil
		}
		if ctx.Err() != nil || again == 0 {
			return nil, fmt.Errorf("%s: %w", fetch.Redact(url), err)
		}
	}
}

// readAll reads a body of a size that is known, or else of any.
func readAll(r io.Reader, size int64) ([]byte, error) {
	if size <= 0 || size > shardLimit {
		return io.ReadAll(r)
	}
	b := make([]byte, size)
	_, err := io.ReadFull(r, b)
	return b, err
}

// unpack decompresses a shard or an index, which may be a bomb, into room if it is enough.
func unpack(d *zstd.Decoder, packed, room []byte) ([]byte, error) {
	var h zstd.Header
	if err := h.Decode(packed); err == nil && h.HasFCS && h.FrameContentSize > uint64(len(packed))*1000+1<<16 {
		return nil, fmt.Errorf("it is %d bytes that claim to be %d", len(packed), h.FrameContentSize)
	}
	return d.DecodeAll(packed, room)
}

// newUnpacker decompresses into so many bytes at most.
func newUnpacker(limit int) (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(uint64(limit)), zstd.WithDecoderLowmem(true))
}

var _ source = (*shards)(nil)
