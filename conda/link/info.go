package link

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/archive"
)

// info is what a package says of itself (CEP 34).
type info struct {
	index, about json.RawMessage
	identity     identity
	paths        []Path    // of which only Meta is known, without path_type where files, has_prefix and no_link stand in for paths.json
	listed       bool      // there is a list of the files, if only an empty one
	metadata     *metadata // link.json, or what older packages have in its place
}

// identity is what index.json must agree on with the channel's record.
type identity struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Build   string `json:"build"`
	NoArch  any    `json:"noarch"` // a string, or true, or null
}

// metadata is link.json: how noarch packages are linked.
type metadata struct {
	Version json.Number `json:"package_metadata_version"`
	NoArch  *struct {
		Type        any      `json:"type"` // as in index.json
		EntryPoints []string `json:"entry_points"`
	} `json:"noarch"`
}

// readInfo reads the files of info/ that say what is to be linked.
func readInfo(ctx context.Context, r *archive.Reader) (info, error) {
	raw := map[string][]byte{
		"index.json": nil, "about.json": nil, "files": nil, "has_prefix": nil, "no_link": nil,
		"no_softlink": nil, "link.json": nil, "package_metadata.json": nil, "noarch.json": nil,
	}
	var in info
	err := r.Info(ctx, func(e archive.Entry, body io.Reader) error {
		name := strings.TrimPrefix(e.Path, "info/")
		if name == "paths.json" && body != nil {
			in.listed = true
			var err error
			in.paths, err = readPaths(body, e.Size)
			return err
		}
		if _, ok := raw[name]; !ok || body == nil {
			return nil
		}
		b := make([]byte, e.Size)
		_, err := io.ReadFull(body, b)
		raw[name] = b
		return err
	})
	if err != nil {
		return info{}, err
	}
	in.index, in.about = compact(raw["index.json"]), compact(raw["about.json"])
	if raw["index.json"] == nil {
		return info{}, errors.New("the package has no info/index.json")
	}
	if err := json.Unmarshal(raw["index.json"], &in.identity); err != nil {
		return info{}, fmt.Errorf("reading info/index.json: %w", err)
	}
	if !in.listed {
		if err := in.readFiles(raw); err != nil {
			return info{}, err
		}
	}
	return in, in.readMetadata(raw)
}

// compact is JSON as it comes back from other JSON that it is kept in; what is none is left out, since it only informs.
func compact(b []byte) json.RawMessage {
	var out bytes.Buffer
	if b == nil || json.Compact(&out, b) != nil {
		return nil
	}
	return out.Bytes()
}

// readFiles reads the lists that packages had before paths.json.
func (in *info) readFiles(raw map[string][]byte) error {
	in.listed = raw["files"] != nil
	prefixes, err := readHasPrefix(raw["has_prefix"])
	if err != nil {
		return err
	}
	noLink := map[string]bool{}
	for _, l := range append(lines(raw["no_link"]), lines(raw["no_softlink"])...) {
		noLink[l] = true
	}
	for _, l := range lines(raw["files"]) {
		m := MetaPath{Path: l, NoLink: noLink[l]}
		if p, ok := prefixes[l]; ok {
			m.Placeholder, m.FileMode = p.placeholder, string(p.mode)
		}
		in.paths = append(in.paths, Path{Meta: m})
	}
	return nil
}

// lines are the lines that say something.
func lines(b []byte) []string {
	var out []string
	for l := range strings.Lines(string(b)) {
		if l = strings.TrimSpace(l); l != "" && !strings.HasPrefix(l, "#") {
			out = append(out, l)
		}
	}
	return out
}

// defaultPlaceholder is the prefix of packages from before has_prefix named it.
const defaultPlaceholder = "/opt/anaconda1anaconda2anaconda3"

// readHasPrefix reads lines of either a path, or a placeholder, a mode and a path, each perhaps in quotes.
func readHasPrefix(b []byte) (map[string]replacement, error) {
	out := map[string]replacement{}
	for _, l := range lines(b) {
		switch w := split(l); len(w) {
		case 1:
			out[w[0]] = replacement{mode: textMode, placeholder: defaultPlaceholder}
		case 3:
			out[w[2]] = replacement{mode: mode(w[1]), placeholder: w[0]}
		default:
			return nil, fmt.Errorf("info/has_prefix: %q: want a path, or a prefix, a mode and a path", l)
		}
	}
	return out, nil
}

// split splits at spaces outside of quotes that begin a word.
func split(l string) []string {
	var out []string
	for l = strings.TrimSpace(l); l != ""; l = strings.TrimSpace(l) {
		end := strings.IndexAny(l, " \t")
		if q := l[0]; q == '"' || q == '\'' {
			if i := strings.IndexByte(l[1:], q); i >= 0 {
				end = i + 2
			}
		}
		if end < 0 || end > len(l) {
			end = len(l)
		}
		out = append(out, strings.Trim(l[:end], `"'`))
		l = l[end:]
	}
	return out
}

// readMetadata reads link.json or its predecessors. noarch.json is older than what conda reads today: it holds the inner
// object alone.
func (in *info) readMetadata(raw map[string][]byte) error {
	for _, name := range []string{"link.json", "package_metadata.json"} {
		b := raw[name]
		if b == nil {
			continue
		}
		in.metadata = &metadata{}
		if err := json.Unmarshal(b, in.metadata); err != nil {
			return fmt.Errorf("reading info/%s: %w", name, err)
		}
		if in.metadata.Version != "1" {
			return fmt.Errorf("info/%s is of version %q, and only 1 is known", name, in.metadata.Version)
		}
		return nil
	}
	if b := raw["noarch.json"]; b != nil {
		in.metadata = &metadata{}
		if err := json.Unmarshal(b, &in.metadata.NoArch); err != nil {
			return fmt.Errorf("reading info/noarch.json: %w", err)
		}
	}
	return nil
}

// agrees checks that the archive holds the package that the channel says it does.
func (in *info) agrees(rec *conda.Record) error {
	for _, f := range []struct{ field, got, want string }{
		{"name", strings.ToLower(in.identity.Name), string(rec.Name)},
		{"version", in.identity.Version, rec.Version.String()},
		{"build", in.identity.Build, rec.Build},
	} {
		if f.got != f.want {
			return fmt.Errorf("the archive holds another package than the channel says: info/index.json has the %s %q, not %q",
				f.field, f.got, f.want)
		}
	}
	return nil
}

// noarch is how the package is linked. As conda does, the channel's word comes before the package's own.
func (in *info) noarch(rec *conda.Record) (conda.NoArch, error) {
	if rec.NoArch != conda.NoArchNone {
		return noarchOf(string(rec.NoArch))
	}
	kind, err := in.metadata.noarch()
	if err != nil || kind != conda.NoArchNone {
		return kind, err
	}
	return noarchOf(in.identity.NoArch)
}

// noarch is how link.json says that the package is linked.
func (m *metadata) noarch() (conda.NoArch, error) {
	if m == nil || m.NoArch == nil {
		return conda.NoArchNone, nil
	}
	return noarchOf(m.NoArch.Type)
}

// noarchOf reads the many ways in which packages say it, as conda's NoarchType.coerce does.
func noarchOf(v any) (conda.NoArch, error) {
	switch strings.ToLower(fmt.Sprint(v)) {
	case "", "<nil>", "false", "no", "none":
		return conda.NoArchNone, nil
	case "generic", "true", "yes":
		return conda.NoArchGeneric, nil
	case "python":
		return conda.NoArchPython, nil
	}
	return "", fmt.Errorf("noarch packages of the kind %q are not known", v)
}
