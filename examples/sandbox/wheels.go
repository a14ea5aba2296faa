package sandbox

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"html"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// wheelPackages are the packages of the index: pure Python ones of Debian's that no conda package of the channel has.
func wheelPackages() map[string]string {
	return map[string]string{"graphviz": "python3-graphviz", "humanize": "python3-humanize", "tabulate": "python3-tabulate"}
}

const wheelsID = "2"

var metadataVersion = regexp.MustCompile(`(?m)^Version: .*$`)

// makeWheels makes a package index with wheels of Debian's packages (PEP 427, PEP 503).
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
	for _, name := range sortedKeys(wheelPackages()) {
		debs, err := d.download(ctx, []string{wheelPackages()[name]})
		if err != nil {
			return err
		}
		if err := makeWheel(ctx, name, debs[0], tmp); err != nil {
			return fmt.Errorf("wheel %s: %w", name, err)
		}
	}
	return finish(tmp, s.wheels(), wheelsID)
}

// makeWheel writes one wheel and its page of the index.
func makeWheel(ctx context.Context, name string, d deb, dir string) error {
	raw, err := os.MkdirTemp(filepath.Dir(dir), ".wheel-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(raw)
	if err := d.unpack(ctx, raw); err != nil {
		return err
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
	distInfo := name + "-" + version + ".dist-info"
	files := map[string][]byte{distInfo + "/WHEEL": []byte("Wheel-Version: 1.0\nGenerator: sandbox\nRoot-Is-Purelib: true\nTag: py3-none-any\n")}
	err = filepath.WalkDir(site, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(site, p)
		if err != nil {
			return err
		}
		if in, ok := strings.CutPrefix(p, info[0]+"/"); ok {
			rel = distInfo + "/" + map[string]string{"PKG-INFO": "METADATA", "METADATA": "METADATA", "entry_points.txt": "entry_points.txt"}[in]
		}
		if strings.HasSuffix(rel, "/") {
			return nil
		}
		files[rel], err = os.ReadFile(p)
		return err
	})
	if err != nil {
		return err
	}
	// Debian builds some without their version control, from which they take their version.
	files[distInfo+"/METADATA"] = metadataVersion.ReplaceAll(files[distInfo+"/METADATA"], []byte("Version: "+version))
	var record strings.Builder
	for _, p := range sortedKeys(files) {
		sum := sha256.Sum256(files[p])
		fmt.Fprintf(&record, "%s,sha256=%s,%d\n", p, base64.RawURLEncoding.EncodeToString(sum[:]), len(files[p]))
	}
	files[distInfo+"/RECORD"] = []byte(record.String() + distInfo + "/RECORD,,\n")
	return publish(dir, name, fmt.Sprintf("%s-%s-py3-none-any.whl", name, version), files)
}

// publish writes a wheel below files/ and its page below simple/.
func publish(dir, project, file string, contents map[string][]byte) error {
	var wheel bytes.Buffer
	z := zip.NewWriter(&wheel)
	order := sortedKeys(contents)
	slices.SortStableFunc(order, func(a, b string) int { // the metadata last, as PEP 427 recommends
		return strings.Compare(fmt.Sprint(strings.Contains(a, ".dist-info/")), fmt.Sprint(strings.Contains(b, ".dist-info/")))
	})
	for _, p := range order {
		w, err := z.CreateHeader(&zip.FileHeader{Name: p, Method: zip.Deflate})
		if err != nil {
			return err
		}
		if _, err := io.Copy(w, bytes.NewReader(contents[p])); err != nil {
			return err
		}
	}
	if err := z.Close(); err != nil {
		return err
	}
	page := fmt.Sprintf("<!DOCTYPE html>\n<html><body><a href=\"../../files/%[1]s#sha256=%[2]x\">%[1]s</a></body></html>\n", html.EscapeString(file), sha256.Sum256(wheel.Bytes()))
	for p, body := range map[string][]byte{"files/" + file: wheel.Bytes(), "simple/" + project + "/index.html": []byte(page)} {
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
