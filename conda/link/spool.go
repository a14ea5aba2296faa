package link

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// spoolMemory is how much of a text file is kept in memory to learn its size.
const spoolMemory = 1 << 20

// spool keeps a stream to tell its size before its bytes: in memory if it is short, as text files are, else in a
// temporary file.
type spool struct {
	size int64
	mem  bytes.Buffer
	file *os.File
}

// newSpool reads src to its end, of at most limit bytes.
func newSpool(src io.Reader, limit int64) (*spool, error) {
	s := &spool{}
	src = io.LimitReader(src, limit+1)
	n, err := io.CopyN(&s.mem, src, spoolMemory)
	if s.size = n; err == nil {
		err = s.spill(src)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err == nil && s.size > limit {
		err = fmt.Errorf("it grows to more than the limit of %d bytes for one file", limit)
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *spool) spill(src io.Reader) error {
	f, err := os.CreateTemp("", "conda2docker-text-")
	if err != nil {
		return fmt.Errorf("keeping a large text file: %w", err)
	}
	s.file = f
	// The name is not needed any more, and so nothing is left behind however this ends.
	if err := os.Remove(f.Name()); err != nil {
		return fmt.Errorf("keeping a large text file: %w", err)
	}
	n, err := io.Copy(f, src)
	s.size += n
	return err
}

func (s *spool) reader() io.Reader {
	if s.file == nil {
		return bytes.NewReader(s.mem.Bytes())
	}
	return io.MultiReader(bytes.NewReader(s.mem.Bytes()), io.NewSectionReader(s.file, 0, s.size))
}

func (s *spool) close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}
