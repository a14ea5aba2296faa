package container

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"golang.org/x/sys/unix"
)

// rootName is the folder of a bundle that has the image's files.
const rootName = "rootfs"

// Unpack writes an image's files into a bundle, which is a folder that is made if needed.
func Unpack(image v1.Image, bundle string) error {
	root := filepath.Join(bundle, rootName)
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	flat := mutate.Extract(image)
	defer flat.Close()
	return unpack(tar.NewReader(flat), root)
}

// unpack writes a tar's files below root.
func unpack(tr *tar.Reader, root string) error {
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		to := filepath.Join(root, filepath.Clean("/"+h.Name))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		switch h.Typeflag {
		case tar.TypeDir:
			err = os.MkdirAll(to, 0o755)
		case tar.TypeSymlink:
			err = os.Symlink(h.Linkname, to)
		case tar.TypeLink:
			err = os.Link(filepath.Join(root, filepath.Clean("/"+h.Linkname)), to)
		case tar.TypeReg:
			err = unpackFile(tr, to)
		default:
			continue // devices: the runtime brings its own
		}
		if err != nil {
			return err
		}
		if err := os.Lchown(to, h.Uid, h.Gid); err != nil {
			return err
		}
		if h.Typeflag == tar.TypeDir || h.Typeflag == tar.TypeReg {
			if err := unix.Chmod(to, uint32(h.Mode)&0o7777); err != nil {
				return err
			}
		}
		if h.Typeflag == tar.TypeReg {
			if err := os.Chtimes(to, h.ModTime, h.ModTime); err != nil {
				return err
			}
		}
	}
}

func unpackFile(r io.Reader, to string) error {
	f, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}
