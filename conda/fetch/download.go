package fetch

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/datalayer/conda2docker/conda/fetch/oci"
)

// File is a file whose content is known in advance.
type File struct {
	Name   string // how messages name it; default the URL
	URL    string // canonical, without credentials
	SHA256 string // lower-case hex; at least one of the sums is wanted
	MD5    string // looked at only where SHA256 is not known
	Size   int64  // 0 when not known
}

// maxFile bounds files whose size is not known.
const maxFile = 16 << 30

// Download fetches a file to path, which appears only when complete and verified. What an interrupted download left
// beside it is resumed. progress gets the number of bytes that are there by now; it may be nil. A file that is not
// what it should be is a *ChecksumError, and nothing of it is kept.
func (c *Client) Download(ctx context.Context, f File, path string, progress func(int64)) error {
	exists := func() bool { return false }
	_, err := c.download(ctx, f, path+".partial", exists, func(string) string { return path }, progress)
	return err
}

// download fetches a file to where final, which is told its sha256, wants it. Processes that download the same file
// wait for each other; exists is asked whether another one has done it meanwhile. The sum is empty if so.
func (c *Client) download(
	ctx context.Context, f File, path string, exists func() bool, final func(sha256 string) string, progress func(int64),
) (sha string, err error) {
	if f.Name == "" {
		f.Name = Redact(f.URL)
	}
	if f.SHA256 == "" && f.MD5 == "" {
		return "", fmt.Errorf("%s: neither sha256 nor md5 is known, so that what arrives could not be verified", f.Name)
	}
	if progress == nil {
		progress = func(int64) {}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", fmt.Errorf("downloading %s: %w", f.Name, err)
	}
	p, err := openPartial(ctx, path)
	if err != nil {
		return "", fmt.Errorf("downloading %s: %w", f.Name, err)
	}
	defer p.Close()
	if exists() {
		return "", os.Remove(path)
	}
	if err := c.attempt(ctx, f.URL, func(at place) error { return p.fill(ctx, c, at, f, progress) }); err != nil {
		var sum *ChecksumError
		if errors.As(err, &sum) || p.size == 0 {
			os.Remove(path)
		}
		return "", fmt.Errorf("downloading %s: %w", f.Name, err)
	}
	sha = hex.EncodeToString(p.sha256.Sum(nil))
	if err := os.Rename(path, final(sha)); err != nil {
		return "", fmt.Errorf("downloading %s: %w", f.Name, err)
	}
	return sha, nil
}

// partial is a file on its way: locked against other processes, and hashed as it grows.
type partial struct {
	*os.File
	size        int64
	sha256, md5 hash.Hash
	tag         string // validator of what is there, "" where an earlier run left it
	resumed     bool   // some of it was there when the current request was made
}

// openPartial opens and locks a file, waiting for others that have it, and hashes what it holds.
func openPartial(ctx context.Context, path string) (*partial, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644) //nolint:gosec // archives are no secret
		if err != nil {
			return nil, err
		}
		if err := lock(ctx, f); err != nil {
			f.Close()
			return nil, err
		}
		// Whoever had the lock may have finished the file, and moved it away.
		mine, err := f.Stat()
		if err != nil {
			f.Close()
			return nil, err
		}
		if current, err := os.Stat(path); err != nil || !os.SameFile(mine, current) {
			f.Close()
			continue
		}
		p := &partial{File: f, sha256: sha256.New(), md5: md5.New()}
		if p.size, err = io.Copy(io.MultiWriter(p.sha256, p.md5), f); err != nil {
			f.Close()
			return nil, err
		}
		return p, nil
	}
}

// Lock waits for an exclusive lock on a file, which is made if it is missing, and returns what ends it.
func Lock(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644) //nolint:gosec // it is empty
	if err != nil {
		return nil, err
	}
	if err := lock(ctx, f); err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}

// lock waits for an exclusive lock, which ends with the process or when the file is closed.
func lock(ctx context.Context, f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return err
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// fill completes and verifies the file from one place.
func (p *partial) fill(ctx context.Context, c *Client, at place, f File, progress func(int64)) error {
	for {
		err := p.extend(ctx, c, at, f, progress)
		if err == nil {
			err = p.verify(f)
		}
		var sum *ChecksumError
		if err == nil || !errors.As(err, &sum) {
			return err
		}
		resumed := p.resumed
		if err := p.restart(); err != nil {
			return err
		}
		if !resumed {
			return err
		}
		// What was there may have been the beginning of something else: once more, from the start.
	}
}

// extend asks for what is missing.
func (p *partial) extend(ctx context.Context, c *Client, at place, f File, progress func(int64)) error {
	p.resumed = p.size > 0
	if f.Size > 0 && p.size >= f.Size {
		return nil
	}
	header := http.Header{}
	if at.url.Scheme == "oci" && f.SHA256 != "" {
		header.Set(oci.SHA256Header, f.SHA256)
	}
	if p.resumed {
		header.Set("Range", "bytes="+strconv.FormatInt(p.size, 10)+"-")
		if p.tag != "" {
			header.Set("If-Range", p.tag)
		}
	}
	resp, err := c.do(ctx, at, header)
	var status *StatusError
	if errors.As(err, &status) && status.Status == http.StatusRequestedRangeNotSatisfiable && p.resumed {
		if err := p.restart(); err != nil {
			return err
		}
		return p.extend(ctx, c, at, f, progress)
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	continued := resp.StatusCode == http.StatusPartialContent &&
		strings.HasPrefix(resp.Header.Get("Content-Range"), "bytes "+strconv.FormatInt(p.size, 10)+"-")
	if !continued {
		if err := p.restart(); err != nil {
			return err
		}
		if resp.StatusCode == http.StatusPartialContent {
			return at.error(errors.New("the server sent another range than the one that was asked for"))
		}
	}
	if p.tag = resp.Header.Get("ETag"); strings.HasPrefix(p.tag, "W/") {
		p.tag = "" // not one for ranges
	}
	return p.receive(resp.Body, at, f, progress)
}

// receive appends a body, of which it reads no more than one byte more than there should be.
func (p *partial) receive(body io.Reader, at place, f File, progress func(int64)) error {
	limit := f.Size
	if limit == 0 {
		limit = maxFile
	}
	progress(p.size)
	to := io.MultiWriter(localWriter{p.File}, p.sha256, p.md5, written(func(n int) {
		p.size += int64(n)
		progress(min(p.size, limit))
	}))
	_, err := io.Copy(to, io.LimitReader(body, limit+1-p.size))
	if err != nil {
		return at.error(err)
	}
	if f.Size == 0 && p.size > maxFile {
		return at.error(&tooLongError{maxFile})
	}
	return nil
}

// verify compares the file with what is known of it.
func (p *partial) verify(f File) error {
	wrong := &ChecksumError{Name: f.Name, URL: Redact(f.URL)}
	switch {
	case f.Size > 0 && p.size != f.Size:
		got := strconv.FormatInt(p.size, 10)
		if p.size > f.Size {
			got = "more"
		}
		wrong.Algorithm, wrong.Want, wrong.Got = "size", strconv.FormatInt(f.Size, 10), got
		return wrong
	case f.SHA256 != "":
		wrong.Algorithm, wrong.Want, wrong.Got = "sha256", f.SHA256, hex.EncodeToString(p.sha256.Sum(nil))
	default:
		wrong.Algorithm, wrong.Want, wrong.Got = "md5", f.MD5, hex.EncodeToString(p.md5.Sum(nil))
	}
	if !strings.EqualFold(wrong.Want, wrong.Got) {
		return wrong
	}
	return nil
}

// restart empties the file.
func (p *partial) restart() error {
	if err := p.Truncate(0); err != nil {
		return &localError{err}
	}
	if _, err := p.Seek(0, io.SeekStart); err != nil {
		return &localError{err}
	}
	p.size, p.tag, p.resumed = 0, "", false
	p.sha256.Reset()
	p.md5.Reset()
	return nil
}

// written is a writer that only counts.
type written func(n int)

func (w written) Write(b []byte) (int, error) {
	w(len(b))
	return len(b), nil
}
