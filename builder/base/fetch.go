package base

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// parallelBlobs is how many blobs of an image are fetched at once.
const parallelBlobs = 4

// openRegistry finds an image in a registry and fetches what of it is not kept already.
func openRegistry(ctx context.Context, ref string, o Options) (Image, error) {
	parsed, err := o.Registries.ParseReference(ref)
	if err != nil {
		return Image{}, err
	}
	img := Image{Repository: parsed.Context().Name()}
	note := filepath.Join(o.Dir, "bases", "refs", digest.FromString(ref+" "+o.Platform.OS+"/"+o.Platform.Architecture).Encoded())
	if o.Offline || isDigest(parsed) {
		if img.Digest, err = readNote(note); err == nil {
			img.Layout = o.entry(img.Digest)
			if complete(img) {
				touch(img.Layout)
				return img, nil
			}
		}
		if o.Offline {
			return Image{}, errors.New("it is not in the cache, and the build is offline: run once without --offline")
		}
	}
	remoteImage, err := o.resolve(ctx, parsed)
	if err != nil {
		return Image{}, err
	}
	d, err := remoteImage.Digest()
	if err != nil {
		return Image{}, err
	}
	img.Digest = digest.Digest(d.String())
	img.Layout = o.entry(img.Digest)
	if !complete(img) {
		if err := o.fetch(ctx, remoteImage, img); err != nil {
			return Image{}, err
		}
	}
	touch(img.Layout)
	return img, writeFile(note, []byte(img.Digest.String()))
}

func isDigest(ref name.Reference) bool {
	_, ok := ref.(name.Digest)
	return ok
}

// resolve asks the registry for the image of the platform.
func (o Options) resolve(ctx context.Context, ref name.Reference) (v1.Image, error) {
	desc, err := o.Registries.Get(ctx, ref)
	if err != nil {
		return nil, err
	}
	if !desc.MediaType.IsIndex() {
		if !desc.MediaType.IsImage() || desc.MediaType == types.DockerManifestSchema1Signed {
			return nil, fmt.Errorf("the registry answers with %s, which is no image", desc.MediaType)
		}
		return desc.Image()
	}
	index, err := desc.ImageIndex()
	if err != nil {
		return nil, err
	}
	raw, err := index.RawManifest()
	if err != nil {
		return nil, err
	}
	var parsed ocispecs.Index
	if err := json.Unmarshal(raw, &parsed); err != nil {
		return nil, err
	}
	chosen, err := choose(parsed.Manifests, o.Platform)
	if err != nil {
		return nil, err
	}
	h, err := v1.NewHash(chosen.Digest.String())
	if err != nil {
		return nil, err
	}
	return index.Image(h)
}

// complete reports whether all blobs of an image are kept.
func complete(img Image) bool {
	m, err := readManifest(img.Layout, img.Digest)
	if err != nil {
		return false
	}
	for _, d := range append([]ocispecs.Descriptor{m.Config}, m.Layers...) {
		if info, err := os.Stat(img.Blob(d.Digest)); err != nil || info.Size() != d.Size {
			return false
		}
	}
	return true
}

// fetch makes the image's folder a layout. Each blob appears whole, so that an interrupted fetch is taken up where
// it was left, and several may be under way.
func (o Options) fetch(ctx context.Context, from v1.Image, img Image) error {
	raw, err := from.RawManifest()
	if err != nil {
		return err
	}
	var m ocispecs.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return fmt.Errorf("manifest %s: %w", img.Digest, err)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelBlobs)
	for _, d := range m.Layers {
		group.Go(func() error {
			h, err := v1.NewHash(d.Digest.String())
			if err != nil {
				return err
			}
			layer, err := from.LayerByDigest(h)
			if err != nil {
				return err
			}
			return o.fetchBlob(ctx, img, d, layer.Compressed)
		})
	}
	group.Go(func() error {
		return o.fetchBlob(ctx, img, m.Config, func() (io.ReadCloser, error) {
			b, err := from.RawConfigFile()
			return io.NopCloser(bytes.NewReader(b)), err
		})
	})
	if err := group.Wait(); err != nil {
		return err
	}
	mediaType, err := from.MediaType()
	if err != nil {
		return err
	}
	index, err := json.Marshal(ocispecs.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispecs.MediaTypeImageIndex,
		Manifests: []ocispecs.Descriptor{{MediaType: string(mediaType), Digest: img.Digest, Size: int64(len(raw))}},
	})
	if err != nil {
		return err
	}
	return errors.Join(
		writeFile(filepath.Join(img.Layout, ocispecs.ImageLayoutFile), []byte(`{"imageLayoutVersion":"`+ocispecs.ImageLayoutVersion+`"}`)),
		writeFile(filepath.Join(img.Layout, ocispecs.ImageIndexFile), index),
		writeFile(img.Blob(img.Digest), raw),
	)
}

// fetchBlob streams a blob to its place, unless it is there, and checks it on the way.
func (o Options) fetchBlob(ctx context.Context, img Image, d ocispecs.Descriptor, open func() (io.ReadCloser, error)) error {
	if err := d.Digest.Validate(); err != nil {
		return fmt.Errorf("digest %q: %w", d.Digest, err)
	}
	if info, err := os.Stat(img.Blob(d.Digest)); err == nil && info.Size() == d.Size {
		return nil
	}
	rc, err := open()
	if err != nil {
		return fmt.Errorf("fetching %s: %w", d.Digest, err)
	}
	defer rc.Close()
	verifier := d.Digest.Verifier()
	n, err := replaceFile(img.Blob(d.Digest), func(w io.Writer) (int64, error) {
		n, err := io.Copy(io.MultiWriter(w, verifier), &counted{ctx: ctx, r: io.LimitReader(rc, d.Size+1), count: o.Progress})
		if err == nil && (n != d.Size || !verifier.Verified()) {
			err = fmt.Errorf("what came is something else (%d bytes, want %d)", n, d.Size)
		}
		return n, err
	})
	if err != nil {
		return fmt.Errorf("fetching %s after %d bytes: %w", d.Digest, n, err)
	}
	return nil
}

// counted tells how much was read, and ends with its context.
type counted struct {
	ctx   context.Context //nolint:containedctx // a reader has nowhere else for it
	r     io.Reader
	count func(int64)
}

func (c *counted) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.r.Read(p)
	if c.count != nil && n > 0 {
		c.count(int64(n))
	}
	return n, err
}

// readNote reads which digest a reference last had.
func readNote(path string) (digest.Digest, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	d := digest.Digest(b)
	return d, d.Validate()
}

func writeFile(path string, b []byte) error {
	_, err := replaceFile(path, func(w io.Writer) (int64, error) {
		n, err := w.Write(b)
		return int64(n), err
	})
	return err
}

// replaceFile writes a file beside its place and moves it there when it is whole.
func replaceFile(path string, write func(io.Writer) (int64, error)) (n int64, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return 0, err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return 0, err
	}
	defer func() {
		if rmErr := os.Remove(f.Name()); rmErr != nil && !errors.Is(rmErr, fs.ErrNotExist) {
			err = errors.Join(err, rmErr)
		}
	}()
	n, err = write(f)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return n, err
	}
	return n, os.Rename(f.Name(), path)
}
