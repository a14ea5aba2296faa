// Package registry says how image registries are reached: mirrors, plain HTTP, certificate authorities, credentials.
package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Registry says how one registry is reached.
type Registry struct {
	// Mirrors are asked first, in order, when something is read: "host", "host/path" or an http(s) URL.
	// Nothing is ever pushed to a mirror.
	Mirrors []string
	// Insecure allows plain HTTP, and HTTPS whose certificate is not checked. Loopback hosts need no such word.
	Insecure bool
	// CA is a PEM file of certificate authorities that are trusted besides the system's.
	CA string
}

// Registries maps a registry's host, such as "docker.io" or "localhost:5000", to how it is reached.
// A host that is not named is reached by HTTPS, or by HTTP where it is loopback.
type Registries map[string]Registry

// ParseReference reads an image reference such as "debian:bookworm-slim", completing it as Docker does.
func (r Registries) ParseReference(ref string) (name.Reference, error) {
	parsed, err := name.ParseReference(ref)
	if err != nil {
		return nil, fmt.Errorf("image reference %q: %w", ref, err)
	}
	if !r.Insecure(parsed.Context().RegistryStr()) {
		return parsed, nil
	}
	return name.ParseReference(ref, name.Insecure)
}

// host is the entry of one host; ggcr says index.docker.io where people say docker.io.
func (r Registries) host(host string) Registry {
	if reg, ok := r[host]; ok {
		return reg
	}
	if host == name.DefaultRegistry {
		return r["docker.io"]
	}
	return Registry{}
}

// Insecure reports whether a host was said to be insecure.
func (r Registries) Insecure(host string) bool { return r.host(host).Insecure }

// Options are go-containerregistry's options for one host.
func (r Registries) Options(ctx context.Context, host string) ([]remote.Option, error) {
	t, err := r.transport(host)
	if err != nil {
		return nil, err
	}
	return []remote.Option{
		remote.WithContext(ctx),
		remote.WithAuthFromKeychain(authn.DefaultKeychain),
		remote.WithTransport(t),
		remote.WithUserAgent("conda2docker"),
	}, nil
}

// Get reads a reference's manifest from the first place that has it: its mirrors, then its own registry.
// What is read further through the descriptor comes from the same place.
func (r Registries) Get(ctx context.Context, ref name.Reference) (*remote.Descriptor, error) {
	var errs []error
	for _, place := range r.places(ref) {
		desc, err := r.read(ctx, place)
		if err == nil {
			return desc, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// read reads a reference's manifest from its own registry.
func (r Registries) read(ctx context.Context, ref name.Reference) (*remote.Descriptor, error) {
	opts, err := r.Options(ctx, ref.Context().RegistryStr())
	if err != nil {
		return nil, err
	}
	desc, err := remote.Get(ref, opts...)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", ref, err)
	}
	return desc, nil
}

// ParseTag reads a name that an image can be given, completing it as Docker does.
func (r Registries) ParseTag(s string) (name.Tag, error) {
	tag, err := name.NewTag(s)
	if err != nil || !r.Insecure(tag.RegistryStr()) {
		return tag, err
	}
	return name.NewTag(s, name.Insecure)
}

// Resolve is the digest that the registry itself, and no mirror of it, answers for a reference.
func (r Registries) Resolve(ctx context.Context, ref name.Reference) (name.Digest, error) {
	desc, err := r.read(ctx, ref)
	if err != nil {
		return name.Digest{}, err
	}
	return ref.Context().Digest(desc.Digest.String()), nil
}

// CheckPush begins an upload to a repository and gives it up: nothing is left of it but the knowledge that the registry answers
// and takes the credentials that there are.
func (r Registries) CheckPush(ctx context.Context, repo name.Repository) error {
	t, err := r.transport(repo.RegistryStr())
	if err != nil {
		return err
	}
	// The function takes no context; a registry that hangs is left by whoever cancels.
	done := make(chan error, 1)
	go func() { done <- remote.CheckPushPermission(repo.Tag("latest"), authn.DefaultKeychain, t) }()
	select {
	case err = <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("asking whether %s can be pushed to: %w", repo, err)
	}
	return nil
}

// Tag makes a tag point at an image that its repository holds already. It moves a name and assembles nothing.
func (r Registries) Tag(ctx context.Context, image name.Digest, tag name.Tag) error {
	if image.Context().Name() != tag.Context().Name() {
		return fmt.Errorf("tagging %s: %s is another repository", tag, image.Context())
	}
	opts, err := r.Options(ctx, image.Context().RegistryStr())
	if err != nil {
		return err
	}
	desc, err := remote.Get(image, opts...)
	if err != nil {
		return fmt.Errorf("tagging %s: reading %s: %w", tag, image, err)
	}
	if err := remote.Tag(tag, desc, opts...); err != nil {
		return fmt.Errorf("tagging %s: %w", tag, err)
	}
	return nil
}

// places are where a reference can be read.
func (r Registries) places(ref name.Reference) []name.Reference {
	reg := r.host(ref.Context().RegistryStr())
	places := make([]name.Reference, 0, len(reg.Mirrors)+1)
	for _, m := range reg.Mirrors {
		host, insecure := Mirror(m)
		var opts []name.Option
		if insecure || r.Insecure(strings.SplitN(host, "/", 2)[0]) {
			opts = append(opts, name.Insecure)
		}
		repo, err := name.NewRepository(host+"/"+ref.Context().RepositoryStr(), opts...)
		if err != nil {
			continue
		}
		if d, ok := ref.(name.Digest); ok {
			places = append(places, repo.Digest(d.DigestStr()))
		} else {
			places = append(places, repo.Tag(ref.Identifier()))
		}
	}
	return append(places, ref)
}

// Mirror splits a mirror as it is written in the settings into "host/path" and whether it said http://.
func Mirror(s string) (hostPath string, insecure bool) {
	rest, insecure := strings.CutPrefix(s, "http://")
	rest = strings.TrimPrefix(rest, "https://")
	return strings.Trim(rest, "/"), insecure
}

// transport is ggcr's own where the host needs nothing else.
func (r Registries) transport(host string) (http.RoundTripper, error) {
	reg := r.host(host)
	if reg.CA == "" && !reg.Insecure {
		return remote.DefaultTransport, nil
	}
	shared, ok := remote.DefaultTransport.(*http.Transport)
	if !ok {
		return nil, fmt.Errorf("registry %s: no transport to configure", host)
	}
	t := shared.Clone()
	t.TLSClientConfig = &tls.Config{InsecureSkipVerify: reg.Insecure} //nolint:gosec // as the settings say
	if reg.CA == "" {
		return t, nil
	}
	pem, err := os.ReadFile(reg.CA)
	if err != nil {
		return nil, fmt.Errorf("registry %s: reading its certificate authority: %w", host, err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("registry %s: %s holds no PEM certificate", host, reg.CA)
	}
	t.TLSClientConfig.RootCAs = pool
	return t, nil
}
