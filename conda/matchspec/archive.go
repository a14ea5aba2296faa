package matchspec

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/version"
)

func isArchive(s string) bool {
	_, ok := conda.CutExtension(s)
	return ok
}

// parseArchive reads a spec that is an archive's URL or path. Where it stands in a channel's subdir its
// name says what it is; otherwise its name is "*". hash is what follows the '#' (CEP 23).
func parseArchive(s, hash, dir string) (Spec, error) {
	if !isURL().MatchString(s) {
		p := strings.ReplaceAll(s, `\`, "/")
		if !path.IsAbs(p) {
			if dir == "" || strings.HasPrefix(p, "~") {
				return Spec{}, fmt.Errorf("path %q is not absolute", s)
			}
			p = path.Join(dir, p)
		}
		s = "file://" + path.Clean(p)
	}
	s = conda.WithoutCredentials(s)
	decoded, err := url.PathUnescape(s)
	if err != nil {
		return Spec{}, err
	}
	spec := Spec{Name: "*", URL: s, FileName: path.Base(decoded)}
	if err := spec.setHash(strings.TrimSpace(hash)); err != nil {
		return Spec{}, err
	}
	channel, subdir := splitChannel(s[:strings.LastIndexByte(s, '/')])
	if subdir == "" {
		return spec, nil
	}
	stem, _ := conda.CutExtension(spec.FileName)
	n, v, build, ok := conda.SplitDist(stem)
	if !ok {
		return Spec{}, errors.New("the archive's name is not of the form name-version-build")
	}
	spec.Name = conda.PackageName(strings.ToLower(n))
	if spec.Version, err = version.ParseConstraint(v); err != nil {
		return Spec{}, err
	}
	if spec.Build, err = ParsePattern(build); err != nil {
		return Spec{}, err
	}
	spec.Channel, spec.Subdir = channel, subdir
	return spec, nil
}

// setHash takes a checksum over: the one behind an archive's URL, or nothing where it is a comment.
func (s *Spec) setHash(hash string) error {
	hash = strings.TrimPrefix(hash, "sha256:")
	if strings.Trim(hash, "0123456789abcdefABCDEF") != "" {
		return nil
	}
	switch len(hash) {
	case 0:
	case 32:
		s.MD5 = hash
	case 64:
		s.SHA256 = hash
	default:
		return fmt.Errorf("checksum %q has neither 32 nor 64 digits", hash)
	}
	return nil
}
