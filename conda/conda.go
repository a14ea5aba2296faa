// Package conda holds the nouns of the Conda ecosystem (records, channels, subdirs, package names), and the order in which
// records are linked: values without I/O.
package conda

import (
	"fmt"
	"strings"

	"github.com/datalayer/conda2docker/conda/version"
)

// NoArch says whether a package is independent of the platform, and how it is linked (CEP 34).
type NoArch string

// The kinds of noarch packages.
const (
	NoArchNone    NoArch = ""        // built for one platform
	NoArchGeneric NoArch = "generic" // linked as it is
	NoArchPython  NoArch = "python"  // linked below the environment's own site-packages
)

// Record is one package of a channel's index: one entry of repodata.json (CEP 36). Records are shared by
// pointer and are never changed after they were made.
type Record struct {
	Name        PackageName
	Version     version.Version
	Build       string // the build string, e.g. "py311h64a7726_0"
	BuildNumber int64
	Subdir      Subdir
	NoArch      NoArch

	Depends       []string // MatchSpecs of the packages that this one needs
	Constrains    []string // MatchSpecs that hold for packages if they are installed
	TrackFeatures []string
	Features      string

	Extras map[string][]string // MatchSpecs that each optional dependency group adds to Depends (CEP 44)
	Flags  []string            // what a MatchSpec can ask for (CEP 45); a record that has some is as good as one that has none

	License       string
	LicenseFamily string
	Timestamp     int64 // milliseconds since 1970, 0 when not known

	MD5    string // lower-case hex, "" when not known
	SHA256 string // lower-case hex, "" when not known
	Size   int64  // bytes of the archive, 0 when not known

	PythonSitePackagesPath string // CEP 17; only on python itself

	Channel  Channel
	FileName string // the archive's name, e.g. "numpy-1.26.4-py311h64a7726_0.conda"
	URL      string // where the archive is, without credentials and without a mirror's name
}

// Dist is the record's "name-version-build", the stem of its archive's and its conda-meta record's name.
func (r *Record) Dist() string {
	return string(r.Name) + "-" + r.Version.String() + "-" + r.Build
}

// SplitDist splits what Dist joins: neither a version nor a build string has a "-" in it.
func SplitDist(dist string) (name, version, build string, ok bool) {
	b := strings.LastIndexByte(dist, '-')
	v := strings.LastIndexByte(dist[:max(b, 0)], '-')
	if v < 0 {
		return "", "", "", false
	}
	return dist[:v], dist[v+1 : b], dist[b+1:], true
}

// CutExtension is an archive's name without ".conda" or ".tar.bz2", and whether it had one of them.
func CutExtension(fileName string) (stem string, ok bool) {
	if stem, ok = strings.CutSuffix(fileName, ".conda"); ok {
		return stem, true
	}
	return strings.CutSuffix(fileName, ".tar.bz2")
}

// Milliseconds is a package's timestamp in milliseconds. Older ones are in seconds: those that are below the year 10000 when they
// are taken for such, as conda has it.
func Milliseconds(timestamp int64) int64 {
	if timestamp < 253402300800 {
		return timestamp * 1000
	}
	return timestamp
}

// String names the record with its channel and subdir, for messages: "conda-forge/linux-64::numpy-1.26.4-py311_0".
func (r *Record) String() string {
	if r.Channel.Name == "" {
		return r.Dist()
	}
	return r.Channel.Name + "/" + string(r.Subdir) + "::" + r.Dist()
}

// Place is where packages may be: one subdir of one channel.
type Place struct {
	Channel Channel
	Subdir  Subdir
}

// String names the place in messages: "conda-forge/linux-64".
func (p Place) String() string { return p.Channel.Name + "/" + string(p.Subdir) }

// VirtualPackage is a fact about the target system that packages may depend on, such as __glibc (CEP 30).
type VirtualPackage struct {
	Name    PackageName // with its leading "__"
	Version version.Version
	Build   string // "0" unless the build string carries the fact, as for __archspec
}

// ParseVirtualPackage reads "__name=version" or "__name=version=build".
func ParseVirtualPackage(s string) (VirtualPackage, error) {
	parts := strings.Split(s, "=")
	if len(parts) < 2 || len(parts) > 3 || !strings.HasPrefix(parts[0], "__") {
		return VirtualPackage{}, fmt.Errorf("virtual package %q: want __name=version or __name=version=build", s)
	}
	name, err := ParsePackageName(parts[0])
	if err != nil {
		return VirtualPackage{}, fmt.Errorf("virtual package %q: %w", s, err)
	}
	v, err := version.Parse(parts[1])
	if err != nil {
		return VirtualPackage{}, fmt.Errorf("virtual package %q: %w", s, err)
	}
	p := VirtualPackage{Name: name, Version: v, Build: "0"}
	if len(parts) == 3 {
		p.Build = parts[2]
	}
	return p, nil
}

// String is the form that ParseVirtualPackage reads.
func (p VirtualPackage) String() string {
	return string(p.Name) + "=" + p.Version.String() + "=" + p.Build
}

// Record is the virtual package as a record that MatchSpecs can be tested against.
func (p VirtualPackage) Record() *Record {
	return &Record{Name: p.Name, Version: p.Version, Build: p.Build, Subdir: NoArchSubdir}
}
