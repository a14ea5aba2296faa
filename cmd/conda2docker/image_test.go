package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/require"
)

// imageContent is what an image has in it.
type imageContent struct {
	files  map[string]*imageFile // as a container sees them, by absolute path
	traces map[string][]string   // where each text that was looked for is, in whatever layer
}

// imageFile is one file of an image.
type imageFile struct {
	header *tar.Header
	sum    string          // of all that matters
	holds  map[string]bool // the texts that were looked for and are in it
	body   string          // of those files whose bodies are kept
}

func (f *imageFile) isSymlink() bool { return f.header.Typeflag == tar.TypeSymlink }

// keptBodies are the files whose bodies are kept.
var keptBodies = regexp.MustCompile(`^/etc/(passwd|group)$|/INSTALLER$|/graphviz/config|/share/(linked|linker|spoken|built|copied)\.txt$`)

// readImage reads all layers of an image, and looks for texts in all of their files.
func readImage(t testing.TB, img v1.Image, texts ...string) imageContent {
	t.Helper()
	c := imageContent{files: map[string]*imageFile{}, traces: map[string][]string{}}
	layers, err := img.Layers()
	require.NoError(t, err)
	for i, l := range layers {
		r, err := l.Uncompressed()
		require.NoError(t, err)
		below := c.files
		c.files = map[string]*imageFile{}
		for tr := tar.NewReader(r); ; {
			h, err := tr.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
			at := path.Clean("/" + h.Name)
			if gone, ok := strings.CutPrefix(path.Base(at), ".wh."); ok {
				require.NotEqual(t, ".wh..opq", gone, at)
				remove(below, path.Join(path.Dir(at), gone))
				continue
			}
			f := readFile(t, at, h, tr, texts)
			for text := range f.holds {
				c.traces[text] = append(c.traces[text], fmt.Sprintf("layer %d: %s", i, at))
			}
			if h.Typeflag == tar.TypeLink {
				target, ok := c.files[path.Clean("/"+h.Linkname)]
				require.True(t, ok, "%s is a hard link to %s, which its layer lacks", at, h.Linkname)
				f = target
			}
			c.files[at] = f
		}
		require.NoError(t, r.Close())
		for at, f := range below {
			if _, ok := c.files[at]; !ok {
				c.files[at] = f
			}
		}
	}
	return c
}

func readFile(t testing.TB, at string, h *tar.Header, r io.Reader, texts []string) *imageFile {
	t.Helper()
	body := make([]byte, h.Size)
	_, err := io.ReadFull(r, body)
	require.NoError(t, err)
	f := &imageFile{header: h, holds: map[string]bool{}}
	for _, text := range texts {
		if bytes.Contains(body, []byte(text)) || strings.Contains(h.Linkname, text) || strings.Contains(at, text) {
			f.holds[text] = true
		}
	}
	f.sum = fmt.Sprintf("%c %o %d:%d %s %x", h.Typeflag, h.Mode, h.Uid, h.Gid, h.Linkname, sha256.Sum256(body))
	if keptBodies.MatchString(at) {
		f.body = string(body)
	}
	return f
}

// remove takes a file, or a folder with all that is in it, away.
func remove(files map[string]*imageFile, at string) {
	for p := range files {
		if p == at || strings.HasPrefix(p, at+"/") {
			delete(files, p)
		}
	}
}

// body is the body of a file of keptBodies.
func (c imageContent) body(t testing.TB, at string) string {
	t.Helper()
	f, ok := c.files[at]
	require.True(t, ok, "the image has no %s", at)
	return f.body
}
