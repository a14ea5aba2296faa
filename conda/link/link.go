// Package link says which files a package puts in a prefix, and with which bytes, as conda would: a stream, no disk needed.
//
// What differs from conda 26.7, each held by a test:
//   - Modes: what the owner may read or execute everybody may, since the prefix is root's; set-uid bits are dropped.
//   - Times: a file keeps the archive's time, also where its prefix was replaced; what conda renders has the record's.
//   - Hard links inside of a package stay hard links; conda links every file to its package cache.
//   - A path of the type "directory" is made (conda refuses the package) and is not among the record's files.
//   - A string of more than 1 MiB in a binary file has its prefix replaced even if no NUL ends it, as rattler does it.
//   - A prefix that holds the placeholder, /opt/conda for /opt, is put once in a first line "#!/opt/…"; conda puts it twice.
//   - A NUL of UTF-16 and UTF-32 is looked for where a character may begin, and not in the middle of two.
//   - A file that an entry point takes the place of is listed once.
//   - sha256_in_prefix is that of the bytes in the prefix, also where info/paths.json has another one, of which it warns.
//   - Refused: absolute symbolic links and those that lead out of the package, paths that are in an archive twice, archives
//     with another name, version or build than the record, and lists that are missing though there are files.
package link

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
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
	SitePackages string // relative to the prefix, "lib/python3.11/site-packages", which is the default (CEP 17)
	Path         string // the interpreter, relative to the prefix, "bin/python3.11", which is the default
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
	Mode    fs.FileMode // permission bits; the owner's write bit is the archive's, everybody may read what the owner may
	ModTime time.Time   // the archive's, in whole seconds; the record's timestamp for what conda renders
	Size    int64       // bytes that the reader gives; 0 for anything but a regular file
	Link    string      // a symlink's target as written; a hard link's target relative to the prefix
}

// Path is what is known of a file in the prefix after it was handed out: enough to write conda-meta, and to settle
// clobbers between packages without reading the archive again. Paths have conda's order.
type Path struct {
	Path   string      `json:"path"` // relative to the prefix, where the file is
	Type   Type        `json:"type"`
	Mode   fs.FileMode `json:"mode,omitempty"`
	Size   int64       `json:"size,omitempty"`   // bytes in the prefix; of a hard link, its target's
	SHA256 string      `json:"sha256,omitempty"` // of the bytes in the prefix; of a hard link, its target's
	Link   string      `json:"link,omitempty"`   // as File.Link

	Meta MetaPath `json:"meta"`
}

// MetaPath is what conda-meta says of a path: the package's own words of info/paths.json, with conda's additions, and
// with conda's order of the fields.
type MetaPath struct {
	Path           string   `json:"_path"` // as the package has it: "site-packages/…" for noarch python
	Placeholder    string   `json:"prefix_placeholder,omitempty"`
	FileMode       string   `json:"file_mode,omitempty"`
	NoLink         bool     `json:"no_link,omitempty"`
	PathType       string   `json:"path_type"`
	SHA256         string   `json:"sha256,omitempty"` // of the bytes in the archive
	SizeInBytes    *int64   `json:"size_in_bytes,omitempty"`
	InodePaths     []string `json:"inode_paths,omitempty"`
	SHA256InPrefix string   `json:"sha256_in_prefix,omitempty"`
}

// pathTypeDirectory is the path type of directories, which packages list where they would be empty.
const pathTypeDirectory = "directory"

// The path types of conda-meta that no package has: conda makes these files.
const (
	pathTypePyc        = "pyc_file"
	pathTypeEntryPoint = "unix_python_entry_point"
)

// Package is what became known of a package while its files were handed out. It survives JSON.
type Package struct {
	Prefix      string          `json:"prefix"`
	Paths       []Path          `json:"paths"`
	EntryPoints []EntryPoint    `json:"entry_points,omitempty"`
	Scripts     Scripts         `json:"scripts"`
	Bytecode    []Bytecode      `json:"bytecode,omitempty"` // what conda would compile
	NoArch      conda.NoArch    `json:"noarch,omitempty"`   // how it was linked
	Index       json.RawMessage `json:"index"`              // info/index.json
	About       json.RawMessage `json:"about,omitempty"`    // info/about.json
	Warnings    []string        `json:"warnings,omitempty"`
}

// Safety is what happens to a package whose files differ in size or sha256 from its own list of them, by the words of conda's
// safety_checks. The archive's own sums are the channel's, and are checked when it is fetched; a list that is wrong is a
// fault of the package's build. conda looks at the sizes, and at sha256 with extra_safety_checks only; here both are always
// looked at, since the bytes pass by anyhow.
type Safety string

// What may happen. The empty Safety is SafetyWarn.
const (
	SafetyWarn     Safety = "warn"     // the package has warnings
	SafetyEnabled  Safety = "enabled"  // it is refused
	SafetyDisabled Safety = "disabled" // nothing
)

// Linker is Files with options.
type Linker struct {
	Limits   archive.Limits    // what a package may unpack to
	Decoders *archive.Decoders // shared by the packages that are linked; nil shares nothing
	Safety   Safety            // what happens to packages whose files differ from their own list
	// Directories, where it is set, is told which directories the package needs before any file is handed out: those that lead to
	// its files, and those that it lists. They are sorted, so that each comes after the one that it is in; "." is the prefix.
	Directories func([]string) error
}

// Files hands the files that the package puts in the target's prefix to emit, with their final bytes, in archive order; a
// hard link comes after its target, and what conda renders (entry points) comes last. The reader is nil for anything but a
// regular file, need not be read to its end, and is valid during the call only. Parent directories are not handed out:
// only those that the package itself lists, usually empty ones.
func (l Linker) Files(ctx context.Context, archivePath string, rec *conda.Record, t Target, emit func(File, io.Reader) error) (Package, error) {
	p, err := l.files(ctx, archivePath, rec, t, emit)
	if err != nil {
		return Package{}, fmt.Errorf("linking %s: %w", rec, err)
	}
	return p, nil
}

func (l Linker) files(ctx context.Context, archivePath string, rec *conda.Record, t Target, emit func(File, io.Reader) error) (Package, error) {
	t, err := t.complete()
	if err != nil {
		return Package{}, err
	}
	switch l.Safety {
	case "", SafetyWarn, SafetyEnabled, SafetyDisabled:
	default:
		return Package{}, fmt.Errorf("safety checks %q: want warn, enabled or disabled", l.Safety)
	}
	name := rec.FileName
	if name == "" {
		name = filepath.Base(archivePath)
	}
	r, err := archive.Open(archivePath, archive.Options{Name: name, Limits: l.Limits, Decoders: l.Decoders})
	if err != nil {
		return Package{}, err
	}
	pkg, err := l.linkArchive(ctx, r, rec, t, emit)
	return pkg, errors.Join(err, r.Close())
}

func (l Linker) linkArchive(ctx context.Context, r *archive.Reader, rec *conda.Record, t Target, emit func(File, io.Reader) error) (Package, error) {
	info, err := readInfo(ctx, r)
	if err != nil {
		return Package{}, err
	}
	p, err := newPlan(info, rec, t)
	if err != nil {
		return Package{}, err
	}
	info.paths = nil // the plan has them
	if l.Directories != nil {
		if err := l.Directories(p.directories()); err != nil {
			return Package{}, err
		}
	}
	s := &stream{ctx: ctx, archive: r, limit: l.Limits.WithDefaults().FileBytes, safety: l.Safety, plan: p, emit: emit}
	if err := s.run(); err != nil {
		return Package{}, err
	}
	pkg := Package{
		Prefix: t.Prefix, Paths: s.paths(), EntryPoints: p.entryPoints, Bytecode: p.bytecode(), NoArch: p.noarch,
		Index: info.index, About: info.about, Warnings: append(p.warnings, s.warnings()...),
	}
	pkg.Scripts = findScripts(rec.Name, pkg.Paths)
	return pkg, nil
}

// complete checks a target and sets its defaults.
func (t Target) complete() (Target, error) {
	if !path.IsAbs(t.Prefix) || path.Clean(t.Prefix) != t.Prefix || t.Prefix == "/" {
		return t, fmt.Errorf("prefix %q: want an absolute path without a trailing slash, such as /opt/conda", t.Prefix)
	}
	if t.Python == nil {
		return t, nil
	}
	py := *t.Python
	if py.SitePackages == "" {
		py.SitePackages = "lib/python" + py.Version + "/site-packages"
	}
	if py.Path == "" {
		py.Path = "bin/python" + py.Version
	}
	for _, p := range []string{py.SitePackages, py.Path} {
		if clean, err := archive.CleanPath(p); err != nil || clean != p {
			return t, fmt.Errorf("python %s: the path %q is not one below the prefix", py.Version, p)
		}
	}
	t.Python = &py
	return t, nil
}
