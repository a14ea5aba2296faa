package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/fetch"
	"github.com/datalayer/conda2docker/conda/lock"
	"github.com/datalayer/conda2docker/envspec"
)

// isIndexOption reports whether an option says where pip looks for packages.
func isIndexOption(o envspec.PipOption) bool {
	return slices.Contains([]string{"--index-url", "--extra-index-url", "--find-links", "--trusted-host", "--no-index"}, o.Flag)
}

// indexes are the options that say where pip looks for packages, as lines of a requirements file, with credentials: those of the
// section, after the index that this machine's settings name.
func (p *pipSection) indexes() string {
	var b strings.Builder
	options := p.in.env.PipOptions
	own := slices.ContainsFunc(options, func(o envspec.PipOption) bool { return o.Flag == "--index-url" || o.Flag == "--no-index" })
	if index := p.settings.Pip.Index; index != "" && !own {
		fmt.Fprintln(&b, "--index-url "+p.withCredentials(index)) // first: to pip, it takes the place of all indexes before it
	}
	for _, o := range options {
		if isIndexOption(o) {
			fmt.Fprintln(&b, strings.TrimSpace(o.Flag+" "+p.withCredentials(o.Value())))
		}
	}
	return b.String()
}

// withCredentials is an index with what this machine's netrc, or another of its stores, has for it: pip runs where these are not.
func (p *pipSection) withCredentials(index string) string {
	u, err := url.Parse(index)
	o := p.in.conda.Fetch()
	if err != nil || u.Host == "" || u.User != nil || o.Credentials == nil {
		return index
	}
	if c, ok := o.Credentials.Credential(u); ok && (c.Username != "" || c.Password != "") {
		u.User = url.UserPassword(c.Username, c.Password)
	}
	return u.String()
}

// keys are the credentials in the URLs of indexes, which hold for all of their hosts, as to pip, and of requirements.
func (p *pipSection) keys() (*fetch.Keyring, error) {
	keys := &fetch.Keyring{}
	hosts := map[string]bool{}
	add := func(raw string) error {
		clean, c, ok := fetch.SplitURL(raw)
		if !ok {
			return nil
		}
		u, err := url.Parse(clean)
		if err != nil {
			return errors.New("the URL of an index of packages does not parse: characters in its password may have to be percent-encoded")
		}
		keys.Add(clean, c)
		if host := u.Scheme + "://" + u.Host; !hosts[host] && c.Token == "" {
			hosts[host] = true
			keys.Add(host, c)
		}
		return nil
	}
	errs := []error{add(p.settings.Pip.Index)}
	for _, o := range p.in.env.PipOptions {
		if isIndexOption(o) {
			errs = append(errs, add(o.Value()))
		}
	}
	for _, r := range p.in.env.Pip {
		if _, at, ok := strings.Cut(r.Line(), "@ "); ok && r.Direct && r.Local == "" {
			errs = append(errs, add(strings.Fields(at)[0]))
		}
	}
	return keys, errors.Join(errs...)
}

// parallelFetches is how many files are fetched at a time.
const parallelFetches = 8

// fetchAll has the packages' files in the cache, verified. Where nobody knew a checksum, it is that of what was fetched.
func (p *pipSection) fetchAll(ctx context.Context, packages []lock.PipPackage) ([]pipFile, error) {
	files := make([]pipFile, len(packages))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelFetches)
	for i, k := range packages {
		g.Go(func() error {
			p.stage.show(k.Name + " " + k.Version)
			path, sum, err := p.fetch(ctx, k)
			if err != nil {
				return err
			}
			k.SHA256, k.MD5 = sum, ""
			files[i] = pipFile{PipPackage: k, path: path, sha256: sum}
			return nil
		})
	}
	return files, g.Wait()
}

// fetchBuild has a wheel in the cache that others are built with.
func (p *pipSection) fetchBuild(ctx context.Context, k lock.BuildPackage) (file, sum string, err error) {
	return p.fetch(ctx, lock.PipPackage{Name: k.Name, Version: k.Version, URL: k.URL, SHA256: k.SHA256})
}

func (p *pipSection) fetch(ctx context.Context, k lock.PipPackage) (file, sum string, err error) {
	name := "pip's " + strings.TrimSpace(k.Name+" "+k.Version)
	local, ok, err := p.onDisk(k.URL)
	switch {
	case err != nil:
		return "", "", fmt.Errorf("%s: %w", name, err)
	case ok:
		s, err := p.localSource(ctx, local)
		if err == nil && k.SHA256 != "" && s.sha256 != k.SHA256 {
			err = staleLockError{fmt.Errorf("it is another than was locked (sha256 is %s, want %s): --update-lock resolves anew", s.sha256, k.SHA256)}
		}
		if err != nil {
			return "", "", fmt.Errorf("%s in %s: %w", name, local, err)
		}
		return s.given, s.sha256, nil
	}
	base, err := fileName(k.URL)
	if err != nil {
		return "", "", fmt.Errorf("%s: %w", name, err)
	}
	file = filepath.Join(p.archives(), k.SHA256+"-"+base)
	if k.SHA256 == "" {
		return p.fetchUnknown(ctx, k, name, base)
	}
	if sum, err := fileSum(file); err == nil && sum == k.SHA256 {
		now := time.Now()
		_ = os.Chtimes(file, now, now) // for pruning by age
		return file, sum, nil
	}
	err = p.client.Download(ctx, fetch.File{Name: name, URL: k.URL, SHA256: k.SHA256}, file, nil)
	return file, k.SHA256, p.explained(err)
}

// fetchUnknown fetches a file whose sha256 nobody has said.
func (p *pipSection) fetchUnknown(ctx context.Context, k lock.PipPackage, name, base string) (file, sum string, err error) {
	of := sha256.Sum256([]byte(k.URL))
	tmp := filepath.Join(p.archives(), fmt.Sprintf(".tmp-%x", of[:8]))
	defer os.Remove(tmp)
	if err := os.MkdirAll(p.archives(), 0o755); err != nil {
		return "", "", err
	}
	if k.MD5 != "" {
		err = p.client.Download(ctx, fetch.File{Name: name, URL: k.URL, MD5: k.MD5}, tmp, nil)
	} else if _, err = p.client.Save(ctx, fetch.Request{URL: k.URL}, tmp); err != nil {
		err = fmt.Errorf("downloading %s: %w", name, err)
	}
	if err != nil {
		return "", "", p.explained(err)
	}
	if sum, err = fileSum(tmp); err != nil {
		return "", "", err
	}
	file = filepath.Join(p.archives(), sum+"-"+base)
	return file, sum, os.Rename(tmp, file)
}

// explained says of a refusal where pip's credentials come from.
func (p *pipSection) explained(err error) error {
	var status *fetch.StatusError
	if errors.As(err, &status) && (status.Status == http.StatusUnauthorized || status.Status == http.StatusForbidden) {
		return fmt.Errorf("%s: %d %s: credentials for it go into the index's URL (https://${USER}:${PASSWORD}@…), in the settings or the pip section, or into ~/.netrc",
			status.URL, status.Status, http.StatusText(status.Status))
	}
	return err
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+!-]*$`)

// fileName is that of what a URL leads to.
func fileName(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", errors.New("its URL does not parse")
	}
	name := path.Base(u.Path)
	if !plainName.MatchString(name) {
		return "", fmt.Errorf("%s does not end in the name of a file", conda.WithoutCredentials(raw))
	}
	return name, nil
}
