package condatest

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/datalayer/conda2docker/conda"
)

// scaleRecord is one record of a Scale.
type scaleRecord struct {
	fileName, name, version, build string
	format                         Format
	subdir                         conda.Subdir
	number                         int
	depends, constrains            []string
	license, family                string
	md5                            [16]byte
	sha256                         [32]byte
	size, timestamp                int64
	arch, noarch, tracked          bool
}

// version is the version string with this number.
func (p *scalePackage) version(n int) string {
	major, rest := p.major+n/p.perMajor, n%p.perMajor
	return fmt.Sprintf("%d.%d.%d", major, rest/p.perMinor, rest%p.perMinor)
}

// current is the number of the version that is current at a time.
func (p *scalePackage) current(t float64) int {
	return max(0, min(p.versions-1, int((t-p.born)/(1-p.born)*float64(p.versions))))
}

// text is the dependency as a package has it that is built at a time.
func (d scaleDepend) text(t float64) string {
	switch n := d.on.current(t); d.style {
	case styleRange:
		return d.on.name + " >=" + d.on.version(n) + ",<" + strconv.Itoa(d.on.major+n/d.on.perMajor+1) + ".0a0"
	case styleLower:
		v := d.on.version(d.on.current(0.9 * t))
		return d.on.name + " >=" + v[:strings.LastIndexByte(v, '.')]
	}
	return d.on.name
}

// recordsOf makes a package's records, sorted by file name.
func (w *scaleWorld) recordsOf(p *scalePackage) []scaleRecord {
	m := scaleMaker{w: w, p: p, r: w.random(p, 3)}
	switch p.kind {
	case kindPython, kindPythonABI:
		m.pythons()
	default:
		for round := 0; !m.full(); round++ { // again where old versions had fewer builds than was planned
			for n := p.versions - 1; n >= 0; n-- {
				for b := p.builds - 1; b >= 0 && !m.full(); b-- {
					t := p.born + (1-p.born)*(float64(n)+float64(b+1)/float64(p.builds))/float64(p.versions)
					m.build(p.version(n), b+round*p.builds, t)
				}
			}
		}
	}
	slices.SortFunc(m.records, func(a, b scaleRecord) int { return strings.Compare(a.fileName, b.fileName) })
	return m.records
}

// scaleMaker makes the records of one package, the newest first.
type scaleMaker struct {
	w       *scaleWorld
	p       *scalePackage
	r       *rand.Rand
	records []scaleRecord
}

func (m *scaleMaker) full() bool { return len(m.records) >= m.p.records }

// pythons makes the records of python and python_abi: of each minor version's last patch one that is as new as can be, as long as
// packages are built for it.
func (m *scaleMaker) pythons() {
	minors := lastPython - firstPython + 1
	each := (m.p.records + minors - 1) / minors
	for minor := lastPython; minor >= firstPython; minor-- {
		since := pythonSince(minor)
		until := min(1, since+float64(activePythons)/float64(minors)+1e-9)
		patches := (each + m.p.builds - 1) / m.p.builds
		for i := each - 1; i >= 0 && !m.full(); i-- {
			t := since + (until-since)*float64(i+1)/float64(each)
			if m.p.kind == kindPythonABI {
				m.add(fmt.Sprintf("3.%d", minor), fmt.Sprintf("%d_cp3%d", i, minor), i, t, nil)
				m.records[len(m.records)-1].constrains = []string{fmt.Sprintf("python 3.%d.*", minor)}
				continue
			}
			abi := fmt.Sprintf("python_abi 3.%d.* *_cp3%d", minor, minor)
			m.add(fmt.Sprintf("3.%d.%d", minor, i*patches/each), m.hash("h", i%m.p.builds), i%m.p.builds, t, []string{abi})
		}
	}
}

// build makes the records of one build of one version: one, or one for each version of Python.
func (m *scaleMaker) build(version string, number int, t float64) {
	switch m.p.kind {
	case kindPure:
		oldest := max(firstPython, firstPython+int(t*float64(lastPython-firstPython+1))-activePythons+1)
		m.add(version, "pyhd8ed1ab_"+strconv.Itoa(number), number, t, []string{"python >=3." + strconv.Itoa(min(oldest, lastPython-activePythons+1))})
	case kindExtension:
		made := 0
		for minor := lastPython; minor >= firstPython && made < activePythons && !m.full(); minor-- {
			if pythonSince(minor) > t {
				continue
			}
			made++
			m.add(version, m.hash(fmt.Sprintf("py3%dh", minor), number), number, t, []string{
				fmt.Sprintf("python >=3.%d,<3.%d.0a0", minor, minor+1), fmt.Sprintf("python_abi 3.%d.* *_cp3%d", minor, minor),
			})
		}
	default:
		m.add(version, m.hash("h", number), number, t, nil)
	}
}

// hash is a build string.
func (m *scaleMaker) hash(prefix string, number int) string {
	return fmt.Sprintf("%s%07x_%d", prefix, m.r.Uint32()>>4, number)
}

// add makes a record that was built at a time, and depends on what its package does and on some more.
func (m *scaleMaker) add(version, build string, number int, t float64, depends []string) {
	shape := m.w.shape(m.p)
	for _, d := range m.p.depends {
		if d.since <= t {
			depends = append(depends, d.text(t))
		}
	}
	slices.Sort(depends)
	record := scaleRecord{
		name: m.p.name, version: version, build: build, number: number, subdir: shape.subdir, depends: depends, format: Conda,
		license: "BSD-3-Clause", noarch: m.p.kind == kindPure, size: 1000 + int64(m.r.ExpFloat64()*600_000),
		timestamp: 1_520_000_000_000 + int64(t*260_000_000_000) + int64(m.r.IntN(10_000_000)), // 2018 to 2026
		tracked:   number > 0 && m.r.IntN(70) == 0,
	}
	if m.r.IntN(10) < 8 {
		record.family = "BSD"
	} else {
		record.license, record.family = "LGPL-2.1-or-later AND GPL-3.0-or-later WITH GCC-exception-3.1", "GPL"
	}
	if age := (t - m.p.born) / (1 - m.p.born); age < 1.4*shape.old { // most names have far fewer versions than it would take to meet the share exactly
		record.format = TarBz2
	} else if age < 1.4*shape.old+shape.arch {
		record.arch = true
	}
	if len(m.p.depends) > 0 && float64(m.p.id%100)/100 < shape.constrained {
		d := m.p.depends[len(m.p.depends)-1]
		record.constrains = []string{d.on.name + " >=" + d.on.version(d.on.current(t/2))}
	}
	for i := range record.md5 {
		record.md5[i] = byte(m.r.Uint32())
	}
	for i := range record.sha256 {
		record.sha256[i] = byte(m.r.Uint32())
	}
	record.fileName = m.p.name + "-" + version + "-" + build + string(record.format)
	m.records = append(m.records, record)
}

// appendJSON writes the record's entry; none of its strings has what JSON escapes.
func (r scaleRecord) appendJSON(b []byte) []byte {
	text := func(key, value string) {
		b = append(append(append(append(append(b, '"'), key...), `":"`...), value...), `",`...)
	}
	list := func(key string, items []string) {
		b = append(append(append(b, '"'), key...), `":[`...)
		for i, item := range items {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(append(append(b, '"'), item...), '"')
		}
		b = append(b, `],`...)
	}
	b = append(append(append(b, '"'), r.fileName...), `":{`...)
	if r.arch {
		text("arch", "x86_64")
	}
	text("build", r.build)
	b = append(strconv.AppendInt(append(b, `"build_number":`...), int64(r.number), 10), ',')
	if len(r.constrains) > 0 {
		list("constrains", r.constrains)
	}
	list("depends", r.depends)
	text("license", r.license)
	if r.family != "" {
		text("license_family", r.family)
	}
	text("md5", hex.EncodeToString(r.md5[:]))
	text("name", r.name)
	if r.noarch {
		text("noarch", "python")
	}
	if r.arch {
		text("platform", "linux")
	}
	text("sha256", hex.EncodeToString(r.sha256[:]))
	b = append(strconv.AppendInt(append(b, `"size":`...), r.size, 10), ',')
	text("subdir", string(r.subdir))
	b = append(strconv.AppendInt(append(b, `"timestamp":`...), r.timestamp, 10), ',')
	if r.tracked {
		text("track_features", "variant")
	}
	return append(append(append(b, `"version":"`...), r.version...), `"}`...)
}
