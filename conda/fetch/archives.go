package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/datalayer/conda2docker/conda"
)

// Archives is the cache of package archives, addressed by their content: Dir/SHA256-FILENAME. Any number of
// processes may share one, and its files may be removed at any time.
//
// A file is trusted by its name and size: it was verified when it got them.
type Archives struct {
	Client *Client
	Dir    string
	// Verify hashes archives also when they are in the cache already.
	Verify bool
}

// Archive is a package's archive in the cache.
type Archive struct {
	Path   string
	SHA256 string // lower-case hex
	Size   int64
}

// Progress is how far a record's archive has come.
type Progress struct {
	Record *conda.Record
	Bytes  int64 // that are there by now; the archive's size at the end
	Done   bool
	Cached bool // nothing had to be fetched
}

// defaultParallel is how many archives are fetched at a time.
const defaultParallel = 8

var (
	sha256Hex = regexp.MustCompile(`^[0-9a-f]{64}$`)
	md5Hex    = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

// Fetch returns the record's archive, fetching it unless the cache has it. progress may be nil.
func (a *Archives) Fetch(ctx context.Context, r *conda.Record, progress func(Progress)) (Archive, error) {
	if progress == nil {
		progress = func(Progress) {}
	}
	if err := check(r); err != nil {
		return Archive{}, fmt.Errorf("package %s: %w", r, err)
	}
	found, err := a.find(r)
	if err != nil {
		return Archive{}, fmt.Errorf("package %s: %w", r, err)
	}
	if found.Path != "" {
		progress(Progress{Record: r, Bytes: found.Size, Done: true, Cached: true})
		return found, nil
	}
	file := File{Name: "package " + r.String(), URL: r.URL, SHA256: r.SHA256, MD5: r.MD5, Size: r.Size}
	partial := filepath.Join(a.Dir, r.SHA256+"-"+r.FileName+".partial")
	if r.SHA256 == "" {
		partial = filepath.Join(a.Dir, r.MD5+"-"+r.FileName+".partial")
	}
	exists := func() bool {
		found, err = a.find(r)
		return err == nil && found.Path != ""
	}
	sha, err := a.Client.download(ctx, file, partial, exists, func(sha string) string { return a.path(sha, r.FileName) },
		func(n int64) { progress(Progress{Record: r, Bytes: n}) })
	if err != nil {
		return Archive{}, err
	}
	if sha != "" {
		if found, err = a.keep(r, sha); err != nil {
			return Archive{}, fmt.Errorf("package %s: %w", r, err)
		}
	}
	progress(Progress{Record: r, Bytes: found.Size, Done: true})
	return found, nil
}

// FetchAll fetches the records' archives, so many at a time (0 means 8), and returns them in the records' order.
// The first error ends it. progress may be nil; it is never called twice at once.
func (a *Archives) FetchAll(
	ctx context.Context, rs []*conda.Record, parallel int, progress func(Progress),
) ([]Archive, error) {
	if parallel <= 0 {
		parallel = defaultParallel
	}
	one := progress
	if progress != nil {
		var mu sync.Mutex
		one = func(p Progress) {
			mu.Lock()
			defer mu.Unlock()
			progress(p)
		}
	}
	archives := make([]Archive, len(rs))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i, r := range rs {
		g.Go(func() error {
			var err error
			archives[i], err = a.Fetch(ctx, r, one)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return archives, nil
}

// check refuses records whose fields, which come from a channel, do not make good file names.
func check(r *conda.Record) error {
	switch {
	case r.FileName == "" || r.FileName != filepath.Base(r.FileName) || strings.ContainsAny(r.FileName, "/\\\x00"):
		return fmt.Errorf("%q is not the name of an archive", r.FileName)
	case r.SHA256 != "" && !sha256Hex.MatchString(r.SHA256):
		return fmt.Errorf("%q is not a sha256", r.SHA256)
	case r.SHA256 == "" && !md5Hex.MatchString(r.MD5):
		return fmt.Errorf("neither sha256 nor md5 is known, so that what arrives could not be verified")
	}
	return nil
}

func (a *Archives) path(sha, fileName string) string { return filepath.Join(a.Dir, sha+"-"+fileName) }

// alias is the file that holds the sha256 of what a record knows by md5 only.
func (a *Archives) alias(md5 string) string { return filepath.Join(a.Dir, md5+".md5") }

// find looks the record up; the Archive is zero where the cache does not have it.
func (a *Archives) find(r *conda.Record) (Archive, error) {
	sha := r.SHA256
	if sha == "" {
		b, err := os.ReadFile(a.alias(r.MD5))
		sha = string(b)
		if err != nil || !sha256Hex.MatchString(sha) {
			return Archive{}, nil //nolint:nilerr // an alias that cannot be read is none
		}
	}
	path := a.path(sha, r.FileName)
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return Archive{}, nil
	}
	if err != nil {
		return Archive{}, err
	}
	ok := info.Mode().IsRegular() && (r.Size == 0 || info.Size() == r.Size)
	if ok && a.Verify {
		if ok, err = hasSum(path, sha); err != nil {
			return Archive{}, err
		}
	}
	if !ok {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return Archive{}, err
		}
		return Archive{}, nil
	}
	now := time.Now()
	// For pruning by age. It may have vanished, and may belong to someone else: neither is a reason to stop.
	_ = os.Chtimes(path, now, now)
	return Archive{Path: path, SHA256: sha, Size: info.Size()}, nil
}

// keep says what a download has made, and lets its md5 lead to it where the record has nothing better.
func (a *Archives) keep(r *conda.Record, sha string) (Archive, error) {
	info, err := os.Stat(a.path(sha, r.FileName))
	if err != nil {
		return Archive{}, err
	}
	if r.SHA256 == "" {
		if _, err := save(a.alias(r.MD5), strings.NewReader(sha)); err != nil {
			return Archive{}, err
		}
	}
	return Archive{Path: a.path(sha, r.FileName), SHA256: sha, Size: info.Size()}, nil
}

func hasSum(path, sha string) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil // it was removed just now
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return false, err
	}
	return hex.EncodeToString(h.Sum(nil)) == sha, nil
}
