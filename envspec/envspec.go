// Package envspec reads environment.yml and RuntimeEnvironment files, with file, line and column in every
// error, and pins a RuntimeEnvironment to an image's digest.
package envspec

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"
)

// File is an input file.
type File struct {
	Path string // as messages name it; paths in the file are relative to its directory
	Data []byte
}

// ReadFile reads a file from disk.
func ReadFile(path string) (File, error) {
	f, err := os.Open(path)
	if err != nil {
		return File{}, fmt.Errorf("reading an input file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return File{}, fmt.Errorf("reading an input file: %w", err)
	case len(data) > maxFile:
		return File{}, fmt.Errorf("reading an input file: %s has more than %d MiB, which no environment has", path, maxFile>>20)
	}
	return File{Path: path, Data: data}, nil
}

// maxFile is how many bytes an input file may have.
const maxFile = 4 << 20

// Position is a place in an input file. Lines and columns count from 1, columns in characters.
type Position struct {
	File   string
	Line   int
	Column int
}

// String is the form that editors and terminals recognise: "environment.yml:7:5".
func (p Position) String() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column) }

// Error is a fault of an input file, at its place. It never shows credentials.
type Error struct {
	Position
	Source string // the line that it is on, credentials masked
	Msg    string // what is wrong and what to do, credentials masked
	Err    error  // the cause, where there is one

	caret int // where the caret goes below Source, in characters from 0
}

// Error is the place and the message on the first line, then the source line with a caret below the place.
func (e *Error) Error() string {
	msg := e.Msg
	if e.Err != nil {
		msg += ": " + e.Err.Error()
	}
	gutter := fmt.Sprintf("%5d | ", e.Line)
	return fmt.Sprintf("%s: %s\n%s%s\n%s| %s^", e.Position, redact(msg), gutter, e.Source,
		strings.Repeat(" ", len(gutter)-2), caretPad(e.Source, e.caret))
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// Warning is something that is read otherwise than its author may think.
type Warning struct {
	Position
	Msg string
}

// String is the warning with its place, on one line.
func (w Warning) String() string { return w.Position.String() + ": warning: " + w.Msg }

// excerptWidth is how much of a line an error shows, in characters.
const excerptWidth = 160

// excerpt is the part of a line around its character n, and where n is in it. What a terminal would obey is not shown.
func excerpt(line string, n int) (string, int) {
	runes := []rune(line)
	for i, r := range runes {
		if r != '\t' && (unicode.IsControl(r) || unicode.In(r, unicode.Cf)) {
			runes[i] = utf8.RuneError
		}
	}
	if len(runes) <= excerptWidth {
		return string(runes), n
	}
	start := max(0, min(n-excerptWidth/2, len(runes)-excerptWidth))
	end := start + excerptWidth
	part := runes[start:end]
	if start > 0 {
		part[0] = '…'
	}
	if end < len(runes) {
		part[len(part)-1] = '…'
	}
	return string(part), n - start
}

// caretPad is the blank text that puts a caret below character n of line, keeping its tabs.
func caretPad(line string, n int) string {
	var b strings.Builder
	for i, r := range []rune(line) {
		if i == n {
			break
		}
		if r == '\t' {
			b.WriteRune('\t')
		} else {
			b.WriteRune(' ')
		}
	}
	for b.Len() < n && len([]rune(line)) < n {
		b.WriteRune(' ')
	}
	return b.String()
}
