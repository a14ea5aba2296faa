package sandbox

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"html"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// indexKind is how a package is published.
type indexKind string

const (
	pureWheel   indexKind = "py3-none-any"
	ownWheel    indexKind = "its own"                  // Debian has the wheel that its author released
	compiled    indexKind = "cp311-cp311-linux_x86_64" // has parts for one platform
	legacySdist indexKind = "setup.py"                 // a source distribution as all were once
	sdist       indexKind = "pyproject.toml"           // a source distribution (PEP 517)
)

// indexPackage is a package of the index, and Debian's package that it is made from.
type indexPackage struct {
	deb  string
	kind indexKind
}

// indexPackages are the packages of the index, by name: ones that no conda package of the channel has, and what source distributions
// are built with.
func indexPackages() map[string]indexPackage {
	return map[string]indexPackage{
		"graphviz": {"python3-graphviz", pureWheel}, "humanize": {"python3-humanize", pureWheel}, "tabulate": {"python3-tabulate", pureWheel},
		"markupsafe": {"python3-markupsafe", compiled}, "docopt": {"python3-docopt", legacySdist}, "xmltodict": {"python3-xmltodict", sdist},
		"setuptools": {"python3-setuptools-whl", ownWheel}, "wheel": {"python3-wheel-whl", ownWheel},
	}
}

const wheelsID = "3"

var metadataVersion = regexp.MustCompile(`(?m)^Version: .*$`)

// makeWheels makes a package index of Debian's packages (PEP 427, PEP 503).
func (s *Sandbox) makeWheels(ctx context.Context, d debian) error {
	if done(s.wheels(), wheelsID) {
		return nil
	}
	tmp := s.wheels() + ".part"
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(d.dir, "lists")); errors.Is(err, fs.ErrNotExist) {
		if err := d.update(ctx); err != nil {
			return err
		}
	}
	for _, name := range sortedKeys(indexPackages()) {
		p := indexPackages()[name]
		debs, err := d.download(ctx, []string{p.deb})
		if err != nil {
			return err
		}
		if err := makeIndexed(ctx, name, p.kind, debs[0], tmp); err != nil {
			return fmt.Errorf("package %s of the index: %w", name, err)
		}
	}
	return finish(tmp, s.wheels(), wheelsID)
}

// makeIndexed writes one package and its page of the index.
func makeIndexed(ctx context.Context, name string, kind indexKind, d deb, dir string) error {
	raw, err := os.MkdirTemp(filepath.Dir(dir), ".wheel-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(raw)
	if err := d.unpack(ctx, raw); err != nil {
		return err
	}
	if kind == ownWheel {
		found, err := filepath.Glob(filepath.Join(raw, "usr/share/python-wheels", name+"-*.whl"))
		if err != nil {
			return err
		}
		if len(found) != 1 {
			return fmt.Errorf("it has %d wheels, want one", len(found))
		}
		body, err := os.ReadFile(found[0])
		if err != nil {
			return err
		}
		return publish(dir, name, filepath.Base(found[0]), body)
	}
	site := filepath.Join(raw, "usr/lib/python3/dist-packages")
	info, err := filepath.Glob(filepath.Join(site, "*-info"))
	if err != nil {
		return err
	}
	if len(info) != 1 {
		return fmt.Errorf("it has %d metadata folders, want one", len(info))
	}
	version := upstream(d.Version)
	code, metadata, err := readSite(site, info[0])
	if err != nil {
		return err
	}
	var body []byte
	switch kind {
	case legacySdist, sdist:
		file := fmt.Sprintf("%s-%s.tar.gz", name, version)
		if body, err = sourceDistribution(name, version, kind, code); err != nil {
			return err
		}
		return publish(dir, name, file, body)
	default:
		if body, err = wheelOf(name, version, kind, code, metadata); err != nil {
			return err
		}
		return publish(dir, name, fmt.Sprintf("%s-%s-%s.whl", name, version, kind), body)
	}
}

// readSite reads a package's files, and those of its metadata that wheels have, by their names there.
func readSite(site, info string) (code, metadata map[string][]byte, err error) {
	code, metadata = map[string][]byte{}, map[string][]byte{}
	err = filepath.WalkDir(site, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		body, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		if in, ok := strings.CutPrefix(p, info+"/"); ok {
			if as := map[string]string{"PKG-INFO": "METADATA", "METADATA": "METADATA", "entry_points.txt": "entry_points.txt"}[in]; as != "" {
				metadata[as] = body
			}
			return nil
		}
		rel, err := filepath.Rel(site, p)
		code[rel] = body
		return err
	})
	return code, metadata, err
}

// wheelOf is a wheel of a package's files.
func wheelOf(name, version string, kind indexKind, code, metadata map[string][]byte) ([]byte, error) {
	distInfo := name + "-" + version + ".dist-info"
	files := map[string][]byte{
		distInfo + "/WHEEL": fmt.Appendf(nil, "Wheel-Version: 1.0\nGenerator: sandbox\nRoot-Is-Purelib: %t\nTag: %s\n", kind == pureWheel, kind),
	}
	for p, body := range code {
		files[p] = body
	}
	for p, body := range metadata {
		files[distInfo+"/"+p] = body
	}
	// Debian builds some without their version control, from which they take their version.
	files[distInfo+"/METADATA"] = metadataVersion.ReplaceAll(files[distInfo+"/METADATA"], []byte("Version: "+version))
	var record strings.Builder
	for _, p := range sortedKeys(files) {
		sum := sha256.Sum256(files[p])
		fmt.Fprintf(&record, "%s,sha256=%s,%d\n", p, base64.RawURLEncoding.EncodeToString(sum[:]), len(files[p]))
	}
	files[distInfo+"/RECORD"] = []byte(record.String() + distInfo + "/RECORD,,\n")
	var wheel bytes.Buffer
	z := zip.NewWriter(&wheel)
	order := sortedKeys(files)
	slices.SortStableFunc(order, func(a, b string) int { // the metadata last, as PEP 427 recommends
		return strings.Compare(fmt.Sprint(strings.Contains(a, ".dist-info/")), fmt.Sprint(strings.Contains(b, ".dist-info/")))
	})
	for _, p := range order {
		w, err := z.CreateHeader(&zip.FileHeader{Name: p, Method: zip.Deflate})
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(files[p]); err != nil {
			return nil, err
		}
	}
	err := z.Close()
	return wheel.Bytes(), err
}

// sourceDistribution is a package's modules as its author might release them; it has no folders of modules.
func sourceDistribution(name, version string, kind indexKind, code map[string][]byte) ([]byte, error) {
	files := map[string][]byte{"PKG-INFO": fmt.Appendf(nil, "Metadata-Version: 2.1\nName: %s\nVersion: %s\n", name, version)}
	var modules []string
	for p, body := range code {
		module, ok := strings.CutSuffix(p, ".py")
		if !ok || strings.Contains(p, "/") {
			return nil, fmt.Errorf("%s is no module on the top level", p)
		}
		files[p] = body
		modules = append(modules, fmt.Sprintf("%q", module))
	}
	slices.Sort(modules)
	list := strings.Join(modules, ", ")
	if kind == legacySdist {
		files["setup.py"] = fmt.Appendf(nil, "from setuptools import setup\n\nsetup(name=%q, version=%q, py_modules=[%s])\n", name, version, list)
	} else {
		files["pyproject.toml"] = fmt.Appendf(nil, "[build-system]\nrequires = [\"setuptools>=61\"]\nbuild-backend = \"setuptools.build_meta\"\n\n"+
			"[project]\nname = %q\nversion = %q\n\n[tool.setuptools]\npy-modules = [%s]\n", name, version, list)
	}
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	t := tar.NewWriter(z)
	for _, p := range sortedKeys(files) {
		h := &tar.Header{Name: name + "-" + version + "/" + p, Mode: 0o644, Size: int64(len(files[p])), ModTime: time.Unix(1e9, 0)}
		if err := t.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := t.Write(files[p]); err != nil {
			return nil, err
		}
	}
	err := errors.Join(t.Close(), z.Close())
	return out.Bytes(), err
}

// publish writes a file below files/ and its page below simple/.
func publish(dir, project, file string, body []byte) error {
	page := fmt.Sprintf("<!DOCTYPE html>\n<html><body><a href=\"../../files/%[1]s#sha256=%[2]x\">%[1]s</a></body></html>\n", html.EscapeString(file), sha256.Sum256(body))
	for p, body := range map[string][]byte{"files/" + file: body, "simple/" + project + "/index.html": []byte(page)} {
		full := filepath.Join(dir, p)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			return err
		}
		if err := writeFile(full, body); err != nil {
			return err
		}
	}
	return nil
}
