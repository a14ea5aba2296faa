package condatest

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
	"github.com/tinylib/msgp/msgp"

	"github.com/datalayer/conda2docker/conda"
)

// shardIndex is repodata_shards.msgpack.zst (CEP 16) in the making.
type shardIndex struct {
	subdir, base, shards string // base_url and shards_base_url
	names                []string
	sums                 [][sha256.Size]byte
}

// add adds a name with its shard, and is the shard's file name.
func (x *shardIndex) add(name string, shard []byte) string {
	sum := sha256.Sum256(shard)
	x.names, x.sums = append(x.names, name), append(x.sums, sum)
	return hex.EncodeToString(sum[:]) + ".msgpack.zst"
}

// encode is the index as msgpack.
func (x *shardIndex) encode() []byte {
	b := msgp.AppendMapHeader(nil, 3)
	b = msgp.AppendInt(msgp.AppendString(b, "version"), 1)
	b = msgp.AppendMapHeader(msgp.AppendString(b, "info"), 4)
	for _, kv := range [][2]string{
		{"subdir", x.subdir}, {"base_url", x.base}, {"shards_base_url", x.shards}, {"created_at", "2026-01-01T00:00:00Z"},
	} {
		b = msgp.AppendString(msgp.AppendString(b, kv[0]), kv[1])
	}
	b = msgp.AppendMapHeader(msgp.AppendString(b, "shards"), uint32(len(x.names)))
	for i, name := range x.names {
		b = msgp.AppendBytes(msgp.AppendString(b, name), x.sums[i][:])
	}
	return b
}

// Shards say how a Channel has sharded repodata (CEP 16) beside the other forms.
type Shards struct {
	BaseURL       string // "" for the folder with the index
	ShardsBaseURL string // relative to the index, or not; default "./shards/"
}

// Shard makes the channel serve shards too, in folders called shards.
func (c *Channel) Shard(t testing.TB, s Shards) {
	t.Helper()
	c.mu.Lock()
	c.shards = &s
	c.mu.Unlock()
	c.Add(t)
}

// Msgpack is a value of maps, lists, strings, numbers and bytes as msgpack in zstd, the form of shards and of their index.
func Msgpack(t testing.TB, v any) []byte {
	t.Helper()
	b, err := compressZstd(appendMsgpack(nil, v))
	require.NoError(t, err)
	return b
}

// appendMsgpack writes a value; keys are sorted.
func appendMsgpack(b []byte, v any) []byte {
	switch v := v.(type) {
	case map[string]any:
		b = msgp.AppendMapHeader(b, uint32(len(v)))
		for _, key := range slices.Sorted(maps.Keys(v)) {
			b = appendMsgpack(msgp.AppendString(b, key), v[key])
		}
		return b
	case []any:
		b = msgp.AppendArrayHeader(b, uint32(len(v)))
		for _, item := range v {
			b = appendMsgpack(b, item)
		}
		return b
	case string:
		return msgp.AppendString(b, v)
	case []byte:
		return msgp.AppendBytes(b, v)
	case float64:
		return msgp.AppendInt64(b, int64(v))
	case int:
		return msgp.AppendInt(b, v)
	case bool:
		return msgp.AppendBool(b, v)
	}
	return msgp.AppendNil(b)
}

// addShards adds a subdir's shards, and their index, to a channel's files.
func (s Shards) addShards(files map[string][]byte, subdir conda.Subdir, records []*conda.Record) error {
	index := shardIndex{subdir: string(subdir), base: s.BaseURL, shards: cmp.Or(s.ShardsBaseURL, "./shards/")}
	names := map[string][]*conda.Record{}
	for _, r := range records {
		names[string(r.Name)] = append(names[string(r.Name)], r)
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		plain, err := RepodataJSON(subdir, names[name])
		if err != nil {
			return err
		}
		var shard map[string]any
		if err := json.Unmarshal(plain, &shard); err != nil {
			return err
		}
		delete(shard, "info")
		if err := sumsToBytes(shard); err != nil {
			return err
		}
		body, err := compressZstd(appendMsgpack(nil, shard))
		if err != nil {
			return err
		}
		files[string(subdir)+"/shards/"+index.add(name, body)] = body
	}
	body, err := compressZstd(index.encode())
	files[string(subdir)+"/repodata_shards.msgpack.zst"] = body
	return err
}

// sumsToBytes makes bytes of a shard's checksums.
func sumsToBytes(shard map[string]any) error {
	for _, section := range []string{"packages", "packages.conda"} {
		records, _ := shard[section].(map[string]any)
		for _, r := range records {
			record, _ := r.(map[string]any)
			for _, key := range []string{"md5", "sha256"} {
				text, _ := record[key].(string)
				sum, err := hex.DecodeString(text)
				if err != nil {
					return err
				}
				record[key] = sum
			}
		}
	}
	return nil
}

// writeShards writes a subdir's shards, and their index.
func (w *scaleWorld) writeShards(folder string, shape scaleShape) error {
	if err := os.MkdirAll(filepath.Join(folder, "shards"), 0o755); err != nil {
		return err
	}
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	index := shardIndex{subdir: string(shape.subdir), shards: "./shards/"}
	var plain []byte
	for _, p := range w.sorted(shape.subdir) {
		plain = appendShard(plain[:0], w.recordsOf(p))
		shard := z.EncodeAll(plain, nil)
		if err := os.WriteFile(filepath.Join(folder, "shards", index.add(p.name, shard)), shard, 0o644); err != nil {
			return err
		}
	}
	body := z.EncodeAll(index.encode(), nil)
	return os.WriteFile(filepath.Join(folder, "repodata_shards.msgpack.zst"), body, 0o644)
}

// appendShard writes the shard of one name.
func appendShard(b []byte, records []scaleRecord) []byte {
	b = msgp.AppendMapHeader(b, 3)
	for _, format := range []Format{TarBz2, Conda} {
		var of []scaleRecord
		for _, r := range records {
			if r.format == format {
				of = append(of, r)
			}
		}
		b = msgp.AppendMapHeader(msgp.AppendString(b, map[Format]string{TarBz2: "packages", Conda: "packages.conda"}[format]), uint32(len(of)))
		for _, r := range of {
			b = r.appendMsgpack(msgp.AppendString(b, r.fileName))
		}
	}
	return msgp.AppendArrayHeader(msgp.AppendString(b, "removed"), 0)
}

// appendMsgpack writes the record, its sums as bytes.
func (r scaleRecord) appendMsgpack(b []byte) []byte {
	var fields uint32
	out := []byte{}
	text := func(key, value string) {
		if value != "" {
			fields++
			out = msgp.AppendString(msgp.AppendString(out, key), value)
		}
	}
	integer := func(key string, n int64) {
		fields++
		out = msgp.AppendInt64(msgp.AppendString(out, key), n)
	}
	list := func(key string, items []string) {
		fields++
		out = msgp.AppendArrayHeader(msgp.AppendString(out, key), uint32(len(items)))
		for _, i := range items {
			out = msgp.AppendString(out, i)
		}
	}
	text("build", r.build)
	integer("build_number", int64(r.number))
	if len(r.constrains) > 0 {
		list("constrains", r.constrains)
	}
	list("depends", r.depends)
	text("license", r.license)
	text("license_family", r.family)
	fields += 2
	out = msgp.AppendBytes(msgp.AppendString(out, "md5"), r.md5[:])
	out = msgp.AppendBytes(msgp.AppendString(out, "sha256"), r.sha256[:])
	text("name", r.name)
	if r.noarch {
		text("noarch", "python")
	}
	integer("size", r.size)
	text("subdir", string(r.subdir))
	integer("timestamp", r.timestamp)
	if r.tracked {
		text("track_features", "variant")
	}
	text("version", r.version)
	return append(msgp.AppendMapHeader(b, fields), out...)
}
