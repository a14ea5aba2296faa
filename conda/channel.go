package conda

import (
	"fmt"
	"regexp"
	"strings"
)

// PackageName is a package's name, in lower case (CEP 26).
type PackageName string

var packageName = regexp.MustCompile(`^[a-z0-9_.-]+$`)

// ParsePackageName lower-cases and checks a package's name.
func ParsePackageName(s string) (PackageName, error) {
	l := strings.ToLower(s)
	if !packageName.MatchString(l) {
		return "", fmt.Errorf("package name %q: only letters, digits, '_', '.' and '-' are allowed", s)
	}
	return PackageName(l), nil
}

// IsVirtual reports whether the name is that of a virtual package (CEP 30).
func (n PackageName) IsVirtual() bool { return strings.HasPrefix(string(n), "__") }

// Subdir is a channel's folder for one platform, e.g. "linux-64" (CEP 26).
type Subdir string

// The subdirs that conda2docker has something to say about.
const (
	NoArchSubdir Subdir = "noarch"
	Linux64      Subdir = "linux-64"
	LinuxAarch64 Subdir = "linux-aarch64"
)

var subdirName = regexp.MustCompile(`^([a-z0-9]+-[a-z0-9]+|noarch)$`)

// ParseSubdir checks a subdir's form; it need not be one that images can be built for.
func ParseSubdir(s string) (Subdir, error) {
	if !subdirName.MatchString(s) {
		return "", fmt.Errorf("subdir %q: want OS-ARCH, such as linux-64, or noarch", s)
	}
	return Subdir(s), nil
}

// Channel is a place that packages come from. It carries no credentials, and names no mirror.
type Channel struct {
	Name string // as people write it, e.g. "conda-forge"; the URL where it has no shorter name
	URL  string // the base URL without subdir or trailing slash, e.g. "https://conda.anaconda.org/conda-forge"
}

// Alias is what a channel's short name stands below, unless a configuration says otherwise.
const Alias = "https://conda.anaconda.org/"

var (
	userinfo = regexp.MustCompile(`^([a-zA-Z][a-zA-Z0-9+.-]*://)[^/]*@`)
	token    = regexp.MustCompile(`/t/[^/]+`)
)

// WithoutCredentials takes the user's name, password and token out of a URL.
func WithoutCredentials(url string) string {
	return token.ReplaceAllString(userinfo.ReplaceAllString(url, "$1"), "")
}

// SubdirURL is the URL of one of the channel's subdirs, without a trailing slash.
func (c Channel) SubdirURL(s Subdir) string { return c.URL + "/" + string(s) }
