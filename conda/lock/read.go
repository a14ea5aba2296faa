package lock

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"gopkg.in/yaml.v3"
)

// maxSize bounds a lock file: the largest known have some MB.
const maxSize = 256 << 20

// Format is a format of lock files.
type Format string

// The formats that are read. Those of conda-lock and @EXPLICIT are also written.
const (
	CondaLock Format = "conda-lock" // conda-lock.yml, version 1 (CEP 37)
	Explicit  Format = "explicit"   // a list of URLs below @EXPLICIT (CEP 23)
	Pixi      Format = "pixi"       // pixi.lock, versions 4 to 7
)

// Options are how a lock file is read.
type Options struct {
	// Environment is the one that is meant of a pixi.lock's: "default" when empty. Behind an "@" may follow the name that
	// pixi.toml gives a platform, for what has several of one system: "default@linux-64-cuda".
	Environment string
}

// ReadFile reads a lock file. Its content says which format it has.
func ReadFile(path string, o Options) (*Lock, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the lock: %w", err)
	}
	defer f.Close()
	return Read(f, path, o)
}

// Read is ReadFile for a file that is open; name is how its errors call it.
func Read(r io.Reader, name string, o Options) (*Lock, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxSize+1))
	if err == nil && len(data) > maxSize {
		err = fmt.Errorf("it is larger than %d bytes", maxSize)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the lock %s: %w", name, err)
	}
	if isExplicit(data) {
		if o.Environment != "" {
			return nil, fmt.Errorf("reading the lock %s: %w", name, errOneEnvironment)
		}
		return readExplicit(string(data), name)
	}
	root, err := parseYAML(data)
	if err != nil {
		return nil, fmt.Errorf("reading the lock %s: %w", name, err)
	}
	f := file{name}
	top, err := f.mapping(root, "the lock")
	if err != nil {
		return nil, err
	}
	format := formatOf(root)
	if err := f.checkVersion(root, top, format); err != nil {
		return nil, err
	}
	switch {
	case format == Pixi:
		return readPixi(f, top, o.Environment)
	case o.Environment != "":
		return nil, fmt.Errorf("reading the lock %s: %w", name, errOneEnvironment)
	default:
		return readCondaLock(f, top)
	}
}

// Detect says which format a file has; "" where it is no lock file. Only what it begins with, and the names of its parts, are
// looked at: reading it may still fail.
func Detect(data []byte) Format {
	if isExplicit(data) {
		return Explicit
	}
	root, err := parseYAML(data)
	if err != nil {
		return ""
	}
	return formatOf(root)
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

// parseYAML is the mapping that a lock file in YAML is.
func parseYAML(data []byte) (root *yaml.Node, err error) {
	defer func() {
		// The parser indexes past its buffers on some malformed inputs: that is a malformed input, not a crash.
		if r := recover(); r != nil {
			root, err = nil, fmt.Errorf("not readable as YAML (%v)", r)
		}
	}()
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, err
	}
	if doc.Kind != yaml.DocumentNode || doc.Content[0].Kind != yaml.MappingNode {
		return nil, errNoLock
	}
	return doc.Content[0], nil
}

func formatOf(root *yaml.Node) Format {
	has := map[string]bool{}
	for i := 0; i < len(root.Content); i += 2 {
		has[root.Content[i].Value] = true
	}
	switch {
	case has["environments"] && has["packages"]:
		return Pixi
	case has["package"] && (has["metadata"] || has["version"]):
		return CondaLock
	}
	return ""
}

// checkVersion refuses what is no lock file, and versions of the formats that are not known.
func (f file) checkVersion(root *yaml.Node, top fields, format Format) error {
	n, version := top["version"], top.optional("version")
	switch {
	case format == Pixi && slices.Contains([]string{"4", "5", "6", "7"}, version):
		return nil
	case format == Pixi:
		return f.errorf(cmp.Or(n, root), "version %q of pixi.lock is not known: versions 4 to 7 are read", version)
	case format == CondaLock && (version == "2" || version == "3"):
		return f.errorf(n, "version %s is none of conda-lock's, of which 1 is read, and as that of a pixi.lock it is too old: 4 to 7 are read, \"pixi lock\" writes it anew", version)
	case n != nil && version != "1" && (format == CondaLock || len(top) == 1):
		return f.errorf(n, "version %q of the format is not known: want 1", version)
	case format == "" || top["metadata"] == nil:
		return f.errorf(root, "%w", errNoLock)
	}
	return nil // conda-lock's version is 1 where it is missing, says CEP 37
}

var errOneEnvironment = errors.New("it has one environment, which has no name: only a pixi.lock has several")

var errNoLock = errors.New("it is neither a conda-lock file (version, metadata, package), nor a pixi.lock (version, environments, packages), nor an @EXPLICIT list of URLs")

// place is a line of a lock file.
type place struct {
	name string
	line int
}

func (p place) errorf(format string, args ...any) error {
	return fmt.Errorf("%s:%d: %w", p.name, p.line, fmt.Errorf(format, args...))
}
