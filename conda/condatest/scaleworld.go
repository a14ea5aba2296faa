package condatest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/datalayer/conda2docker/conda"
)

// scaleKind is what a package of a Scale is made of.
type scaleKind int

const (
	kindLibrary   scaleKind = iota // compiled, others link to it
	kindExtension                  // compiled for each version of Python
	kindTool                       // compiled, nothing links to it
	kindPure                       // noarch python
	kindData                       // noarch generic
	kindPython
	kindPythonABI
)

func (k scaleKind) subdir() conda.Subdir {
	switch k {
	case kindPure, kindData, kindPythonABI:
		return conda.NoArchSubdir
	}
	return conda.Linux64
}

// scalePackage is one name of a Scale. Time runs from 0 to 1: at any time it has a current version, which packages that are
// built then depend on. The newest version of each has been built lately, so that the newest go together.
type scalePackage struct {
	id       uint64
	name     string
	kind     scaleKind
	records  int
	versions int     // how many, numbered upwards from 0
	perMajor int     // versions with the same major number
	perMinor int     // versions with the same minor number
	major    int     // of the first version
	builds   int     // that a version has for one version of Python
	born     float64 // when version 0 came
	depends  []scaleDepend

	application bool
}

// scaleDepend is what a package depends on from some time on.
type scaleDepend struct {
	on    *scalePackage
	style scaleStyle
	since float64
}

// scaleStyle is how a dependency is written. In linux-64 53 % are ">=V,<V", 26 % ">=V", 10 % "V B" and 8 % bare; in noarch
// 12 %, 57 %, 2 % and 24 %.
type scaleStyle int

const (
	styleRange scaleStyle = iota // ">=1.2.3,<2.0a0"
	styleLower                   // ">=1.2"
	styleBare
)

// scaleWorld is all packages of a Scale.
type scaleWorld struct {
	seed     uint64
	shapes   []scaleShape
	packages []*scalePackage // what one depends on comes before it
	named    map[string]*scalePackage
	libs     []*scalePackage // kindLibrary, by rank
	modules  []*scalePackage // what Python packages depend on, by rank
}

// pythons are the minor versions of Python 3 that there are, and activePythons how many of them packages are built for.
const (
	firstPython, lastPython = 6, 14
	activePythons           = 5
)

// pythonSince is when packages are built for 3.minor first.
func pythonSince(minor int) float64 {
	return float64(minor-firstPython) / float64(lastPython-firstPython+1)
}

// scaleCore is a package that is called as a real one, with its records in a channel of full size.
type scaleCore struct {
	name    string
	kind    scaleKind
	records int
}

// foundation is what everything stands on, most of all the first ones.
func foundation() []scaleCore {
	return []scaleCore{
		{"libgcc", kindLibrary, 190},
		{"libstdcxx", kindLibrary, 190},
		{"libzlib", kindLibrary, 60},
		{"openssl", kindLibrary, 140},
		{"libffi", kindLibrary, 40},
		{"ncurses", kindLibrary, 60},
		{"readline", kindLibrary, 40},
		{"libsqlite", kindLibrary, 120},
		{"tk", kindLibrary, 50},
		{"bzip2", kindLibrary, 20},
		{"liblzma", kindLibrary, 30},
		{"libexpat", kindLibrary, 50},
		{"tzdata", kindData, 60},
		{"ca-certificates", kindData, 120},
		{"python_abi", kindPythonABI, 60},
		{"python", kindPython, 520},
		{"libopenblas", kindLibrary, 130},
		{"liblapack", kindLibrary, 220},
		{"libcurl", kindLibrary, 190},
		{"icu", kindLibrary, 30},
		{"setuptools", kindPure, 600},
		{"wheel", kindPure, 60},
		{"pip", kindPure, 190},
		{"six", kindPure, 30},
		{"pytz", kindPure, 60},
		{"packaging", kindPure, 60},
		{"typing_extensions", kindPure, 60},
		{"python-dateutil", kindPure, 30},
		{"certifi", kindPure, 100},
		{"numpy", kindExtension, 1500},
		{"cffi", kindExtension, 300},
		{"markupsafe", kindExtension, 260},
		{"pyyaml", kindExtension, 250},
	}
}

// applications are what people ask for. Each wants some dozens of the packages that most others want too.
func applications() []scaleCore {
	return []scaleCore{
		{"scipy", kindExtension, 1100},
		{"pandas", kindExtension, 1000},
		{"pillow", kindExtension, 900},
		{"jinja2", kindPure, 60},
		{"requests", kindPure, 60},
		{"ipython", kindPure, 240},
		{"pyzmq", kindExtension, 500},
		{"tornado", kindExtension, 500},
		{"ipykernel", kindPure, 130},
		{"jupyterlab", kindPure, 320},
		{"matplotlib-base", kindExtension, 900},
		{"scikit-learn", kindExtension, 800},
		{"xarray", kindPure, 130},
		{"dask", kindPure, 200},
		{"h5py", kindExtension, 700},
		{"libtorch", kindLibrary, 700},
		{"pytorch", kindExtension, 1400},
		{"r-base", kindTool, 200},
	}
}

// applicationReach is how many of the packages that are wanted most applications choose from, and applicationDepends how many.
const applicationReach, applicationDepends = 120, 8

// newScaleWorld plans a channel; the records themselves are made when they are written.
func newScaleWorld(o Scale) *scaleWorld {
	w := &scaleWorld{seed: o.Seed, named: map[string]*scalePackage{}}
	for _, s := range scaleShapes() {
		s.records, s.names = int(float64(s.records)*o.Factor), int(float64(s.names)*o.Factor)
		w.shapes = append(w.shapes, s)
	}
	r := rand.New(rand.NewPCG(o.Seed, 1)) //nolint:gosec // it shall be predictable
	for _, c := range foundation() {
		w.add(r, c.name, c.kind, c.scaled(o.Factor)).born = 0
	}
	for _, shape := range w.shapes {
		w.fill(r, shape, o.Factor)
	}
	for _, c := range applications() {
		p := w.add(r, c.name, c.kind, c.scaled(o.Factor))
		p.born, p.application = 0, true
	}
	for _, p := range w.packages {
		w.connect(p)
	}
	return w
}

// scaled is the number of records in a channel of a part of the full size: more than that part of them, as there are as many
// versions of Python.
func (c scaleCore) scaled(factor float64) int {
	return max(2, int(float64(c.records)*min(1, math.Sqrt(factor))))
}

// fill adds the names of a subdir that have none yet, so that together they have the right number of records.
func (w *scaleWorld) fill(r *rand.Rand, shape scaleShape, factor float64) {
	left, count := shape.records, shape.names
	for _, c := range applications() {
		if c.kind.subdir() == shape.subdir {
			left -= c.scaled(factor)
			count--
		}
	}
	for _, p := range w.packages {
		if p.kind.subdir() == shape.subdir {
			left -= p.records
			count--
		}
	}
	count = max(1, count)
	left = max(left, count)
	sum := 0.0
	for i := range count {
		sum += quantile(shape.perName, (float64(i)+0.5)/float64(count))
	}
	order := r.Perm(count)
	done, share := 0, 0.0
	for i := range count {
		share += quantile(shape.perName, (float64(order[i])+0.5)/float64(count)) / sum
		n := int(math.Round(share*float64(left-count))) + i + 1 - done
		done += n
		w.add(r, w.newName(r), newKind(r, shape.subdir, n, left/count), n)
	}
}

// newKind chooses what a name is. In linux-64 22 % of the names, and 42 % of the records, are Python's; in noarch 86 % and 84 %.
// An extension has at least one build for each version of Python.
func newKind(r *rand.Rand, subdir conda.Subdir, records, mean int) scaleKind {
	n := r.IntN(100)
	switch {
	case subdir == conda.NoArchSubdir && n < 86:
		return kindPure
	case subdir == conda.NoArchSubdir:
		return kindData
	case records >= activePythons && (records > mean && n < 50 || n < 15):
		return kindExtension
	case n < 60:
		return kindLibrary
	}
	return kindTool
}

// newName is one that there is not yet.
func (w *scaleWorld) newName(r *rand.Rand) string {
	syllables := []string{
		"ba", "co", "da", "fi", "ga", "hy", "jo", "ka", "li", "mo", "na", "pe", "qu", "ra", "so", "ti", "ve", "xe", "yo", "zu",
		"py", "net", "graph", "data", "lib", "core", "stat", "geo", "bio", "seq", "io", "ml", "fast", "json", "text", "plot",
	}
	for {
		name := ""
		for i := range 2 + r.IntN(4) {
			if i > 1 && r.IntN(5) == 0 {
				name += "-"
			}
			name += syllables[r.IntN(len(syllables))]
		}
		if w.named[name] == nil {
			return name
		}
		if name += fmt.Sprint(r.IntN(100)); w.named[name] == nil {
			return name
		}
	}
}

// add adds a package, behind what it may depend on.
func (w *scaleWorld) add(r *rand.Rand, name string, kind scaleKind, records int) *scalePackage {
	p := &scalePackage{
		id: uint64(len(w.packages) + 1), name: name, kind: kind, records: records, major: r.IntN(3), perMinor: 1 + r.IntN(3),
		perMajor: 6 + r.IntN(20), builds: 1, born: 0.8 * r.Float64(),
	}
	perVersion := 1
	switch kind {
	case kindLibrary, kindTool: // a version has one build in the median, and is built anew when what it links to has changed
		p.builds = []int{1, 1, 2, 3, 5}[r.IntN(5)]
		perVersion = p.builds
	case kindExtension:
		p.builds = []int{1, 1, 1, 2}[r.IntN(4)]
		perVersion = p.builds * activePythons
	case kindPython:
		p.builds = 3
	}
	p.versions = max(1, (records+perVersion-1)/perVersion)
	w.packages = append(w.packages, p)
	w.named[name] = p
	switch kind {
	case kindLibrary:
		w.libs = append(w.libs, p)
	case kindExtension, kindPure:
		w.modules = append(w.modules, p)
	}
	return p
}

// shape is that of the package's subdir.
func (w *scaleWorld) shape(p *scalePackage) scaleShape {
	return w.shapes[slices.IndexFunc(w.shapes, func(s scaleShape) bool { return s.subdir == p.kind.subdir() })]
}

// connect chooses what a package depends on. Few packages are wanted by many: libgcc by 79 % of the records in linux-64.
func (w *scaleWorld) connect(p *scalePackage) {
	r := w.random(p, 2)
	shape := w.shape(p)
	count := int(quantile(shape.depends, r.Float64()))
	if p.application {
		count = applicationDepends
	}
	switch p.kind {
	case kindPython:
		for _, name := range []string{
			"libgcc", "libzlib", "openssl", "libffi", "ncurses", "readline", "libsqlite", "tk", "bzip2", "liblzma", "libexpat", "tzdata",
		} {
			p.depends = append(p.depends, scaleDepend{on: w.named[name], style: w.style(r, w.named[name])})
		}
	case kindLibrary, kindTool:
		if w.libs[0] != p && r.IntN(20) > 0 {
			p.depends = append(p.depends, scaleDepend{on: w.libs[0], style: styleLower})
		}
		w.choose(r, p, w.libs, count)
	case kindExtension:
		p.depends = append(p.depends, scaleDepend{on: w.libs[0], style: styleLower})
		numpy := w.named["numpy"]
		if p != numpy && r.IntN(100) < 28 && p.id > numpy.id { // the share of those that depend on python_abi
			p.depends = append(p.depends, scaleDepend{on: numpy, style: styleRange})
		}
		w.choose(r, p, w.libs, (count-1)/2)
		w.choose(r, p, w.modules, (count-1)/2)
	case kindPure:
		w.choose(r, p, w.modules, count)
	}
}

// choose adds dependencies on packages that come before p, the first ones far more often.
func (w *scaleWorld) choose(r *rand.Rand, p *scalePackage, from []*scalePackage, count int) {
	before := 0
	for before < len(from) && from[before].id < p.id {
		before++
	}
	if p.application {
		before = min(before, applicationReach)
	}
	count = min(count, before) + len(p.depends)
	for tries := 0; len(p.depends) < count && tries < 8*count; tries++ {
		u := r.Float64()
		on := from[int(float64(before)*u*u*u)]
		if on.kind.subdir() == conda.Linux64 && p.kind.subdir() == conda.NoArchSubdir && r.IntN(2) == 0 {
			continue
		}
		if !slices.ContainsFunc(p.depends, func(d scaleDepend) bool { return d.on == on }) {
			p.depends = append(p.depends, scaleDepend{on: on, style: w.style(r, on), since: max(0, 1.5*r.Float64()-0.9)})
		}
	}
}

func (w *scaleWorld) style(r *rand.Rand, on *scalePackage) scaleStyle {
	n := r.IntN(100)
	switch {
	case on.kind == kindData, n < 12:
		return styleBare
	case on.kind == kindLibrary && n < 80, n < 24:
		return styleRange
	}
	return styleLower
}
