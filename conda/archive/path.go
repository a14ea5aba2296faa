package archive

import (
	"fmt"
	"path"
	"strings"
	"unicode/utf8"
)

// CleanPath is the path of a package's file in its clean form, "." for the root. It refuses what does not stay below the
// prefix, what is no UTF-8, and the names that mean a deletion in an image's layer.
func CleanPath(name string) (string, error) {
	switch {
	case name == "":
		return "", fmt.Errorf("the name of a file is empty")
	case !utf8.ValidString(name):
		return "", fmt.Errorf("the name %q is not UTF-8", name)
	case strings.ContainsRune(name, 0):
		return "", fmt.Errorf("the name %q holds a NUL", name)
	case strings.HasPrefix(name, "/"):
		return "", fmt.Errorf("the name %q is an absolute path", name)
	}
	for elem := range strings.SplitSeq(name, "/") {
		switch {
		case elem == "..":
			return "", fmt.Errorf("the name %q leads out of the prefix", name)
		case strings.HasPrefix(elem, ".wh."):
			return "", fmt.Errorf("the name %q begins with .wh., which means a deletion in an image's layer", name)
		}
	}
	return path.Clean(name), nil
}

// checkSymlink refuses the targets of symbolic links that do not stay below the prefix.
func checkSymlink(p, target string) error {
	switch {
	case target == "":
		return fmt.Errorf("%q is a symbolic link to nothing: the package was built where there are none", p)
	case !utf8.ValidString(target) || strings.ContainsRune(target, 0):
		return fmt.Errorf("%q is a symbolic link to %q, which is not UTF-8", p, target)
	case strings.HasPrefix(target, "/"):
		return fmt.Errorf("%q is a symbolic link to the absolute path %q", p, target)
	}
	if to := path.Join(path.Dir(p), target); to == ".." || strings.HasPrefix(to, "../") {
		return fmt.Errorf("%q is a symbolic link to %q, out of the prefix", p, target)
	}
	return nil
}

func isInfo(p string) bool { return p == "info" || strings.HasPrefix(p, "info/") }

// parent is the directory of a clean path, "" for what is at the top.
func parent(p string) string {
	if i := strings.LastIndexByte(p, '/'); i >= 0 {
		return p[:i]
	}
	return ""
}
