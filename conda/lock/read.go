package lock

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxSize bounds a lock file: the largest known have some MB.
const maxSize = 256 << 20

// ReadFile reads a lock file. Its content says which format it has: conda-lock (CEP 37) or @EXPLICIT (CEP 23).
func ReadFile(path string) (*Lock, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the lock: %w", err)
	}
	defer f.Close()
	return Read(f, path)
}

// Read is ReadFile for a file that is open; name is how its errors call it.
func Read(r io.Reader, name string) (*Lock, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxSize+1))
	if err == nil && len(data) > maxSize {
		err = fmt.Errorf("it is larger than %d bytes", maxSize)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the lock %s: %w", name, err)
	}
	if isExplicit(data) {
		return readExplicit(string(data), name)
	}
	return readCondaLock(data, name)
}

// isExplicit reports whether a line holds nothing but @EXPLICIT.
func isExplicit(data []byte) bool {
	for line := range bytes.Lines(data) {
		if string(bytes.TrimSpace(line)) == "@EXPLICIT" {
			return true
		}
	}
	return false
}

var errNoLock = errors.New("it is neither a conda-lock file (version, metadata, package) nor an @EXPLICIT list of URLs")

// place is a line of a lock file.
type place struct {
	name string
	line int
}

func (p place) errorf(format string, args ...any) error {
	return fmt.Errorf("%s:%d: %w", p.name, p.line, fmt.Errorf(format, args...))
}
