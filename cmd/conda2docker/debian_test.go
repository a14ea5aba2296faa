package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/rogpeppe/go-internal/testscript"
)

// debianMirror is a small archive of Debian packages that counts what it is asked.
type debianMirror struct {
	mu       sync.Mutex
	requests []string
}

// debianCommand is about Debian's packages: "base" serves an archive that has the package greeting, and makes an image of Debian that looks
// only there, which is then called $APT_BASE; "requests" prints what the archive was asked.
func debianCommand(ts *testscript.TestScript, w *world, args []string) error {
	switch strings.Join(args, " ") {
	case "base":
		m := &debianMirror{}
		root := ts.MkAbs(cacheName + "-debian")
		if err := writeArchive(filepath.Join(root, "archive")); err != nil {
			return err
		}
		files := http.FileServer(http.Dir(filepath.Join(root, "archive")))
		server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			m.mu.Lock()
			m.requests = append(m.requests, r.Method+" "+r.URL.Path)
			m.mu.Unlock()
			files.ServeHTTP(rw, r)
		}))
		w.t.Cleanup(server.Close)
		w.debian = m
		base := filepath.Join(root, "base")
		ts.Setenv("APT_BASE", "oci-layout:"+base)
		return addToBase(strings.TrimPrefix(ts.Getenv("BASE"), "oci-layout:"), base, map[string]string{
			"etc/apt/sources.list": "deb [trusted=yes] " + server.URL + " ./\n",
		})
	case "requests":
		w.debian.mu.Lock()
		defer w.debian.mu.Unlock()
		_, err := fmt.Fprint(ts.Stdout(), lines(w.debian.requests))
		return err
	}
	return errors.New("usage: debian base|requests")
}

// writeArchive makes an archive with one package, which has a program.
func writeArchive(dir string) error {
	tree := filepath.Join(dir, "tree")
	for name, body := range map[string]string{
		"DEBIAN/control":   "Package: greeting\nVersion: 1.0\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\nDescription: greets\n",
		"usr/bin/greeting": "#!/bin/sh\necho hello from Debian\n",
	} {
		at := filepath.Join(tree, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(at, []byte(body), 0o755); err != nil {
			return err
		}
	}
	deb := filepath.Join(dir, "greeting_1.0_all.deb")
	if out, err := exec.Command("dpkg-deb", "--root-owner-group", "-Zxz", "-b", tree, deb).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	body, err := os.ReadFile(deb)
	if err != nil {
		return err
	}
	packages := fmt.Sprintf("Package: greeting\nVersion: 1.0\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\nDescription: greets\nFilename: ./greeting_1.0_all.deb\nSize: %d\nSHA256: %x\n", len(body), sha256.Sum256(body))
	release := fmt.Sprintf("Suite: stable\nDate: Sat, 10 Jun 2023 00:00:00 UTC\nSHA256:\n %x %d Packages\n", sha256.Sum256([]byte(packages)), len(packages))
	return errors.Join(os.WriteFile(filepath.Join(dir, "Packages"), []byte(packages), 0o600), os.WriteFile(filepath.Join(dir, "Release"), []byte(release), 0o600))
}

// addToBase writes a layout with the image of another one and a layer of files on it.
func addToBase(from, to string, files map[string]string) error {
	index, err := layout.ImageIndexFromPath(from)
	if err != nil {
		return err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return err
	}
	img, err := index.Image(manifest.Manifests[0].Digest)
	if err != nil {
		return err
	}
	var body bytes.Buffer
	tw := tar.NewWriter(&body)
	for _, name := range sortedKeys(files) {
		if err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name]))}); err != nil {
			return err
		}
		if _, err := io.WriteString(tw, files[name]); err != nil {
			return err
		}
	}
	if err := tw.Close(); err != nil {
		return err
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body.Bytes())), nil }, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return err
	}
	if img, err = mutate.AppendLayers(img, l); err != nil {
		return err
	}
	out, err := layout.Write(to, empty.Index)
	if err != nil {
		return err
	}
	return out.AppendImage(img, layout.WithPlatform(v1.Platform{OS: "linux", Architecture: "amd64"}))
}

// sharedLibrary is a library for x86-64 with nothing in it but that it needs another one.
func sharedLibrary(needs string) string {
	const header, programs, dynamic = 64, 2 * 56, 7 * 16
	names := header + programs + dynamic
	text := append(append([]byte{0}, needs...), 0)
	for (names+len(text))%8 != 0 {
		text = append(text, 0)
	}
	symbols := names + len(text)
	hashes := symbols + 24
	size := uint64(hashes + 16)
	var out bytes.Buffer
	put := func(values ...any) {
		for _, v := range values {
			_ = binary.Write(&out, binary.LittleEndian, v) // to memory
		}
	}
	out.WriteString("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	put(uint16(3), uint16(62), uint32(1), uint64(0), uint64(header), uint64(0), uint32(0), uint16(header), uint16(56), uint16(2), uint16(64), uint16(0), uint16(0))
	put(uint32(1), uint32(6), uint64(0), uint64(0), uint64(0), size, size, uint64(0x1000))
	at := uint64(header + programs)
	put(uint32(2), uint32(6), at, at, at, uint64(dynamic), uint64(dynamic), uint64(8))
	for _, entry := range [][2]int{{1, 1}, {5, names}, {6, symbols}, {10, len(text)}, {11, 24}, {4, hashes}, {0, 0}} {
		put(int64(entry[0]), int64(entry[1]))
	}
	out.Write(text)
	out.Write(make([]byte, 24))
	put(uint32(1), uint32(1), uint32(0), uint32(0))
	return out.String()
}
