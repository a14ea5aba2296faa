package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/datalayer/conda2docker/builder/graph"
	"github.com/datalayer/conda2docker/conda/pip"
	"github.com/datalayer/conda2docker/envspec"
)

// localSource is a wheel, a source distribution or a project's folder on this machine.
type localSource struct {
	path   string // as it was asked for
	given  string // the file that pip is given: of a folder, one that it is packed in
	sha256 string // of that
}

// file gives it to a step.
func (s localSource) file(number int) graph.File {
	return graph.File{
		Path: localPath + strconv.Itoa(number) + "/" + archivedName(s.given), Source: s.given, Digest: digest.NewDigestFromEncoded(digest.SHA256, s.sha256),
	}
}

// checkLocalSources holds that what the section names on this machine is there.
func checkLocalSources(env envspec.Environment) error {
	for _, r := range env.Pip {
		if r.Local == "" {
			continue
		}
		if _, err := os.Stat(r.Local); err != nil {
			return usageError{fmt.Errorf("%s: pip: requirement %q: %w", r.Position, r, err)}
		}
	}
	return nil
}

// localSources are those of the section, each once.
func (p *pipSection) localSources(ctx context.Context) ([]localSource, error) {
	var out []localSource
	for _, r := range p.in.env.Pip {
		if r.Local == "" || slices.ContainsFunc(out, func(s localSource) bool { return s.path == r.Local }) {
			continue
		}
		s, err := p.localSource(ctx, r.Local)
		if err != nil {
			return nil, fmt.Errorf("%s: pip: requirement %q: %w", r.Position, r, err)
		}
		out = append(out, s)
	}
	return out, nil
}

func (p *pipSection) localSource(ctx context.Context, path string) (localSource, error) {
	s := localSource{path: path, given: path}
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		s.given, s.sha256, err = p.packed(ctx, path)
	} else if err == nil {
		s.sha256, err = fileSum(path)
	}
	return s, err
}

var noFileName = regexp.MustCompile(`[^A-Za-z0-9._]+`)

// packed is a project's folder as a file in the cache.
func (p *pipSection) packed(ctx context.Context, dir string) (file, sum string, err error) {
	full, err := filepath.Abs(dir)
	if err != nil {
		return "", "", err
	}
	h := sha256.New()
	name := noFileName.ReplaceAllString(filepath.Base(full), "_") + ".tar.gz"
	return p.keep(name, h.Sum, func(w io.Writer) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return pip.Pack(full, io.MultiWriter(w, h))
	})
}

// keep writes a file of the cache's archives, whose name begins with its sha256.
func (p *pipSection) keep(name string, sum func([]byte) []byte, write func(io.Writer) error) (file, sha string, err error) {
	if err := os.MkdirAll(p.archives(), 0o755); err != nil {
		return "", "", err
	}
	tmp, err := os.CreateTemp(p.archives(), ".tmp-*")
	if err != nil {
		return "", "", err
	}
	defer os.Remove(tmp.Name())
	if err := errors.Join(write(tmp), tmp.Chmod(0o644), tmp.Close()); err != nil {
		return "", "", err
	}
	sha = hex.EncodeToString(sum(nil))
	file = filepath.Join(p.archives(), sha+"-"+name)
	return file, sha, os.Rename(tmp.Name(), file)
}

func (p *pipSection) archives() string { return filepath.Join(p.settings.Cache.Dir, "archives") }

var archived = regexp.MustCompile(`^[0-9a-f]{64}-`)

// archivedName is a file's name without the checksum that it has in the cache.
func archivedName(file string) string { return archived.ReplaceAllString(filepath.Base(file), "") }

// relative is a path as the lock has it: a URL without a scheme, seen from the lock's folder.
func (p *pipSection) relative(path string) string {
	from, err := filepath.Abs(p.from)
	if err == nil {
		if full, err := filepath.Abs(path); err == nil {
			if rel, err := filepath.Rel(from, full); err == nil {
				path = filepath.ToSlash(rel)
			}
		}
	}
	if !strings.HasPrefix(path, ".") {
		path = "./" + path
	}
	return (&url.URL{Path: path}).EscapedPath()
}

// onDisk is the path that relative has made of one; ok is false for a URL that leads elsewhere.
func (p *pipSection) onDisk(u string) (path string, ok bool, err error) {
	if strings.Contains(u, "://") {
		return "", false, nil
	}
	if path, err = url.PathUnescape(u); err != nil {
		return "", false, err
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(p.from, path)
	}
	return path, true, nil
}

func fileSum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
