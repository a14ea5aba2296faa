package sbom

import (
	"io/fs"
	"time"

	stereofile "github.com/anchore/stereoscope/pkg/file"
	"github.com/anchore/syft/syft/artifact"
	"github.com/anchore/syft/syft/file"
	"github.com/anchore/syft/syft/pkg"
	syftsbom "github.com/anchore/syft/syft/sbom"

	"github.com/datalayer/conda2docker/conda"
)

// File is a regular file that the building of the image made or changed and that no package's record has. It is listed by itself,
// beside the packages.
type File struct {
	Package      conda.PackageName // the package whose script made it: that contains it; "" for the image
	Path         string            // absolute
	Layer        string            // diffID of the layer that has it
	Mode         int64             // permission bits
	Size         int64
	SHA1, SHA256 string // SPDX asks for the former
}

// add lists the file.
func (f File) add(s *syftsbom.SBOM, owners map[string]pkg.Package) {
	at := file.Coordinates{RealPath: f.Path, FileSystemID: f.Layer}
	s.Artifacts.FileMetadata[at] = file.Metadata{
		FileInfo: stereofile.ManualInfo{NameValue: f.Path, SizeValue: f.Size, ModeValue: fs.FileMode(f.Mode & 0o777), ModTimeValue: time.Unix(0, 0)},
		Path:     f.Path, Type: stereofile.TypeRegular,
	}
	s.Artifacts.FileDigests[at] = []file.Digest{{Algorithm: "sha1", Value: f.SHA1}, {Algorithm: "sha256", Value: f.SHA256}}
	if owner, ok := owners[string(f.Package)]; ok {
		s.Relationships = append(s.Relationships, artifact.Relationship{From: owner, To: at, Type: artifact.ContainsRelationship})
	}
}

// addFiles lists files that the building made, each path once, with the packages of the prefix that they are of.
func addFiles(s *syftsbom.SBOM, files []File, prefix string) {
	if len(files) == 0 {
		return
	}
	owners := map[string]pkg.Package{}
	for _, p := range s.Artifacts.Packages.Sorted(pkg.CondaPkg) {
		if prefixOf(p.Locations.ToSlice()[0]) == prefix {
			owners[p.Name] = p
		}
	}
	if s.Artifacts.FileMetadata == nil {
		s.Artifacts.FileMetadata = map[file.Coordinates]file.Metadata{}
	}
	if s.Artifacts.FileDigests == nil {
		s.Artifacts.FileDigests = map[file.Coordinates][]file.Digest{}
	}
	for _, f := range files {
		f.add(s, owners)
	}
}
