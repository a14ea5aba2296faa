package condatest

import (
	"cmp"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/version"
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
	Build       string // default "0"
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
	Legacy bool // as before 2017: info/files, has_prefix and no_link only, no paths.json
	// Info replaces or adds files below info/ or, where the body is empty, leaves them out.
	Info map[string]string
	// Patch changes the record that the channel's repodata has of the package, not the package.
	Patch func(*conda.Record)
}

// File is one file of a Package.
type File struct {
	Path     string
	Body     string
	Mode     fs.FileMode // default 0644, 0755 below bin/; with fs.ModeDir it is a directory
	Link     string      // target: makes it a symbolic link
	HardLink string      // path of an earlier file: makes it a hard link in the archive

	Prefix      PrefixMode // whether and how the placeholder in it is to be replaced
	Placeholder string     // default Placeholder, where Prefix is set
	NoLink      bool       // to be copied, never linked
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
	Record   *conda.Record // as repodata has it, without Channel and URL
}

// Archive makes the package's archive: genuine, and the same bytes each time.
func (p Package) Archive(t testing.TB) Archive {
	t.Helper()
	p = p.withDefaults()
	record := p.record(t)
	info, payload, err := p.members(record)
	require.NoError(t, err, "making package %s", p.Name)
	a := Archive{FileName: record.FileName, Record: record}
	if p.Format == TarBz2 {
		a.Bytes, err = tarBz2(append(info, payload...))
	} else {
		a.Bytes, err = condaZip(record.Dist(), info, payload)
	}
	require.NoError(t, err, "making package %s", p.Name)
	record.SHA256 = sum256(a.Bytes)
	record.MD5 = sumMD5(a.Bytes)
	record.Size = int64(len(a.Bytes))
	if p.Patch != nil {
		p.Patch(record)
	}
	return a
}

// File makes the archive and writes it into dir; it returns the path.
func (p Package) File(t testing.TB, dir string) string {
	t.Helper()
	a := p.Archive(t)
	path := filepath.Join(dir, a.FileName)
	require.NoError(t, os.WriteFile(path, a.Bytes, 0o644))
	return path
}

func (p Package) withDefaults() Package {
	p.Version = cmp.Or(p.Version, "1.0")
	p.Build = cmp.Or(p.Build, "0")
	p.Format = cmp.Or(p.Format, Conda)
	if p.Subdir == "" {
		p.Subdir = conda.Linux64
		if p.NoArch != conda.NoArchNone {
			p.Subdir = conda.NoArchSubdir
		}
	}
	files := make([]File, 0, len(p.Files)+2)
	for _, f := range p.Files {
		files = append(files, f.withDefaults())
	}
	for _, script := range []struct{ stage, body string }{{"pre-link", p.PreLink}, {"post-link", p.PostLink}} {
		if script.body != "" {
			files = append(files, File{Path: "bin/." + p.Name + "-" + script.stage + ".sh", Body: script.body, Mode: 0o755})
		}
	}
	p.Files = files
	return p
}

func (f File) withDefaults() File {
	if f.Prefix != "" {
		f.Placeholder = cmp.Or(f.Placeholder, Placeholder)
	}
	if f.Mode.Perm() == 0 {
		f.Mode |= 0o644
		if f.Mode.IsDir() || strings.HasPrefix(f.Path, "bin/") {
			f.Mode |= 0o755
		}
	}
	f.Path = path.Clean(f.Path)
	return f
}

// record is the package's record, without what is known only of its bytes.
func (p Package) record(t testing.TB) *conda.Record {
	t.Helper()
	name, err := conda.ParsePackageName(p.Name)
	require.NoError(t, err)
	v, err := version.Parse(p.Version)
	require.NoError(t, err, "version of package %s", p.Name)
	r := &conda.Record{
		Name: name, Version: v, Build: p.Build, BuildNumber: p.BuildNumber, Subdir: p.Subdir, NoArch: p.NoArch,
		Depends: p.Depends, Constrains: p.Constrains, TrackFeatures: p.TrackFeatures,
		License: p.License, Timestamp: p.Timestamp, PythonSitePackagesPath: p.PythonSitePackagesPath,
	}
	r.FileName = r.Dist() + string(p.Format)
	return r
}

func sum256(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func sumMD5(b []byte) string {
	s := md5.Sum(b)
	return hex.EncodeToString(s[:])
}
