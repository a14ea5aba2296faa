package lock

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/version"
)

// archiveRecord is what an archive's URL tells of it; platform is for archives outside of a channel's subdir.
func archiveRecord(u string, platform conda.Subdir) (*conda.Record, error) {
	parsed, err := url.Parse(u)
	if err != nil || parsed.Scheme == "" {
		return nil, errors.New("the URL is none")
	}
	decoded, err := url.PathUnescape(u)
	if err != nil {
		return nil, fmt.Errorf("reading the URL: %w", err)
	}
	r := &conda.Record{URL: u, FileName: path.Base(decoded), Subdir: platform}
	stem, ok := conda.CutExtension(r.FileName)
	if !ok {
		return nil, errors.New("the URL is not that of a .conda or .tar.bz2 archive")
	}
	n, v, build, ok := conda.SplitDist(stem)
	if !ok {
		return nil, fmt.Errorf("%s is not of the form name-version-build", r.FileName)
	}
	r.Build = build
	if r.Name, err = conda.ParsePackageName(n); err != nil {
		return nil, err
	}
	if r.Version, err = version.Parse(v); err != nil {
		return nil, err
	}
	base := u[:strings.LastIndexByte(u, '/')]
	if i := strings.LastIndexByte(base, '/'); i >= 0 {
		if s, err := conda.ParseSubdir(base[i+1:]); err == nil {
			r.Subdir, base = s, base[:i]
		}
	}
	r.Channel = conda.Channel{Name: channelName(base), URL: base}
	return r, nil
}

// fileOf refuses a record that is not what its file's name says: an entry whose URL was changed by hand. "-" and "_" are alike in
// names: there are tools that confuse them.
func fileOf(r *conda.Record) error {
	stem, _ := conda.CutExtension(r.FileName)
	n, v, build, ok := conda.SplitDist(stem)
	named, err := version.Parse(v)
	if !ok || err != nil || alike(n) != alike(string(r.Name)) || named.Compare(r.Version) != 0 || build != r.Build {
		return fmt.Errorf("its URL is that of %s, and not of %s: whoever changed one of them has to change the other", r.FileName, r.Dist())
	}
	return nil
}

func alike(name string) string { return strings.ReplaceAll(strings.ToLower(name), "_", "-") }

// channelName is the short name of a channel where it has one.
func channelName(base string) string {
	if name, ok := strings.CutPrefix(base, conda.Alias); ok {
		return name
	}
	if name, ok := strings.CutPrefix(base, "https://repo.anaconda.com/"); ok && strings.HasPrefix(name, "pkgs/") {
		return name
	}
	return base
}

var (
	md5Form    = regexp.MustCompile(`^[0-9a-f]{32}$`)
	sha256Form = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// checksums checks the form of checksums, which may be absent.
func checksums(md5, sha256 string) error {
	if md5 != "" && !md5Form.MatchString(md5) {
		return fmt.Errorf("md5 %q does not have 32 digits", md5)
	}
	if sha256 != "" && !sha256Form.MatchString(sha256) {
		return fmt.Errorf("sha256 %q does not have 64 digits", sha256)
	}
	return nil
}

// inSubdir refuses a package of another platform than the one whose environment it is in.
func inSubdir(r *conda.Record, platform conda.Subdir) error {
	if r.Subdir == platform || r.Subdir == conda.NoArchSubdir {
		return nil
	}
	return fmt.Errorf("it is a package for %s, in an environment for %s", r.Subdir, platform)
}
