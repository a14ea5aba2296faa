package base

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Facts is what the bytes of a base image say.
type Facts struct {
	Glibc     string            `json:"glibc"`     // "2.36"; "" where the image has no glibc
	Musl      bool              `json:"musl"`      // it has musl's dynamic linker
	Passwd    string            `json:"passwd"`    // /etc/passwd
	Group     string            `json:"group"`     // /etc/group
	OSRelease map[string]string `json:"osRelease"` // /etc/os-release, or the one in /usr/lib
	Shell     bool              `json:"shell"`     // there is /bin/sh
	Bash      bool              `json:"bash"`      // there is /bin/bash
	Conda     bool              `json:"conda"`     // there is something at /opt/conda
	Apt       bool              `json:"apt"`       // there is apt-get
	Sleep     bool              `json:"sleep"`     // there is a program sleep where programs are
	// Tini is where there is tini, an init that starts one program, hands it signals and reaps what it leaves; "" where there is none.
	Tini         string `json:"tini"`
	Certificates bool   `json:"certificates"` // there are certificates of authorities, for TLS
	// Links are the symbolic links in the root, such as "lib64": "usr/lib64", without leading slashes: a layer
	// that has a directory of such a name would hide what the link leads to.
	Links map[string]string `json:"links"`
	Homes []string          `json:"homes"` // the names in /home
}

// factsVersion changes when what is read, or how, does.
const factsVersion = 3

// record is how facts are kept.
type record struct {
	Version int   `json:"version"`
	Facts   Facts `json:"facts"`
}

// facts are read from all layers of an image once, and kept in its entry. Reading them also checks every byte of
// the layers against their digests, and against the diffIDs that BuildKit takes on trust.
func facts(ctx context.Context, img Image, entry string) (Facts, error) {
	kept := filepath.Join(entry, "facts.json")
	if b, err := os.ReadFile(kept); err == nil {
		var r record
		if json.Unmarshal(b, &r) == nil && r.Version == factsVersion {
			touch(entry)
			return r.Facts, nil
		}
	}
	t := tree{}
	for _, l := range img.Layers {
		if err := t.apply(ctx, img.Blob(l.Digest), l); err != nil {
			return Facts{}, fmt.Errorf("reading layer %s: %w", l.Digest, err)
		}
	}
	f := t.facts(img.Platform.Architecture)
	b, err := json.Marshal(record{factsVersion, f})
	if err != nil {
		return Facts{}, err
	}
	return f, writeFile(kept, b)
}

// RequireGlibc says that, and why, Conda packages cannot run on the image.
func (f Facts) RequireGlibc() error {
	switch {
	case f.Glibc != "":
		return nil
	case f.Musl:
		return errors.New("it has the C library musl, and Conda packages need glibc: choose another base, such as Debian's or Ubuntu's")
	}
	return errors.New("it has no C library (libc.so.6), and Conda packages need glibc: choose another base, such as Debian's or Ubuntu's")
}

// facts answers from a whole tree.
func (t tree) facts(arch string) Facts {
	f := Facts{
		Glibc: t.glibc(arch), Musl: t.musl(),
		Passwd: t.text("etc/passwd"), Group: t.text("etc/group"),
		OSRelease: osRelease(t.text("etc/os-release")),
		Shell:     t.has("bin/sh"), Bash: t.has("bin/bash"), Conda: t.has("opt/conda"), Apt: t.has("usr/bin/apt-get"),
		Sleep: t.first("bin/sleep", "usr/bin/sleep") != "", Tini: t.first("usr/bin/tini", "sbin/tini", "usr/sbin/tini", "bin/tini", "usr/local/bin/tini"),
		Certificates: t.first("etc/ssl/certs/ca-certificates.crt", "etc/pki/tls/certs/ca-bundle.crt", "etc/ssl/cert.pem") != "",
		Links:        map[string]string{},
	}
	if len(f.OSRelease) == 0 {
		f.OSRelease = osRelease(t.text("usr/lib/os-release"))
	}
	for p, n := range t {
		dir, name := path.Split(p)
		switch {
		case dir == "" && n.link != "":
			f.Links[p] = strings.TrimPrefix(path.Clean("/"+n.link), "/")
		case dir == "home/" && n.dir:
			f.Homes = append(f.Homes, name)
		}
	}
	slices.Sort(f.Homes)
	return f
}

// glibc is the version in the libc.so.6 that programs of the architecture load.
func (t tree) glibc(arch string) string {
	triplet := map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu", "ppc64le": "powerpc64le-linux-gnu"}[arch]
	for _, dir := range []string{"lib/" + triplet, "usr/lib/" + triplet, "lib64", "usr/lib64", "lib", "usr/lib"} {
		if p, ok := t.resolve(dir + "/libc.so.6"); ok && t[p].glibc != "" {
			return t[p].glibc
		}
	}
	return ""
}

func (t tree) musl() bool {
	for p := range t {
		if strings.HasPrefix(path.Base(p), "ld-musl-") {
			return true
		}
	}
	return false
}

func (t tree) has(p string) bool {
	_, ok := t.resolve(p)
	return ok
}

// first is the first of the paths that there is something at, absolute; "" where there is nothing at any.
func (t tree) first(paths ...string) string {
	for _, p := range paths {
		if t.has(p) {
			return "/" + p
		}
	}
	return ""
}

func (t tree) text(p string) string {
	p, ok := t.resolve(p)
	if !ok {
		return ""
	}
	return string(t[p].text)
}

// osRelease reads the assignments of os-release(5).
func osRelease(s string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(s) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.HasPrefix(key, "#") {
			continue
		}
		if v, err := strconv.Unquote(value); err == nil {
			value = v
		}
		m[key] = strings.Trim(value, "'")
	}
	return m
}
