package layer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
)

// blobInfo is what is kept of a layer under the key of what it was made of.
type blobInfo struct {
	Digest digest.Digest `json:"digest"`
	DiffID digest.Digest `json:"diffID"`
	Size   int64         `json:"size"`
}

// Layer makes the layer of a group, or finds it in the cache. The compressed segments are joined as they are, in one pass, behind
// the directories of all of them.
func (c *Cache) Layer(ctx context.Context, g Group) (Layer, error) {
	if len(g.Segments) == 0 {
		return Layer{}, errors.New("making a layer: the group has no segments")
	}
	if len(g.Segments) == 1 {
		return c.singleLayer(ctx, g)
	}
	h := sha256.New()
	fmt.Fprintf(h, "group %d %s\n", formatVersion, c.codec)
	for _, s := range g.Segments {
		fmt.Fprintln(h, s.ID)
	}
	return c.layer(ctx, hex.EncodeToString(h.Sum(nil)), g.Name, func(w io.Writer) (blobInfo, error) {
		return c.join(ctx, g, w)
	})
}

// Layers makes the layers of all groups, at most parallel at once (the number of processors when 0), in the groups' order.
func (c *Cache) Layers(ctx context.Context, groups []Group, parallel int) ([]Layer, error) {
	if parallel <= 0 {
		parallel = runtime.GOMAXPROCS(0)
	}
	out := make([]Layer, len(groups))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i, group := range groups {
		g.Go(func() (err error) {
			out[i], err = c.Layer(ctx, group)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return out, nil
}

// layer finds a layer by its key, or has it made.
func (c *Cache) layer(ctx context.Context, key, name string, write func(io.Writer) (blobInfo, error)) (Layer, error) {
	release, err := c.alone(ctx, key)
	if err != nil {
		return Layer{}, err
	}
	defer release()
	info, ok := c.loadLayer(key)
	if !ok {
		dir := filepath.Join(c.opts.Dir, layersDir)
		err := c.mending(func() error {
			return install(dir, func(w io.Writer) (_ string, err error) {
				if info, err = write(w); err != nil {
					return "", err
				}
				return info.Digest.Encoded(), nil
			})
		})
		if err == nil {
			err = c.noteLayer(key, info)
		}
		if err != nil {
			return Layer{}, fmt.Errorf("making the layer of %s: %w", name, err)
		}
	}
	return c.newLayer(info, name), nil
}

func (c *Cache) newLayer(b blobInfo, name string) Layer {
	return Layer{
		Digest: b.Digest, DiffID: b.DiffID, Size: b.Size, MediaType: c.codec.mediaType(),
		Path: c.layerPath(b.Digest), Name: name,
	}
}

func (c *Cache) layerPath(d digest.Digest) string {
	return filepath.Join(c.opts.Dir, layersDir, d.Encoded())
}

// noteLayer keeps what loadLayer finds.
func (c *Cache) noteLayer(key string, info blobInfo) error {
	note, err := json.Marshal(info)
	if err != nil {
		return err
	}
	return install(filepath.Join(c.opts.Dir, layersDir), func(w io.Writer) (string, error) {
		_, err := w.Write(sealed(note))
		return key + ".json", err
	})
}

func (c *Cache) loadLayer(key string) (blobInfo, bool) {
	path := filepath.Join(c.opts.Dir, layersDir, key+".json")
	raw, err := os.ReadFile(path)
	if err != nil {
		return blobInfo{}, false
	}
	note, ok := unsealed(raw)
	var b blobInfo
	if err := json.Unmarshal(note, &b); !ok || err != nil || b.Digest.Validate() != nil || b.DiffID.Validate() != nil {
		return blobInfo{}, false
	}
	if !c.whole(c.layerPath(b.Digest), b.Size, b.Digest) {
		return blobInfo{}, false
	}
	touch(path)
	touch(c.layerPath(b.Digest))
	return b, true
}

// singleLayer gives a segment's own blob, which is a whole layer, a second name.
func (c *Cache) singleLayer(ctx context.Context, g Group) (Layer, error) {
	b := g.Segments[0].blob
	l := c.newLayer(blobInfo{Digest: b.digest, DiffID: b.diffID, Size: b.size}, g.Name)
	release, err := c.alone(ctx, b.digest.Encoded())
	if err != nil {
		return Layer{}, err
	}
	defer release()
	if c.whole(l.Path, b.size, b.digest) {
		touch(l.Path)
		return l, nil
	}
	s, err := c.present(ctx, g.Segments[0])
	if err == nil {
		err = linkOrCopy(s.blob.path, filepath.Dir(l.Path), filepath.Base(l.Path))
	}
	if err != nil {
		return Layer{}, fmt.Errorf("making the layer of %s: %w", g.Name, err)
	}
	return l, nil
}

// wholeLayer is a segment's blob, which is a layer, where the segment has it.
func (c *Cache) wholeLayer(s Segment) Layer {
	l := c.newLayer(blobInfo{Digest: s.blob.digest, DiffID: s.blob.diffID, Size: s.blob.size}, s.Dist)
	l.Path = s.blob.path
	return l
}

// linkOrCopy makes dir/name a hard link to a file, or a copy of it where the file system has no links.
func linkOrCopy(from, dir, name string) error {
	tmp, err := os.MkdirTemp(dir, tempPrefix)
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if os.Link(from, filepath.Join(tmp, name)) == nil {
		return os.Rename(filepath.Join(tmp, name), filepath.Join(dir, name))
	}
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	return install(dir, func(w io.Writer) (string, error) {
		_, err := io.Copy(w, src)
		return name, err
	})
}

// brokenError is a segment whose blob has the right size and the wrong bytes.
type brokenError struct {
	segment Segment
	err     error
}

func (e *brokenError) Error() string {
	return fmt.Sprintf("segment of %s in %s: %v", e.segment.Dist, e.segment.blob.path, e.err)
}

func (e *brokenError) Unwrap() error { return e.err }

// mending does what reads segments, and if one turns out to be broken removes it and tries again: then it is made again.
func (c *Cache) mending(do func() error) error {
	err := do()
	var broken *brokenError
	if !errors.As(err, &broken) {
		return err
	}
	if err := os.RemoveAll(c.segmentDir(broken.segment.ID)); err != nil {
		return err
	}
	return do()
}

// present is the segment, made again if its blob has vanished since. Who reads it finds out whether its bytes are the right ones.
func (c *Cache) present(ctx context.Context, s Segment) (Segment, error) {
	if there(s.blob.path, s.blob.size) {
		return s, nil
	}
	if s.bytecode != nil {
		return Segment{}, fmt.Errorf("the compiled files of %s have vanished from the cache: build again", s.Dist)
	}
	again, err := c.Segment(ctx, s.input)
	if err == nil && again.blob.digest != s.blob.digest {
		err = fmt.Errorf("segment of %s: made again, it has other bytes (%s, was %s)", s.Dist, again.blob.digest, s.blob.digest)
	}
	return again, err
}

// join writes a group's segments and a tar's end, and sums them up: the compressed bytes, and the tar within.
func (c *Cache) join(ctx context.Context, g Group, w io.Writer) (blobInfo, error) {
	packed, tarred := sha256.New(), sha256.New()
	out := &counter{w: io.MultiWriter(w, packed)}
	dirs, err := g.directories()
	if err != nil {
		return blobInfo{}, err
	}
	for part := range slices.Chunk(dirs, chunkSize) {
		var chunk bytes.Buffer
		if err := c.codec.compress(&chunk, part); err != nil {
			return blobInfo{}, err
		}
		if _, err := out.Write(chunk.Bytes()); err != nil {
			return blobInfo{}, err
		}
		tarred.Write(part)
	}
	for _, s := range g.Segments {
		if err := c.append(ctx, s, out, tarred); err != nil {
			return blobInfo{}, err
		}
	}
	end, err := c.press.end()
	if err != nil {
		return blobInfo{}, err
	}
	if _, err := out.Write(end); err != nil {
		return blobInfo{}, err
	}
	tarred.Write(make([]byte, tarEndSize))
	return blobInfo{
		Digest: digest.NewDigest(digest.SHA256, packed), DiffID: digest.NewDigest(digest.SHA256, tarred), Size: out.n,
	}, nil
}

// directories are the group's directories as a tar without its end.
func (g Group) directories() ([]byte, error) {
	all := map[string]bool{}
	for _, s := range g.Segments {
		maps.Copy(all, s.directories())
	}
	var out bytes.Buffer
	tw := newTarWriter(&out)
	for _, d := range slices.Sorted(maps.Keys(all)) {
		if err := tw.folder(d); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), tw.flush()
}

// append writes what one segment has behind its directories to out, and its tar to tarred.
func (c *Cache) append(ctx context.Context, s Segment, out io.Writer, tarred hash.Hash) error {
	s, err := c.present(ctx, s)
	if err != nil {
		return err
	}
	f, err := os.Open(s.blob.path)
	if err != nil {
		return err
	}
	defer f.Close()
	check := sha256.New()
	all := io.TeeReader(contextReader{ctx, f}, check)
	head := s.blob.headSize()
	_, err = io.CopyN(io.Discard, all, head)
	if n := int64(0); err == nil && s.Size > head {
		n, err = c.unpack(io.TeeReader(io.LimitReader(all, s.Size-head), out), tarred)
		if want := s.TarSize - s.blob.head.TarSize; err == nil && n != want {
			err = fmt.Errorf("its files' tar has %d bytes and should have %d", n, want)
		}
	}
	if err == nil {
		_, err = io.Copy(io.Discard, all) // the tar's end
	}
	if got := digest.NewDigest(digest.SHA256, check); err == nil && got != s.blob.digest {
		err = fmt.Errorf("it is %s and should be %s", got, s.blob.digest)
	}
	if err != nil && ctx.Err() == nil {
		return &brokenError{s, err}
	}
	return err
}

func (c *Cache) unpack(r io.Reader, w io.Writer) (int64, error) {
	z, err := c.codec.reader(r)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(w, z)
	return n, errors.Join(err, z.Close())
}
