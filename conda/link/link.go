// Package link says which files a package puts in a prefix, and with which bytes, as conda would: a stream, no disk needed.
package link

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"time"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/archive"
)

// Target is the environment that packages are linked into.
type Target struct {
	Prefix string       // absolute and clean, "/opt/conda"
	Subdir conda.Subdir // the platform of the environment
	Python *Python      // the environment's python; nil when it has none
}

// Python is what noarch python packages need to know of the environment's interpreter.
type Python struct {
	Version      string // major and minor, "3.11"
	SitePackages string // relative to the prefix, "lib/python3.11/site-packages"
	Path         string // the interpreter, relative to the prefix, "bin/python3.11"
}

// Type is what a file in the prefix is.
type Type string

// The types of files that a package puts in a prefix.
const (
	Regular   Type = "file"
	Symlink   Type = "symlink"
	Hardlink  Type = "hardlink" // to another path of the same package, which was handed out before
	Directory Type = "directory"
)

// File is one file of the prefix, known before its bytes are.
type File struct {
	Path    string // relative to the prefix, slash-separated and clean
	Type    Type
	Mode    fs.FileMode // permission bits: 0755 or 0644 unless the package has good reason
	ModTime time.Time   // the archive's for what the archive holds; the record's timestamp for what conda renders
	Size    int64       // bytes that the reader gives; 0 for anything but a regular file
	Link    string      // a symlink's target as written; a hard link's target relative to the prefix
}

// Path is what is known of a file in the prefix after it was handed out: enough to write conda-meta, and to settle
// clobbers between packages without reading the archive again. Paths have conda's order.
type Path struct {
	Path   string      `json:"path"` // relative to the prefix, where the file is
	Type   Type        `json:"type"`
	Mode   fs.FileMode `json:"mode,omitempty"`
	Size   int64       `json:"size,omitempty"`   // bytes in the prefix
	SHA256 string      `json:"sha256,omitempty"` // of the bytes in the prefix; of a hard link, its target's
	Link   string      `json:"link,omitempty"`   // as File.Link

	Meta MetaPath `json:"meta"`
}

// MetaPath is what conda-meta says of a path: the package's own words of info/paths.json, with conda's additions.
type MetaPath struct {
	Path           string `json:"_path"` // as the package has it: "site-packages/…" for noarch python
	PathType       string `json:"path_type"`
	SHA256         string `json:"sha256,omitempty"` // of the bytes in the archive
	SizeInBytes    *int64 `json:"size_in_bytes,omitempty"`
	SHA256InPrefix string `json:"sha256_in_prefix,omitempty"`
	FileMode       string `json:"file_mode,omitempty"`
	Placeholder    string `json:"prefix_placeholder,omitempty"`
	NoLink         bool   `json:"no_link,omitempty"`
}

// EntryPoint is a command of a noarch python package: "name = module:function".
type EntryPoint struct {
	Command  string `json:"command"`
	Module   string `json:"module"`
	Function string `json:"function"`
}

// Scripts are the package's files that conda runs or sources, relative to the prefix; "" and nil where it has none.
type Scripts struct {
	PreLink    string   `json:"pre_link,omitempty"`
	PostLink   string   `json:"post_link,omitempty"`
	PreUnlink  string   `json:"pre_unlink,omitempty"`
	PostUnlink string   `json:"post_unlink,omitempty"`
	Activate   []string `json:"activate,omitempty"`   // etc/conda/activate.d/*.sh
	Deactivate []string `json:"deactivate,omitempty"` // etc/conda/deactivate.d/*.sh
	EnvVars    []string `json:"env_vars,omitempty"`   // etc/conda/env_vars.d/*.json
}

// Bytecode is a python file of a noarch package and the file that conda compiles it to, relative to the prefix.
type Bytecode struct {
	Source string `json:"source"`
	Path   string `json:"path"`
}

// Package is what became known of a package while its files were handed out. It survives JSON.
type Package struct {
	Paths       []Path          `json:"paths"`
	EntryPoints []EntryPoint    `json:"entry_points,omitempty"`
	Scripts     Scripts         `json:"scripts"`
	Bytecode    []Bytecode      `json:"bytecode,omitempty"` // what conda would compile
	Index       json.RawMessage `json:"index"`              // info/index.json
	About       json.RawMessage `json:"about,omitempty"`    // info/about.json
	NoArch      conda.NoArch    `json:"noarch,omitempty"`
	Warnings    []string        `json:"warnings,omitempty"`
}

// Files hands the files that the package puts in the target's prefix to emit, with their final bytes, in archive order; a
// hard link comes after its target, and what conda renders (entry points) comes last. The reader is nil for anything but a
// regular file, need not be read to its end, and is valid during the call only. Parent directories are not
// handed out: only those that the package itself lists, usually empty ones.
func Files(ctx context.Context, archivePath string, rec *conda.Record, t Target, emit func(File, io.Reader) error) (Package, error) {
	return Linker{}.Files(ctx, archivePath, rec, t, emit)
}

// Linker is Files with options.
type Linker struct {
	Limits archive.Limits // what a package may unpack to
}

// Files is the package's function of that name under the linker's options.
func (l Linker) Files(ctx context.Context, archivePath string, rec *conda.Record, t Target, emit func(File, io.Reader) error) (Package, error) {
	_, _, _, _, _ = ctx, archivePath, rec, t, emit
	return Package{}, errors.New("link: not written yet")
}

// WithBytecode is the package with its compiled python files among its paths, for environments that have them.
func (p Package) WithBytecode() Package { return p }

// MetaRecord is conda-meta/DIST.json, with the fields and the order of conda's.
func MetaRecord(p Package, rec *conda.Record, requestedSpec string) ([]byte, error) {
	_, _, _ = p, rec, requestedSpec
	return nil, errors.New("link: not written yet")
}

// Revision is one entry of conda-meta/history.
type Revision struct {
	Time    time.Time // from SOURCE_DATE_EPOCH
	Command string    // the command line that made it
	Tool    string    // name and version of the tool, "conda2docker 1.0.0"
	Records []*conda.Record
	Specs   []string // the specs that the user asked for
}

// History is conda-meta/history of a new environment.
func History(r Revision) []byte {
	_ = r
	return nil
}
