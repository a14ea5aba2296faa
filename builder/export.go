package builder

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// errNotEmpty is what a rename to a folder with content answers.
const errNotEmpty = syscall.ENOTEMPTY

// Output is a place that an image is exported to.
type Output struct {
	Type string // "oci-dir" (a folder) or "oci" (a tar file)
	Path string
	Name string // the reference that the layout names the image by; may be empty
}

// Kinds of outputs.
const (
	OCIDir = "oci-dir"
	OCITar = "oci"
)

// annotationImageName is where containerd and Docker look for an image's full name.
const annotationImageName = "io.containerd.image.name"

// ExportTo writes the image to its final place, which appears at once and whole. What is there already is replaced
// if it is a file, or a layout.
func (i Image) ExportTo(ctx context.Context, o Output) error {
	desc, err := i.named(o.Name)
	if err != nil {
		return fmt.Errorf("exporting to %s: %w", o.Path, err)
	}
	export := i.exportTar
	switch o.Type {
	case OCIDir:
		export = i.exportDir
	case OCITar:
	default:
		return fmt.Errorf("exporting to %s: output type %q: want %s or %s", o.Path, o.Type, OCIDir, OCITar)
	}
	path, err := filepath.Abs(o.Path)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("exporting to %s: %w", o.Path, err)
	}
	if err := export(ctx, path, desc, o.Name); err != nil {
		return fmt.Errorf("exporting to %s: %w", o.Path, err)
	}
	return nil
}

// named is the image's descriptor as an index has it that gives it a name.
func (i Image) named(ref string) (ocispecs.Descriptor, error) {
	desc := i.Descriptor
	if ref == "" {
		return desc, nil
	}
	parsed, err := name.ParseReference(ref)
	if err != nil {
		return desc, err
	}
	desc.Annotations = map[string]string{annotationImageName: parsed.Name()}
	if tag, ok := parsed.(name.Tag); ok {
		desc.Annotations[ocispecs.AnnotationRefName] = tag.TagStr()
	}
	return desc, nil
}

// blobs are the digests of all that belongs to the image, each once, sorted.
func (i Image) blobs() []digest.Digest {
	all := []digest.Digest{i.Digest, i.Manifest.Config.Digest}
	for _, l := range i.Manifest.Layers {
		all = append(all, l.Digest)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Blob is the file that holds one of the image's blobs.
func (i Image) Blob(d digest.Digest) string { return filepath.Join(i.Layout, blobsDir, d.Encoded()) }

func (i Image) exportDir(ctx context.Context, path string, desc ocispecs.Descriptor, _ string) error {
	if err := replaceable(path); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(path), unfinished)
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)                                                                                     // moved away, when all went well
	if err := errors.Join(os.Chmod(tmp, 0o755), os.MkdirAll(filepath.Join(tmp, blobsDir), 0o755)); err != nil { //nolint:gosec // a layout is for other programs to read
		return err
	}
	for _, d := range i.blobs() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := linkOrCopy(i.Blob(d), filepath.Join(tmp, blobsDir, d.Encoded())); err != nil {
			return err
		}
	}
	if err := writeIndex(tmp, desc); err != nil {
		return err
	}
	old := tmp + "-old"
	defer os.RemoveAll(old) // only there if something was replaced
	if err := os.Rename(path, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(tmp, path)
}

// replaceable refuses to overwrite what is not a layout.
func replaceable(path string) error {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) || (err == nil && len(entries) == 0) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(path, ocispecs.ImageLayoutFile)); err != nil {
		return errors.New("the folder holds something else than an OCI layout: name another, or empty it")
	}
	return nil
}

// exportTar writes the image to a tar file.
func (i Image) exportTar(ctx context.Context, path string, desc ocispecs.Descriptor, ref string) error {
	path, inPlace, err := Destination(path)
	if err != nil {
		return err
	}
	if inPlace {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(i.writeTar(ctx, f, desc, ref), f.Close())
	}
	f, err := os.CreateTemp(filepath.Dir(path), unfinished)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // moved away, when all went well
	if err := errors.Join(i.writeTar(ctx, f, desc, ref), f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// writeTar streams the layout into a tar archive, with what older Docker versions look for beside it.
func (i Image) writeTar(ctx context.Context, out io.Writer, desc ocispecs.Descriptor, ref string) error {
	index, marker, err := layoutFiles(desc)
	if err != nil {
		return err
	}
	legacy, err := i.dockerManifest(ref)
	if err != nil {
		return err
	}
	w := tar.NewWriter(out)
	for _, e := range []struct {
		name string
		body []byte
	}{{ocispecs.ImageLayoutFile, marker}, {ocispecs.ImageIndexFile, index}, {"manifest.json", legacy}} {
		if err := writeEntry(w, e.name, int64(len(e.body)), bytes.NewReader(e.body)); err != nil {
			return err
		}
	}
	for _, dir := range []string{"blobs/", blobsDir + "/"} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755, ModTime: time.Unix(0, 0)}); err != nil {
			return err
		}
	}
	for _, d := range i.blobs() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := i.writeBlob(w, d); err != nil {
			return err
		}
	}
	return w.Close()
}

func (i Image) writeBlob(w *tar.Writer, d digest.Digest) error {
	f, err := os.Open(i.Blob(d))
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return writeEntry(w, blobsDir+"/"+d.Encoded(), info.Size(), f)
}

func writeEntry(w *tar.Writer, name string, size int64, body io.Reader) error {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: size, ModTime: time.Unix(0, 0)}
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err := io.Copy(w, body)
	return err
}

// dockerManifest is the manifest.json of docker save.
func (i Image) dockerManifest(ref string) ([]byte, error) {
	type entry struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	e := entry{Config: blobsDir + "/" + i.Manifest.Config.Digest.Encoded()}
	if ref != "" {
		e.RepoTags = []string{ref}
	}
	for _, l := range i.Manifest.Layers {
		e.Layers = append(e.Layers, blobsDir+"/"+l.Digest.Encoded())
	}
	return json.Marshal([]entry{e})
}
