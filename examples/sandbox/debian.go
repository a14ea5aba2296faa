package sandbox

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Debian's archive, unless DEBIAN_MIRROR names another.
const debianArchive = "http://deb.debian.org/debian"

// debian downloads Debian's packages with a state of its own: the apt of the machine is neither read nor changed, but
// for its settings of proxies and the like.
type debian struct {
	dir    string // state, lists and packages
	mirror string
	log    func(string, ...any)
}

// deb is one downloaded Debian package.
type deb struct {
	Name, Version, Architecture, Depends string
	Path, SHA256                         string
}

func (d debian) config() string { return filepath.Join(d.dir, "apt.conf") }

// prepare writes apt's private settings.
func (d debian) prepare() error {
	for _, sub := range []string{"lists/partial", "cache/archives/partial", "debs"} {
		if err := os.MkdirAll(filepath.Join(d.dir, sub), 0o755); err != nil {
			return err
		}
	}
	conf := ""
	for _, kv := range [][2]string{
		{"Dir::Etc::SourceList", filepath.Join(d.dir, "sources.list")},
		{"Dir::Etc::SourceParts", "/dev/null"},
		{"Dir::Etc::Preferences", "/dev/null"},
		{"Dir::Etc::PreferencesParts", "/dev/null"},
		{"Dir::State::Lists", filepath.Join(d.dir, "lists")},
		{"Dir::State::status", filepath.Join(d.dir, "status")},
		{"Dir::Cache", filepath.Join(d.dir, "cache")},
		{"APT::Architecture", "amd64"},
		{"APT::Sandbox::User", "root"},
		{"Acquire::Languages", "none"},
		{"Acquire::Retries", "3"},
		{"Debug::NoLocking", "true"},
	} {
		conf += fmt.Sprintf("%s %q;\n", kv[0], kv[1])
	}
	conf += "APT::Architectures { \"amd64\"; };\n"
	for name, body := range map[string]string{"apt.conf": conf, "sources.list": d.source("main non-free") + "\n", "status": ""} {
		if err := os.WriteFile(filepath.Join(d.dir, name), []byte(body), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// source is a line of a source list. bookworm alone is used: the packages are of one release on every host.
func (d debian) source(components string) string {
	return fmt.Sprintf("deb [signed-by=%s] %s bookworm %s", debianKeyring, d.mirror, components)
}

// debianKeyring is in Debian's and Ubuntu's package debian-archive-keyring.
const debianKeyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// apt runs apt-get with the private state in one of its folders.
func (d debian) apt(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "apt-get", args...)
	cmd.Env = append(os.Environ(), "APT_CONFIG="+d.config(), "LC_ALL=C")
	cmd.Dir = filepath.Join(d.dir, dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("apt-get %s: %w: %s", args[0], err, lastLines(stderr.String(), 3))
	}
	return out, nil
}

// update fetches the lists of packages.
func (d debian) update(ctx context.Context) error {
	if err := d.prepare(); err != nil {
		return err
	}
	_, err := d.apt(ctx, ".", "update", "-q")
	return err
}

// download fetches the packages that are not there yet and describes all of them, in the order asked for.
func (d debian) download(ctx context.Context, names []string) ([]deb, error) {
	// Where a file is there already, apt-get prints nothing for it: hence another folder.
	out, err := d.apt(ctx, ".", append([]string{"download", "-q", "--print-uris"}, names...)...)
	if err != nil {
		return nil, err
	}
	var missing []string
	files := map[string]string{} // package name → file
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.HasPrefix(line, "'") {
			continue
		}
		file := fields[1] // as apt-get names it, an epoch's colon as %3a
		name, _, _ := strings.Cut(file, "_")
		files[name] = file
		info, err := os.Stat(filepath.Join(d.dir, "debs", file))
		if err != nil || fmt.Sprint(info.Size()) != fields[2] {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		d.log("downloading %d of Debian's packages", len(missing))
		if _, err := d.apt(ctx, "debs", append([]string{"download", "-q"}, missing...)...); err != nil {
			return nil, err
		}
	}
	debs := make([]deb, len(names))
	for i, n := range names {
		if files[n] == "" {
			return nil, fmt.Errorf("debian bookworm has no package %s", n)
		}
		if debs[i], err = describe(ctx, filepath.Join(d.dir, "debs", files[n])); err != nil {
			return nil, err
		}
	}
	return debs, nil
}

// describe reads a Debian package's control fields.
func describe(ctx context.Context, path string) (deb, error) {
	out, err := exec.CommandContext(ctx, "dpkg-deb", "-f", path, "Package", "Version", "Architecture", "Depends").Output()
	if err != nil {
		return deb{}, fmt.Errorf("reading %s: %w", filepath.Base(path), err)
	}
	d := deb{Path: path}
	sc := bufio.NewScanner(bytes.NewReader(out))
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		key, value, _ := strings.Cut(sc.Text(), ": ")
		switch key {
		case "Package":
			d.Name = value
		case "Version":
			d.Version = value
		case "Architecture":
			d.Architecture = value
		case "Depends":
			d.Depends = value
		}
	}
	d.SHA256, err = fileSHA256(path)
	return d, err
}

// unpack extracts a Debian package's files.
func (d deb) unpack(ctx context.Context, dir string) error {
	if out, err := exec.CommandContext(ctx, "dpkg-deb", "-x", d.Path, dir).CombinedOutput(); err != nil {
		return fmt.Errorf("unpacking %s: %w: %s", filepath.Base(d.Path), err, lastLines(string(out), 3))
	}
	return nil
}

// upstream is the version without what Debian adds to it: the epoch, the revision and marks such as "+dfsg".
func upstream(version string) string {
	if _, rest, ok := strings.Cut(version, ":"); ok {
		version = rest
	}
	if i := strings.LastIndex(version, "-"); i >= 0 {
		version = version[:i]
	}
	for _, mark := range []string{"+dfsg", "+ds", "+really", ".dfsg", "+git", "+deb", "~"} {
		version, _, _ = strings.Cut(version, mark)
	}
	return strings.ReplaceAll(version, "-", ".")
}

func fileSHA256(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "; ")
}
