package condatest

import (
	"io/fs"
	"testing"

	"github.com/datalayer/conda2docker/conda"
)

// Format is a package archive's format (CEP 35).
type Format string

// The formats.
const (
	Conda  Format = ".conda" // the default
	TarBz2 Format = ".tar.bz2"
)

// Placeholder is the prefix that files of a Package say they were built in, unless they name another.
const Placeholder = "/home/builder/placehold_placehold_placehold_placehold_placehold_placehold"

// Package describes a package to be made. Only Name is needed.
type Package struct {
	Name        string
	Version     string // default "1.0"
	Build       string // default "0", or "py_0" and so on where the test says so
	BuildNumber int64
	Subdir      conda.Subdir // default linux-64, or noarch where NoArch is set
	NoArch      conda.NoArch

	Depends       []string
	Constrains    []string
	TrackFeatures []string

	License                string
	Timestamp              int64  // milliseconds since 1970
	PythonSitePackagesPath string // CEP 17

	Files       []File
	EntryPoints []string // "name = module:function", of noarch python
	PreLink     string   // body of bin/.NAME-pre-link.sh
	PostLink    string   // body of bin/.NAME-post-link.sh
	About       map[string]any

	Format Format
	Legacy bool // info/files, has_prefix and no_link instead of paths.json, as before 2017
	// Info replaces or adds (or, with an empty body, leaves out) files below info/, for malformed packages.
	Info map[string]string
}

// File is one file of a Package.
type File struct {
	Path string
	Body string
	Mode fs.FileMode // default 0644; 0755 below bin/
	Link string      // target: makes it a symbolic link

	Prefix      PrefixMode // whether and how the placeholder in it is to be replaced
	Placeholder string     // default Placeholder, where Prefix is set
	NoLink      bool       // to be copied, not linked
}

// PrefixMode says how a prefix placeholder is replaced.
type PrefixMode string

// The modes.
const (
	Text   PrefixMode = "text"
	Binary PrefixMode = "binary"
)

// Archive is a package's archive.
type Archive struct {
	FileName string
	Bytes    []byte
	Record   *conda.Record // without Channel and URL
}

// Archive makes the package's archive: genuine, and the same bytes each time.
func (p Package) Archive(t testing.TB) Archive {
	t.Helper()
	return Archive{}
}

// File makes the archive and writes it below dir; it returns the path.
func (p Package) File(t testing.TB, dir string) string {
	t.Helper()
	return dir
}
