package link

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/archive"
)

// plan is what is to be linked, before the files are read.
type plan struct {
	rec         *conda.Record
	target      Target
	noarch      conda.NoArch
	listed      bool
	paths       []Path // of the items, in their order
	items       []item // in the package's order
	bySource    map[string]*item
	entryPoints []EntryPoint
	compiles    bool // conda compiles the python files
	warnings    []string
}

// item is one path of the package's list, and later what became of it.
type item struct {
	source      string // clean path in the archive
	replacement *replacement
	shadowed    bool // an entry point takes the place of the file
	done        bool
	path        *Path
}

func newPlan(in info, rec *conda.Record, t Target) (*plan, error) {
	if err := in.agrees(rec); err != nil {
		return nil, err
	}
	noarch, err := in.noarch(rec)
	if err != nil {
		return nil, err
	}
	if noarch == conda.NoArchPython && t.Python == nil {
		return nil, fmt.Errorf("it is a noarch python package, and the environment has no python")
	}
	p := &plan{
		rec: rec, target: t, noarch: noarch, listed: in.listed,
		paths: in.paths, items: make([]item, len(in.paths)), bySource: make(map[string]*item, len(in.paths)),
	}
	for i := range p.paths {
		if err := p.add(i); err != nil {
			return nil, err
		}
	}
	kind, err := in.metadata.noarch()
	if err != nil {
		return nil, err
	}
	if noarch == conda.NoArchPython && kind == conda.NoArchPython {
		p.compiles = true
		if p.entryPoints, err = parseEntryPoints(in.metadata.NoArch.EntryPoints); err != nil {
			return nil, err
		}
	}
	return p, p.checkTargets()
}

// add takes up the i-th path.
func (p *plan) add(i int) error {
	m := &p.paths[i].Meta
	source, err := archive.CleanPath(m.Path)
	if err != nil {
		return fmt.Errorf("the list of the package's files: %w", err)
	}
	if source == "." || source == "info" || strings.HasPrefix(source, "info/") {
		return fmt.Errorf("the list of the package's files has %q, which is not a file to be linked", m.Path)
	}
	if p.bySource[source] != nil {
		return fmt.Errorf("the list of the package's files has %q twice", m.Path)
	}
	p.paths[i].Path = p.place(source)
	it := &p.items[i]
	it.source, it.path = source, &p.paths[i]
	if m.Placeholder != "" && m.PathType != "softlink" {
		if it.replacement, err = p.replacement(m); err != nil {
			return err
		}
	}
	p.bySource[source] = it
	return nil
}

func (p *plan) replacement(m *MetaPath) (*replacement, error) {
	r := &replacement{mode: mode(m.FileMode), placeholder: m.Placeholder, prefix: p.target.Prefix}
	if r.mode != textMode && r.mode != binaryMode {
		return nil, fmt.Errorf("%q has the file mode %q, and only text and binary are known", m.Path, m.FileMode)
	}
	if strings.ContainsRune(r.placeholder, 0) {
		return nil, fmt.Errorf("%q has a prefix placeholder that holds a NUL", m.Path)
	}
	return r, nil
}

// place is where a file of the package belongs in the prefix.
func (p *plan) place(source string) string {
	if p.noarch != conda.NoArchPython {
		return source
	}
	if rest, ok := strings.CutPrefix(source, "site-packages/"); ok {
		return p.target.Python.SitePackages + "/" + rest
	}
	if rest, ok := strings.CutPrefix(source, "python-scripts/"); ok {
		return "bin/" + rest
	}
	return source
}

// checkTargets refuses packages that put two things in one place. An entry point takes the place of a file, as in conda,
// which writes it last.
func (p *plan) checkTargets() error {
	at, err := p.byPath()
	if err != nil {
		return err
	}
	for _, it := range p.items {
		for dir := path.Dir(it.path.Path); dir != "."; dir = path.Dir(dir) {
			if other := at[dir]; other != nil && other.path.Meta.PathType != pathTypeDirectory {
				return fmt.Errorf("%q belongs at %q, below the file %q", it.source, it.path.Path, other.source)
			}
		}
	}
	seen := map[string]bool{}
	for _, e := range p.entryPoints {
		if seen[e.Path()] {
			return fmt.Errorf("the entry point %q is there twice", e.Command)
		}
		seen[e.Path()] = true
		if it := at[e.Path()]; it != nil {
			it.shadowed = true
			p.warnings = append(p.warnings, fmt.Sprintf("the entry point %s takes the place of the package's own file %s", e.Command, it.source))
		}
	}
	return nil
}

// byPath are the items by their paths in the prefix.
func (p *plan) byPath() (map[string]*item, error) {
	if p.noarch != conda.NoArchPython {
		return p.bySource, nil
	}
	at := make(map[string]*item, len(p.items))
	for i := range p.items {
		it := &p.items[i]
		if other := at[it.path.Path]; other != nil {
			return nil, fmt.Errorf("%q and %q both belong at %q", other.source, it.source, it.path.Path)
		}
		at[it.path.Path] = it
	}
	return at, nil
}

// directories are those that the files need, and those that are listed.
func (p *plan) directories() []string {
	found := map[string]bool{}
	need := func(dir string) {
		for ; !found[dir]; dir = path.Dir(dir) {
			found[dir] = true
		}
	}
	for _, it := range p.items {
		if it.path.Meta.PathType == pathTypeDirectory {
			need(it.path.Path)
		}
		need(path.Dir(it.path.Path))
	}
	for _, e := range p.entryPoints {
		need(path.Dir(e.Path()))
	}
	return slices.Sorted(maps.Keys(found))
}

// compiled matches what conda compiles of a noarch python package.
var compiled = regexp.MustCompile(`^site-packages/[^\t\n\r\f\v]+\.py$`)

func (p *plan) bytecode() []Bytecode {
	if !p.compiles {
		return nil
	}
	var out []Bytecode
	for _, it := range p.items {
		if compiled.MatchString(it.source) {
			out = append(out, Bytecode{Source: it.path.Path, Path: pycPath(it.path.Path, p.target.Python.Version)})
		}
	}
	return out
}

// pycPath is where python of the given version keeps what it compiled.
func pycPath(source, version string) string {
	tag := strings.ReplaceAll(version, ".", "")
	if strings.HasPrefix(tag, "2") {
		return source + "c"
	}
	dir, file := path.Split(source)
	return dir + "__pycache__/" + strings.TrimSuffix(file, ".py") + ".cpython-" + tag + ".pyc"
}
