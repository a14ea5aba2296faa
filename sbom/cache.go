package sbom

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	syftsbom "github.com/anchore/syft/syft/sbom"
	"github.com/klauspost/compress/zstd"
)

// cacheFormat is to be raised whenever the same image gives other packages than before.
const cacheFormat = 2

// cache keeps what scans found, one file per image. A file may vanish at any time.
type cache struct {
	dir string // nothing is kept when empty
}

// file is where the scan of an image is kept. Its name tells apart whatever a scan depends on.
func (c cache) file(digest, prefix string) string {
	key := sha256.Sum256(fmt.Appendf(nil, "%d\n%s\n%s\n%s", cacheFormat, syftVersion(), prefix, digest))
	_, hex, _ := strings.Cut(digest, ":")
	return filepath.Join(c.dir, fmt.Sprintf("%s-%x.syft.json.zst", hex, key[:4]))
}

// load is the kept scan of an image, and nil where there is none that can be read.
func (c cache) load(digest, prefix string) *syftsbom.SBOM {
	if c.dir == "" {
		return nil
	}
	path := c.file(digest, prefix)
	packed, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	dec, err := zstd.NewReader(nil)
	if err != nil {
		return nil
	}
	defer dec.Close()
	data, err := dec.DecodeAll(packed, nil)
	if err != nil {
		return nil
	}
	s, err := decode(data)
	if err != nil {
		return nil
	}
	now := time.Now()
	_ = os.Chtimes(path, now, now) // the least recently used are pruned first
	return s
}

// store keeps the scan of an image.
func (c cache) store(digest, prefix string, data []byte) error {
	if c.dir == "" {
		return nil
	}
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		return err
	}
	defer enc.Close()
	f, err := os.CreateTemp(c.dir, ".tmp-")
	if err != nil {
		return fmt.Errorf("keeping the scan of %s: %w", digest, err)
	}
	defer os.Remove(f.Name()) // it has another name by then
	if _, err := f.Write(enc.EncodeAll(data, nil)); err != nil {
		_ = f.Close()
		return fmt.Errorf("keeping the scan of %s: %w", digest, err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("keeping the scan of %s: %w", digest, err)
	}
	if err := os.Rename(f.Name(), c.file(digest, prefix)); err != nil {
		return fmt.Errorf("keeping the scan of %s: %w", digest, err)
	}
	return nil
}

// syftVersion is the version of Syft that this program is linked with, as far as the linker wrote it down.
func syftVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range info.Deps {
		if m.Path == "github.com/anchore/syft" {
			return strings.TrimPrefix(m.Version, "v")
		}
	}
	return ""
}
