package main

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// ownersAfter are the packages, and the distributions that pip installed, that have put files in the image, by path, after all steps.
func ownersAfter(ls layers, steps []stepChanges) map[string]string {
	owners := ownersOf(ls.segments)
	for _, s := range steps {
		for _, f := range s.Files {
			switch {
			case f.Kind == kindRemoved:
				delete(owners, f.Path)
			case f.Distribution != "":
				owners[f.Path] = f.Distribution + " (pip)"
			case owners[f.Path] == "" && f.Kind != "directory":
				owners[f.Path] = s.Step
			}
		}
	}
	return owners
}

var (
	identifier   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	extension    = regexp.MustCompile(`^([^.]+)(\.[^/]*)?\.so$`)
	extensionFor = regexp.MustCompile(`\.cpython-(\d+)`)
)

// modulesOf are the modules that an environment lets one import at its top level, and a file of each: packages, files and compiled
// modules in site-packages, with the packages in its namespace packages (PEP 420). Those that begin with two underscores, and tests
// and set-up scripts that packages have left there, are nobody's to import; nor are shared libraries that are called so, or that have no
// tag (PEP 3149) and lie in a folder. The standard library is left to python's own tests.
func modulesOf(files map[string]string, version, site string) map[string]string {
	regular, found := map[string]bool{}, map[string]string{}
	inits := func(name string) bool {
		m := extension.FindStringSubmatch(name)
		return name == "__init__.py" || m != nil && m[1] == "__init__"
	}
	for at := range files {
		if rel, ok := strings.CutPrefix(at, site+"/"); ok && inits(path.Base(rel)) && path.Dir(rel) != "." {
			regular[path.Dir(rel)] = true
		}
	}
	for at := range files {
		rel, ok := strings.CutPrefix(at, site+"/")
		if !ok {
			continue
		}
		dir, name := path.Split(rel)
		dir = strings.TrimSuffix(dir, "/")
		module := ""
		switch m := extension.FindStringSubmatch(name); {
		case inits(name):
			module = dir
		case m != nil && (dir == "" || m[2] != "") && !strings.HasPrefix(m[1], "lib") && !otherPython(name, version):
			module = path.Join(dir, m[1])
		case dir == "" && strings.HasSuffix(name, ".py"):
			module = strings.TrimSuffix(name, ".py")
		}
		if module == "" || !isTop(module, regular) {
			continue
		}
		dotted := strings.ReplaceAll(module, "/", ".")
		if old := found[dotted]; old == "" || at < old {
			found[dotted] = at
		}
	}
	return found
}

// otherPython says whether a compiled module is for another python.
func otherPython(name, version string) bool {
	m := extensionFor.FindStringSubmatch(name)
	return m != nil && m[1] != strings.ReplaceAll(version, ".", "")
}

// isTop says whether a module, with slashes, is one that its users import first: no regular package is above it.
func isTop(module string, regular map[string]bool) bool {
	parts := strings.Split(module, "/")
	if len(parts) > 3 || slices.Contains([]string{"test", "tests", "setup", "conftest"}, parts[len(parts)-1]) {
		return false
	}
	if len(parts) > 1 && slices.Contains([]string{"test", "tests", "bin", "lib", "share", "docs", "doc", "examples", "benchmarks"}, parts[0]) {
		return false
	}
	for i, p := range parts {
		if !identifier.MatchString(p) || strings.HasPrefix(p, "__") {
			return false
		}
		if i > 0 && regular[strings.Join(parts[:i], "/")] {
			return false
		}
	}
	return true
}
