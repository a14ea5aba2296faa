package sandbox

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// sitePackages is where the tree keeps Python modules.
func (t *tree) sitePackages() string {
	if t.NoArch {
		return "site-packages"
	}
	return "lib/python3.11/site-packages"
}

// python gives a package of Python modules what pip and importlib.metadata look for, and finds its entry points.
func (t *tree) python() error {
	site := filepath.Join(t.dir, t.sitePackages())
	if _, err := os.Stat(site); errors.Is(err, fs.ErrNotExist) || t.Name == "python" {
		return nil
	}
	if err := t.metadata(site); err != nil {
		return err
	}
	if err := t.findEntryPoints(site); err != nil {
		return err
	}
	if !t.NoArch {
		return nil
	}
	return t.noarchScripts()
}

// metadata writes a dist-info where Debian ships none, or one of another version than its own.
func (t *tree) metadata(site string) error {
	found, err := filepath.Glob(filepath.Join(site, "*-info"))
	if err != nil {
		return err
	}
	version := t.version()
	for _, f := range found {
		base := filepath.Base(f)
		if stem := strings.ReplaceAll(t.Name, "-", "_"); strings.HasPrefix(base, stem+"-999") || strings.HasPrefix(base, stem+"-0.0.0") {
			if err := os.RemoveAll(f); err != nil {
				return err
			}
			continue
		}
		return nil
	}
	name := strings.ReplaceAll(t.Name, "-", "_")
	dist := filepath.Join(t.sitePackages(), name+"-"+version+".dist-info")
	if err := t.write(filepath.Join(dist, "METADATA"), fmt.Appendf(nil, "Metadata-Version: 2.1\nName: %s\nVersion: %s\n", t.Name, version), 0o644); err != nil {
		return err
	}
	return t.write(filepath.Join(dist, "INSTALLER"), []byte("conda\n"), 0o644)
}

// findEntryPoints reads the console scripts of the metadata.
func (t *tree) findEntryPoints(site string) error {
	files, err := filepath.Glob(filepath.Join(site, "*-info", "entry_points.txt"))
	if err != nil {
		return err
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		section := ""
		for sc := bufio.NewScanner(bytes.NewReader(b)); sc.Scan(); {
			line := strings.TrimSpace(sc.Text())
			switch {
			case strings.HasPrefix(line, "["):
				section = line
			case section == "[console_scripts]" && strings.Contains(line, "="):
				name, target, _ := strings.Cut(line, "=")
				target, _, _ = strings.Cut(target, "[") // extras
				t.entries = append(t.entries, strings.TrimSpace(name)+" = "+strings.TrimSpace(target))
			}
		}
	}
	slices.Sort(t.entries)
	t.entries = slices.Compact(t.entries)
	return nil
}

// noarchScripts leaves to the installer the scripts that it makes from entry points, and moves the others to where a noarch
// package keeps them.
func (t *tree) noarchScripts() error {
	made := map[string]bool{}
	for _, e := range t.entries {
		name, _, _ := strings.Cut(e, " ")
		made[name] = true
	}
	bin := filepath.Join(t.dir, "bin")
	scripts, err := os.ReadDir(bin)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, s := range scripts {
		from := filepath.Join(bin, s.Name())
		if made[s.Name()] || s.Type()&fs.ModeSymlink != 0 {
			err = os.Remove(from)
		} else {
			to := filepath.Join(t.dir, "python-scripts", s.Name())
			if err = os.MkdirAll(filepath.Dir(to), 0o755); err == nil {
				err = os.Rename(from, to)
			}
		}
		if err != nil {
			return err
		}
	}
	return os.Remove(bin)
}

// version is the conda package's version.
func (t *tree) version() string {
	if t.Version != "" {
		return t.Version
	}
	return upstream(t.debs[0].Version)
}
