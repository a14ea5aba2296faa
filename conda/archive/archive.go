// Package archive reads conda packages (.conda and .tar.bz2) safely and as streams: nothing that it hands out leads out of
// the prefix, nothing is unpacked to disk, and memory stays bounded whatever a package holds.
package archive

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"time"
)

// Type is what an entry is.
type Type string

// The types of entries that a package may hold; everything else is refused.
const (
	Regular   Type = "file"
	Symlink   Type = "symlink"
	Hardlink  Type = "hardlink"
	Directory Type = "directory"
)

// Entry is one member of a package, with a path that is safe to join to a prefix.
type Entry struct {
	Path    string // relative to the package's root, slash-separated and clean
	Type    Type
	Mode    fs.FileMode // permission bits as the archive has them
	ModTime time.Time
	Size    int64  // bytes of a regular file
	Link    string // a symlink's target as written; a hard link's target as a clean path of the package
}

// Limits bounds what a package may unpack to. A zero field means its default.
type Limits struct {
	TotalBytes int64 // all files together, 64 GiB by default
	FileBytes  int64 // one file, 32 GiB by default
	InfoBytes  int64 // one file of info/ that is read into memory, 64 MiB by default
	Entries    int   // number of entries, 2,000,000 by default
}

// Options tells how an archive is read.
type Options struct {
	Name   string // how messages name the package; the file's name by default
	Limits Limits
}

// Reader reads one package. It may be read several times, but not concurrently.
type Reader struct{}

// Open opens the package at path; its format is told by its content, and must agree with its name.
func Open(path string, opts Options) (*Reader, error) {
	_, _ = path, opts
	return nil, errors.New("archive: not written yet")
}

// Close closes the file that Open opened.
func (r *Reader) Close() error { return nil }

// Info calls yield for the entries below info/, in archive order.
func (r *Reader) Info(ctx context.Context, yield func(Entry, io.Reader) error) error {
	_, _ = ctx, yield
	return errors.New("archive: not written yet")
}

// Payload calls yield for all entries that are not below info/, in archive order.
func (r *Reader) Payload(ctx context.Context, yield func(Entry, io.Reader) error) error {
	_, _ = ctx, yield
	return errors.New("archive: not written yet")
}
