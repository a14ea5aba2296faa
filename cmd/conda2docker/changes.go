package main

import (
	"archive/tar"
	"context"
	"crypto/sha1" // SPDX wants it of every file
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/datalayer/conda2docker/builder/layer"
	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/sbom"
)

// stepsFile is, among the evidence, what was executed in the image and which files it left changed.
const stepsFile = "steps.json"

// stepChanges is what one step did to the image.
type stepChanges struct {
	Step    string       `json:"step"`
	Package string       `json:"package,omitempty"` // name-version-build of the package whose script it was
	Script  string       `json:"script,omitempty"`  // digest of that script
	Skipped bool         `json:"skipped,omitempty"` // it was not run
	Layer   string       `json:"layer,omitempty"`   // digest of the image's layer that has the files
	Files   []fileChange `json:"files"`

	name   conda.PackageName
	diffID string // of the layer
}

// fileChange is a file that is new, another than before, or gone.
type fileChange struct {
	Path    string `json:"path"`
	Kind    string `json:"kind"` // file, symlink, hardlink, directory or removed
	Mode    string `json:"mode,omitempty"`
	Size    int64  `json:"size,omitempty"`
	SHA256  string `json:"sha256,omitempty"`
	Link    string `json:"link,omitempty"`
	Package string `json:"package,omitempty"` // name-version-build of the package that had put a file there
	// Distribution is what pip installed the file of, as name-version.
	Distribution string `json:"distribution,omitempty"`

	sha1 string
	mode int64
}

// The kinds of changes besides those of package link.
const (
	kindRemoved = "removed"
	kindOther   = "other"
)

// conclude finds out what the steps did, shows what they say, and verifies the image where that is asked for.
func (b *build) conclude(ctx context.Context, s *stage, env resolved, ls layers, img built) (_ built, said string, err error) {
	if img.changes, err = b.inspect(env, ls, img); err != nil {
		return img, "", err
	}
	for _, c := range img.changes {
		if err := b.checkPlaces(c.Step, c.left(), ls.user.Home); err != nil {
			return img, "", err
		}
	}
	if err := b.tellMessages(ctx, s, env, ls, img.steps); err != nil {
		return img, "", err
	}
	said = img.describe()
	if b.options.Verify {
		verified, err := b.verify(ctx, s, env, ls, img)
		if err != nil {
			return img, "", err
		}
		said += "; verified: " + verified
	}
	return img, said, nil
}

// left are the paths that the step has put something at, folders aside: those that it found are among them.
func (c stepChanges) left() []string {
	var out []string
	for _, f := range c.Files {
		if f.Kind != kindRemoved && f.Kind != "directory" {
			out = append(out, f.Path)
		}
	}
	return out
}

// inspect lists what the image's steps did, from its layers, and warns of scripts that went beyond their own package.
func (b *build) inspect(env resolved, ls layers, img built) ([]stepChanges, error) {
	owners := ownersOf(ls.segments)
	out, err := b.inspectAdded(env, ls, owners)
	if err != nil {
		return nil, err
	}
	first := len(img.Manifest.Layers) - len(img.steps)
	for i, step := range img.steps {
		at := img.Manifest.Layers[first+i]
		c := stepChanges{Step: step.Name, Layer: at.Digest.String(), diffID: img.Config.RootFS.DiffIDs[first+i].String(), Files: []fileChange{}}
		if i < len(ls.scripts) && b.options.PostLink == postLinkRun {
			s := ls.scripts[i]
			c.name, c.Package, c.Script = s.record.Name, s.record.Dist(), s.digest.String()
		}
		if c.Files, err = readChanges(layer.Layer{Digest: at.Digest, MediaType: at.MediaType, Path: img.Blob(at.Digest), Name: step.Name}, owners); err != nil {
			return nil, fmt.Errorf("listing what %q changed: %w", step.Name, err)
		}
		if c.Package != "" {
			b.warnOfScript(c)
		}
		out = append(out, c)
	}
	if b.options.PostLink == postLinkSkip {
		for _, s := range ls.scripts {
			out = append(out, stepChanges{Step: "post-link script of " + s.record.Dist(), Package: s.record.Dist(), Script: s.digest.String(), Skipped: true, Files: []fileChange{}})
		}
	}
	return out, nil
}

// inspectAdded lists what was put in the base, and what was copied.
func (b *build) inspectAdded(env resolved, ls layers, owners map[string]string) ([]stepChanges, error) {
	var added []layer.Layer
	for _, l := range env.target.base.Layers[len(env.target.original.Layers):] {
		added = append(added, layer.Layer{Digest: l.Digest, DiffID: l.DiffID, MediaType: l.MediaType, Path: env.target.base.Blob(l.Digest), Name: aptStep(b.options.Apt)})
	}
	for _, l := range ls.all {
		if l.Name == copiedName {
			added = append(added, l)
		}
	}
	var out []stepChanges
	for _, l := range added {
		files, err := readChanges(l, owners)
		if err != nil {
			return nil, fmt.Errorf("listing %s: %w", l.Name, err)
		}
		out = append(out, stepChanges{Step: l.Name, Layer: l.Digest.String(), diffID: l.DiffID.String(), Files: files})
	}
	return out, nil
}

// ownersOf are the packages that have put files in the image, by path.
func ownersOf(segments []layer.Segment) map[string]string {
	owners := map[string]string{}
	for _, s := range segments {
		for _, e := range s.Entries {
			owners[path.Join(s.Prefix, e.Path.Path)] = s.Dist
		}
	}
	return owners
}

const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq"
)

// readChanges lists a step's layer. Folders that are there only to lead to files are left out.
func readChanges(l layer.Layer, owners map[string]string) ([]fileChange, error) {
	out, distributions := []fileChange{}, map[string]string{}
	err := l.Walk(func(h *tar.Header, r io.Reader) error {
		c := fileChange{Path: path.Clean("/" + h.Name), mode: h.Mode & 0o7777, Mode: fmt.Sprintf("%04o", h.Mode&0o7777)}
		dir, base := path.Split(c.Path)
		switch {
		case base == opaque:
			c = fileChange{Path: dir + "*", Kind: kindRemoved}
		case strings.HasPrefix(base, whiteout):
			c = fileChange{Path: dir + strings.TrimPrefix(base, whiteout), Kind: kindRemoved}
		case h.Typeflag == tar.TypeReg:
			c.Kind, c.Size = "file", h.Size
			small, big := sha1.New(), sha256.New()
			body := io.TeeReader(r, io.MultiWriter(small, big))
			if strings.HasSuffix(c.Path, ".dist-info/RECORD") {
				readDistribution(c.Path, body, distributions)
			}
			if _, err := io.Copy(io.Discard, body); err != nil {
				return err
			}
			c.sha1, c.SHA256 = hex.EncodeToString(small.Sum(nil)), hex.EncodeToString(big.Sum(nil))
		case h.Typeflag == tar.TypeSymlink:
			c.Kind, c.Link, c.Mode = "symlink", h.Linkname, ""
		case h.Typeflag == tar.TypeLink:
			c.Kind, c.Link = "hardlink", path.Clean("/"+h.Linkname)
		case h.Typeflag == tar.TypeDir:
			c.Kind = "directory"
		default:
			c.Kind = kindOther
		}
		c.Package = owners[c.Path]
		out = append(out, c)
		return nil
	})
	slices.SortStableFunc(out, func(a, b fileChange) int { return strings.Compare(a.Path, b.Path) })
	leads := map[string]bool{}
	for i, c := range out {
		out[i].Distribution = distributions[c.Path]
		for dir := path.Dir(c.Path); !leads[dir]; dir = path.Dir(dir) {
			leads[dir] = true
		}
	}
	return slices.DeleteFunc(out, func(c fileChange) bool { return c.Kind == "directory" && leads[c.Path] }), err
}

// readDistribution notes whose the files are that a RECORD lists (PEP 376), by their paths. One that is no table notes nothing.
func readDistribution(at string, body io.Reader, whose map[string]string) {
	dist := path.Dir(at)
	name := strings.TrimSuffix(path.Base(dist), ".dist-info")
	table := csv.NewReader(body)
	table.FieldsPerRecord = -1
	for row, err := table.Read(); err == nil; row, err = table.Read() {
		whose[path.Join(path.Dir(dist), row[0])] = name
	}
}

// shown is how many of a list's entries a person is shown.
const shown = 5

// warnOfScript names what a script touched that is not its package's, which it must not (CEP 32).
func (b *build) warnOfScript(c stepChanges) {
	var foreign []string
	for _, f := range c.Files {
		switch {
		case f.Package != "" && f.Package != c.Package:
			foreign = append(foreign, fmt.Sprintf("%s of %s", f.Path, f.Package))
		case f.Package == "" && !strings.HasPrefix(f.Path, prefix+"/") && f.Kind != "directory":
			foreign = append(foreign, f.Path)
		}
	}
	if len(foreign) > 0 {
		b.console.say("warning: the %s changes what is not its package's: %s", c.Step, enumerate(foreign))
	}
}

// enumerate is the beginning of a list, and how much more there is.
func enumerate(list []string) string {
	if len(list) <= shown {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:shown], ", "), len(list)-shown)
}

// writeSteps writes what was executed, as evidence.
func writeSteps(w io.Writer, steps []stepChanges) error {
	if steps == nil {
		steps = []stepChanges{}
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(struct {
		Steps []stepChanges `json:"steps"`
	}{steps})
}

// changedFiles are the files that the SBOM lists one by one, as they are after all steps, since no package's record has them: those of
// post-link scripts and of postBuild, and those that were copied. What pip or apt installed has packages in the SBOM.
func changedFiles(steps []stepChanges) []sbom.File {
	last := map[string]sbom.File{}
	for _, s := range steps {
		for _, f := range s.Files {
			gone := strings.TrimSuffix(f.Path, "/*")
			maps.DeleteFunc(last, func(at string, _ sbom.File) bool {
				return at == f.Path || f.Kind != "directory" && strings.HasPrefix(at, gone+"/")
			})
			if f.Kind == "file" && (s.Package != "" || s.Step == postBuildName || s.Step == copiedName) {
				last[f.Path] = sbom.File{Package: s.name, Path: f.Path, Layer: s.diffID, Mode: f.mode, Size: f.Size, SHA1: f.sha1, SHA256: f.SHA256}
			}
		}
	}
	out := make([]sbom.File, 0, len(last))
	for _, at := range slices.Sorted(maps.Keys(last)) {
		out = append(out, last[at])
	}
	return out
}
