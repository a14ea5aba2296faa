package condatest

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"github.com/klauspost/compress/zstd"

	"github.com/datalayer/conda2docker/conda"
)

// Scale is a channel of conda-forge's size and shape, of which only the index is there: no archive of it exists.
//
// The shape was measured on 26,381 records of conda-forge (19,304 linux-64, 7,077 noarch) of the years 2018 to 2026, as
// far as environments of 27 projects had locked them; their number, and the number of names, are those of the whole channel. See
// also scaleShape.
type Scale struct {
	Factor float64 // of the full size, 650,000 records in linux-64 and 190,000 in noarch; default 1
	Seed   uint64  // the same one makes the same bytes
	Shards bool    // sharded repodata (CEP 16) is written beside repodata.json.zst
}

// scaleShape is what one subdir looks like.
type scaleShape struct {
	subdir  conda.Subdir
	records int
	// names is how many there are. The index of linux-64's shards has 670 kB (CEP 16), of which each name takes about 45
	// bytes; noarch has about as many.
	names int
	// perName are quantiles of the number of records of one name, of the measured records. Only their proportions count.
	perName []float64
	// depends are quantiles of the number of dependencies of a record.
	depends []float64
	// constrained is the share of the records with constrains, old that of .tar.bz2, arch that with the keys arch and platform.
	constrained, old, arch float64
}

// scaleShapes has the measured figures: quantiles 0, 10, 25, 50, 75, 90, 95, 99 and 100 %.
func scaleShapes() []scaleShape {
	return []scaleShape{
		{
			subdir: conda.Linux64, records: 650_000, names: 15_000,
			perName: []float64{1, 1, 2, 6, 17, 39, 65, 156, 813}, depends: []float64{0, 2, 3, 5, 8, 13, 20, 42, 81},
			constrained: 0.23, old: 0.136, arch: 0.24,
		},
		{
			subdir: conda.NoArchSubdir, records: 190_000, names: 16_000,
			perName: []float64{1, 1, 1, 3, 6, 14, 24, 50, 129}, depends: []float64{0, 1, 1, 3, 6, 9, 13, 18, 45},
			constrained: 0.14, old: 0.054, arch: 0.1,
		},
	}
}

// scalePoints are where the quantiles of a scaleShape are.
func scalePoints() []float64 { return []float64{0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1} }

// quantile is what a share of the values lies below: geometric between the points, as the values are.
func quantile(of []float64, u float64) float64 {
	points := scalePoints()
	i := max(1, min(len(points)-1, slices.IndexFunc(points, func(p float64) bool { return p >= u })))
	share := (u - points[i-1]) / (points[i] - points[i-1])
	return math.Exp(math.Log(of[i-1]+1)*(1-share)+math.Log(of[i]+1)*share) - 1
}

// Requests are specs of environments that the channel can make, whatever its seed and factor.
func (o Scale) Requests() [][]string {
	return [][]string{
		{"python", "numpy"},
		{"python=3.12", "numpy", "pandas", "scipy", "matplotlib-base"},
		{"python=3.11", "numpy", "pandas", "xarray", "dask", "jupyterlab", "scikit-learn"},
		{"python>=3.10", "pytorch", "ipykernel", "requests"},
		{"r-base", "libcurl", "h5py", "pytorch"},
	}
}

// WriteScale writes the channel's linux-64 and noarch folders into dir, in memory that does not grow with their records.
func WriteScale(dir string, o Scale) error {
	o.Factor = cmp.Or(o.Factor, 1)
	if o.Factor < 0.001 || o.Factor > 10 {
		return fmt.Errorf("writing a channel: a factor of %g is not between 0.001 and 10", o.Factor)
	}
	w := newScaleWorld(o)
	for _, shape := range w.shapes {
		folder := filepath.Join(dir, string(shape.subdir))
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
		if err := w.writeJSON(folder, shape); err != nil {
			return fmt.Errorf("writing a channel: %w", err)
		}
		if o.Shards {
			if err := w.writeShards(folder, shape); err != nil {
				return fmt.Errorf("writing a channel: %w", err)
			}
		}
	}
	return nil
}

// writeJSON writes repodata.json.zst, entries sorted by their keys as conda-index does.
func (w *scaleWorld) writeJSON(folder string, shape scaleShape) (err error) {
	f, err := os.Create(filepath.Join(folder, "repodata.json.zst"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z, err := zstd.NewWriter(f, zstd.WithWindowSize(8<<20))
	if err != nil {
		return err
	}
	b := bufio.NewWriterSize(z, 1<<20)
	fmt.Fprintf(b, `{"info":{"subdir":"%s"},"packages":{`, shape.subdir)
	w.writeEntries(b, shape, TarBz2)
	fmt.Fprint(b, `},"packages.conda":{`)
	w.writeEntries(b, shape, Conda)
	fmt.Fprint(b, `},"removed":[],"repodata_version":1}`)
	return errors.Join(b.Flush(), z.Close())
}

func (w *scaleWorld) writeEntries(b *bufio.Writer, shape scaleShape, format Format) {
	var line []byte
	first := true
	for _, p := range w.sorted(shape.subdir) {
		for _, r := range w.recordsOf(p) {
			if r.format != format {
				continue
			}
			line = line[:0]
			if !first {
				line = append(line, ',')
			}
			first = false
			line = r.appendJSON(line)
			b.Write(line) //nolint:errcheck // Flush tells of it
		}
	}
}

// sorted are a subdir's packages by name.
func (w *scaleWorld) sorted(subdir conda.Subdir) []*scalePackage {
	var of []*scalePackage
	for _, p := range w.packages {
		if p.kind.subdir() == subdir {
			of = append(of, p)
		}
	}
	slices.SortFunc(of, func(a, b *scalePackage) int { return cmp.Compare(a.name, b.name) })
	return of
}

// random is a source of numbers of one package's own, so that packages can be made in any order.
func (w *scaleWorld) random(p *scalePackage, purpose uint64) *rand.Rand {
	return rand.New(rand.NewPCG(w.seed^p.id*0x9e3779b97f4a7c15, purpose)) //nolint:gosec // it shall be predictable
}
