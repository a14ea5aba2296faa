package lock

import (
	"cmp"
	"maps"
	"slices"

	"github.com/datalayer/conda2docker/conda"
)

// Item is a package of a lock, of either kind, as far as two can differ.
type Item struct {
	Version, Build string // pip's packages have no build
	Channel        string // or the index that pip's come from
	Checksum       string
	URL            string
}

// Change is a package that two locks do not both have as it is in one of them.
type Change struct {
	Subdir   conda.Subdir
	Manager  string // "conda" or "pip"
	Name     string
	Category string // Main, or another
	Old, New *Item  // nil where there is none
}

// Diff lists what is different in lock b, by platform, manager and name.
func Diff(a, b *Lock) []Change {
	was, is := items(a), items(b)
	var out []Change
	for key, old := range was {
		if now := is[key]; now == nil || !sameItem(*old, *now) {
			out = append(out, Change{key.Subdir, key.Manager, key.Name, key.Category, old, now})
		}
	}
	for key, now := range is {
		if was[key] == nil {
			out = append(out, Change{key.Subdir, key.Manager, key.Name, key.Category, nil, now})
		}
	}
	slices.SortFunc(out, func(x, y Change) int {
		return cmp.Or(cmp.Compare(x.Subdir, y.Subdir), cmp.Compare(x.Manager, y.Manager), cmp.Compare(x.Name, y.Name), cmp.Compare(x.Category, y.Category))
	})
	return out
}

type itemKey struct {
	Subdir                  conda.Subdir
	Manager, Name, Category string
}

func items(l *Lock) map[itemKey]*Item {
	out := map[itemKey]*Item{}
	for _, p := range l.Platforms {
		for _, k := range p.Packages {
			r := k.Record
			out[itemKey{p.Subdir, "conda", string(r.Name), k.Category}] = &Item{r.Version.String(), r.Build, r.Channel.Name, cmp.Or(r.SHA256, r.MD5), r.URL}
		}
		for _, k := range p.Pip {
			out[itemKey{p.Subdir, "pip", k.Name, k.Category}] = &Item{k.Version, "", k.Index, cmp.Or(k.SHA256, k.MD5), k.URL}
		}
	}
	return out
}

// sameItem says whether two items are one file. One lock may know its md5 and the other its sha256.
func sameItem(a, b Item) bool {
	if a.Checksum != "" && len(a.Checksum) == len(b.Checksum) {
		return a.Checksum == b.Checksum && a.Version == b.Version && a.Build == b.Build
	}
	a.Checksum, b.Checksum = "", ""
	return a == b
}

// Subdirs are the platforms that the lock is for.
func (l *Lock) Subdirs() []conda.Subdir {
	out := make([]conda.Subdir, len(l.Platforms))
	for i, p := range l.Platforms {
		out[i] = p.Subdir
	}
	return out
}

// With is the lock with the platforms that other has and it does not: what was locked for them stays, if it can be had.
func (l *Lock) With(other *Lock) *Lock {
	out := *l
	out.Platforms = slices.Clone(l.Platforms)
	for _, p := range other.Platforms {
		if _, ok := l.platform(p.Subdir); !ok && p.refusal == nil {
			out.Platforms = append(out.Platforms, p)
		}
	}
	slices.SortFunc(out.Platforms, func(a, b Platform) int { return cmp.Compare(a.Subdir, b.Subdir) })
	for _, key := range slices.Sorted(maps.Keys(other.Custom)) {
		if out.Custom[key] == "" {
			out.Custom = maps.Clone(out.Custom)
			setText(&out.Custom, key, other.Custom[key])
		}
	}
	return &out
}

// Only is the lock of what is installed on one platform: of the category Main and of others by name, which are all Main in it. One
// that does not say which platform it is for is taken for that.
func (l *Lock) Only(s conda.Subdir, categories ...string) (*Lock, error) {
	p, err := l.Platform(s)
	if err != nil {
		return nil, err
	}
	of := *p
	of.Subdir = s
	if of.Packages, err = l.chosen(s, categories); err != nil {
		return nil, err
	}
	for i := range of.Packages {
		of.Packages[i].Category = Main
	}
	if of.Pip, err = l.PipPackages(s, categories...); err != nil {
		return nil, err
	}
	for i := range of.Pip {
		of.Pip[i].Category = Main
	}
	out := *l
	out.Platforms = []Platform{of}
	return &out, nil
}
