package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/condarc"
	"github.com/datalayer/conda2docker/conda/lock"
	"github.com/datalayer/conda2docker/conda/matchspec"
	"github.com/datalayer/conda2docker/conda/pip"
	"github.com/datalayer/conda2docker/envspec"
)

// request is what a lock answers to, in words.
func (in input) request(s conda.Subdir) []string {
	return in.env.Request(envspec.RequestInput{Channels: in.channels, Subdir: s, Priority: cmp.Or(in.conda.Priority, condarc.Strict)})
}

// categories are those that the environment's requirements are of.
func (in input) categories() []string {
	var out []string
	for _, d := range in.env.Dependencies {
		out = append(out, d.Category)
	}
	return distinct(out)
}

// lockAlone is the lock that is given where environment files are expected, and its name: an image is made of what it says.
func (b *build) lockAlone(files []envspec.File) (*lock.Lock, string, error) {
	i := slices.IndexFunc(files, func(f envspec.File) bool { return lock.Detect(f.Data) != "" })
	if i < 0 {
		return nil, "", nil
	}
	if len(files) > 1 || b.options.Lock != "" {
		return nil, "", usageError{fmt.Errorf("%s is a lock: give it alone, or with --lock beside the environment files that it is the lock of", files[i].Path)}
	}
	l, err := lock.Read(bytes.NewReader(files[i].Data), files[i].Path, lock.Options{Environment: b.options.LockEnv})
	if err != nil {
		return nil, "", usageError{err}
	}
	return l, files[i].Path, nil
}

// usableLock is the lock that the packages are taken from, and its name: nil where there is none yet, or a new one is wanted.
func (b *build) usableLock(in input, t target) (*lock.Lock, string, error) {
	if in.lock != nil {
		l, err := b.fitting(in.lock, in.lockName, in, t)
		return l, in.lockName, err
	}
	name := b.options.Lock
	if name == "" {
		return nil, "", nil
	}
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		if b.options.LockEnv != "" || filepath.Base(name) == "pixi.lock" {
			return nil, "", usageError{fmt.Errorf("reading the lock: %w", err)} // not a file that is to be written
		}
		return nil, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("reading the lock: %w", err)
	}
	if b.options.UpdateLock {
		switch format := lock.Detect(data); {
		case format == lock.Pixi:
			return nil, "", usageError{fmt.Errorf("--update-lock: %s is pixi's own, and would be written over: \"pixi update\" updates it, or name another file", name)}
		case format == "" && len(data) > 0:
			return nil, "", usageError{fmt.Errorf("--update-lock: %s is no lock, and would be written over: remove it, or name another file", name)}
		}
		return nil, "", nil
	}
	l, err := lock.Read(bytes.NewReader(data), name, lock.Options{Environment: b.options.LockEnv})
	if err != nil {
		return nil, "", usageError{err}
	}
	l, err = b.fitting(l, name, in, t)
	return l, name, err
}

// fitting is the lock of the platform. It is refused where it is not one of the environment, or not one for the system.
func (b *build) fitting(l *lock.Lock, name string, in input, t target) (*lock.Lock, error) {
	why, err := b.staleness(l, b.options.Subdir, in, t.virtual)
	if err != nil {
		return nil, usageError{err}
	}
	if len(why) > 0 {
		remedy := "--update-lock resolves anew"
		if in.lock != nil {
			remedy = "lock the environment anew, or choose another base"
		}
		return nil, staleLockError{fmt.Errorf("lock %s does not fit (%s):\n  %s", name, remedy, strings.Join(why, "\n  "))}
	}
	if l, err = l.Only(b.options.Subdir, in.categories()...); err != nil {
		return nil, usageError{fmt.Errorf("%s: %w", name, err)}
	}
	return l, canInstall(l, name, b.options.Subdir)
}

// staleness says why a lock is not one of the environment for a system; nothing where it is. What was asked for is compared where
// the lock says it; otherwise the lock's packages are held against what is asked for now.
func (b *build) staleness(l *lock.Lock, s conda.Subdir, in input, virtual []conda.VirtualPackage) ([]string, error) {
	if !l.Has(s) {
		_, err := l.Platform(s)
		return []string{err.Error()}, nil
	}
	p, err := l.Platform(s)
	if err != nil {
		return nil, err
	}
	if p.Own() {
		in = b.likeLock(in, p.Specs())
	}
	specs := in.env.Specs()
	var why []string
	switch {
	case p.Own() && in.lock != nil:
		specs = p.Specs()
		why = p.Beyond(virtual)
	case p.Own():
		why = append(p.Changes(in.request(s)), p.Beyond(virtual)...)
	case in.lock == nil:
		why = pipMisfits(p, in.env)
	}
	if p.LacksPip() {
		why = append(why, "what pip installs is not in it")
	}
	if len(why) > 0 {
		return why, nil
	}
	if why, err = b.strays(l, s, in, specs); err != nil || len(why) > 0 {
		return why, err
	}
	return l.Misfits(s, specs, virtual, in.categories()...) // one that is cut off is found so, too
}

// strays says which packages of a lock are of none of its channels, wherever conda's configuration and mirrors have these. Nothing is
// said where the file does not tell its channels, nor of another program's lock that is all there is: which packages were asked for
// by their URL is not known then.
func (b *build) strays(l *lock.Lock, s conda.Subdir, in input, specs []matchspec.Spec) ([]string, error) {
	p, err := l.Platform(s)
	refs := l.ChannelRefs(s)
	if err != nil || len(refs) == 0 || in.lock != nil && !p.Own() {
		return nil, err
	}
	var channels []conda.Channel
	if in.lock == nil {
		channels = slices.Clone(in.channels)
	}
	for _, ref := range refs {
		if found, err := in.conda.Resolve(ref); err == nil { // one that leads nowhere here is none of these
			channels = append(channels, found...)
		}
	}
	client, err := b.client(in)
	if err != nil {
		return nil, err
	}
	for _, c := range slices.Clone(channels) {
		for _, at := range client.Places(c.URL) {
			channels = append(channels, conda.Channel{Name: at, URL: at})
		}
	}
	return l.Strays(s, refs, channels, specs, in.categories()...)
}

// canInstall refuses a lock with packages that a build could only leave out, or not verify.
func canInstall(l *lock.Lock, name string, s conda.Subdir) error {
	packages, err := l.PipPackages(s)
	if err != nil {
		return usageError{err}
	}
	for _, k := range packages {
		if err := canFetch(k); err != nil {
			return usageError{fmt.Errorf("%s: pip's %s %s: %w", name, k.Name, k.Version, err)}
		}
	}
	records, err := l.Records(s)
	if err != nil {
		return usageError{fmt.Errorf("%s: %w", name, err)}
	}
	for _, r := range records {
		if r.MD5 == "" && r.SHA256 == "" {
			return usageError{fmt.Errorf("%s has no checksum of %s, so that what is fetched could not be verified: \"conda list --explicit --sha256\" writes them", name, r.FileName)}
		}
	}
	return nil
}

var sha256Hex = regexp.MustCompile(`^[0-9a-f]{64}$`)

// canFetch refuses a package of pip's that is no file, or that could not be verified.
func canFetch(k lock.PipPackage) error {
	scheme, _, isURL := strings.Cut(k.URL, "://")
	switch {
	case isURL && scheme != "http" && scheme != "https" && scheme != "file":
		return fmt.Errorf("%s is not a file that can be fetched and checked: lock a release of it", k.URL)
	case k.SHA256 != "" && !sha256Hex.MatchString(k.SHA256):
		return fmt.Errorf("%q is not a sha256: lock a release of it", k.SHA256)
	case k.SHA256 == "" && k.MD5 == "":
		return errors.New("there is no checksum, so that what is fetched could not be verified: lock it anew")
	}
	return nil
}

// pipMisfits says which of pip's requirements a lock does not meet that another program made.
func pipMisfits(p *lock.Platform, env envspec.Environment) []string {
	var out []string
	for _, r := range env.Pip {
		if r.Name == "" || r.Direct {
			continue // what it is called, and in which version, is not known
		}
		i := slices.IndexFunc(p.Pip, func(k lock.PipPackage) bool { return pip.NormalName(k.Name) == r.Name })
		switch {
		case i >= 0 && !pip.Satisfies(p.Pip[i].Version, r.Specifiers()):
			out = append(out, fmt.Sprintf("pip's %s %s is not %s", p.Pip[i].Name, p.Pip[i].Version, r))
		case i < 0 && r.Marker() == "" && !slices.ContainsFunc(p.Packages, func(k lock.Package) bool { return string(k.Record.Name) == r.Name }):
			out = append(out, fmt.Sprintf("pip's %s is not in it", r))
		}
	}
	return out
}

// lockUsesCUDA says whether a lock has packages for CUDA.
func lockUsesCUDA(l *lock.Lock, s conda.Subdir) bool {
	records, err := l.Records(s)
	return err == nil && slices.ContainsFunc(records, usesCUDA)
}

// sources are the files that were locked, as seen from the folder of the lock (CEP 37); from the working one where it is not a file.
func sources(files []string, lock string) []string {
	out := slices.Clone(files)
	from, err := filepath.Abs(filepath.Dir(lock))
	if err != nil {
		return out
	}
	for i, f := range files {
		if full, err := filepath.Abs(f); err == nil {
			if rel, err := filepath.Rel(from, full); err == nil {
				out[i] = filepath.ToSlash(rel)
			}
		}
	}
	return out
}

// lockBody is a lock as the bytes of its file.
func lockBody(l *lock.Lock, format lock.Format) ([]byte, error) {
	var body bytes.Buffer
	if format == lock.Explicit {
		err := l.WriteExplicit(&body, l.Platforms[0].Subdir)
		return body.Bytes(), err
	}
	err := l.WriteCondaLock(&body)
	return body.Bytes(), err
}
