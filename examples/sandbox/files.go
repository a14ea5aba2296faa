package sandbox

import (
	"crypto/sha256"
	"os"
	"path/filepath"
)

// writeFile writes a file whole or not at all.
func writeFile(path string, body []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".part-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	if _, err := tmp.Write(body); err != nil {
		return err
	}
	if err := tmp.Chmod(0o644); err != nil {
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

func textSHA256(s string) []byte {
	sum := sha256.Sum256([]byte(s))
	return sum[:8]
}
