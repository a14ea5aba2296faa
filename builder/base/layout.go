package base

import (
	"path/filepath"

	"github.com/opencontainers/go-digest"
)

func blobPath(layout string, d digest.Digest) string {
	return filepath.Join(layout, "blobs", d.Algorithm().String(), d.Encoded())
}
