package lock

import (
	"fmt"
	"slices"
	"strings"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/matchspec"
)

// Misfits says why a platform's packages of the category Main, and of others by name, are not an environment that has what specs
// ask for, and that works where the virtual packages are. None means that they are. It is how a lock is checked whose maker
// noted what was asked for in a way of its own, or not at all. Where a file does not tell what its packages depend on, as
// @EXPLICIT files do not, that cannot be found missing.
func (l *Lock) Misfits(s conda.Subdir, specs []matchspec.Spec, virtual []conda.VirtualPackage, categories ...string) ([]string, error) {
	records, err := l.Records(s, categories...)
	if err != nil {
		return nil, err
	}
	e := environment{}
	for _, v := range virtual {
		e[v.Name] = v.Record()
	}
	for _, r := range records {
		e[r.Name] = r
	}
	var out []string
	for _, spec := range specs {
		if spec.When != "" {
			continue
		}
		if why := e.lacks(spec); why != "" {
			out = append(out, why)
		}
	}
	for _, r := range records {
		for _, text := range r.Depends {
			if spec, ok := dependency(text); ok {
				if why := e.lacks(spec); why != "" {
					out = append(out, r.Dist()+" needs "+text+", but "+why)
				}
			}
		}
		for _, text := range r.Constrains {
			if spec, ok := dependency(text); ok && e[spec.Name] != nil && !spec.Match(e[spec.Name]) {
				out = append(out, fmt.Sprintf("%s does not go with %s: it wants %s", r.Dist(), e[spec.Name].Dist(), text))
			}
		}
	}
	return out, nil
}

// environment is what there is, by name.
type environment map[conda.PackageName]*conda.Record

// lacks says why nothing of the environment is what a spec asks for; "" where something is.
func (e environment) lacks(spec matchspec.Spec) string {
	if !spec.IsExact() {
		for _, r := range e {
			if spec.Match(r) {
				return ""
			}
		}
		return fmt.Sprintf("nothing in it is %s", spec)
	}
	switch r := e[spec.Name]; {
	case r != nil && spec.Match(r):
		return ""
	case r != nil && spec.Name.IsVirtual():
		return fmt.Sprintf("the system has %s=%s", r.Name, virtualText(r))
	case spec.Name.IsVirtual():
		return fmt.Sprintf("the system has no %s", spec.Name)
	case r != nil:
		return fmt.Sprintf("%s is not %s", r.Dist(), spec)
	default:
		return fmt.Sprintf("%s is not in it", spec.Name)
	}
}

func virtualText(r *conda.Record) string {
	if r.Build == "0" {
		return r.Version.String()
	}
	return r.Version.String() + "=" + r.Build
}

// dependency reads what a record depends on. What only holds under a condition, or is not to be understood, is not looked at.
func dependency(text string) (matchspec.Spec, bool) {
	if strings.Contains(text, ";") {
		return matchspec.Spec{}, false
	}
	spec, err := matchspec.Parse(text)
	return spec, err == nil && spec.When == "" && spec.IsExact()
}

// Beyond says what of the virtual packages that a platform was locked for a system does not have: it has to have each of them
// in at least the same version. None means that the lock can be used there. A driver that was not there when the environment was
// locked is a difference too: with it, other packages would have been chosen.
func (p *Platform) Beyond(virtual []conda.VirtualPackage) []string {
	var out []string
	has := func(of []conda.VirtualPackage, n conda.PackageName) int {
		return slices.IndexFunc(of, func(v conda.VirtualPackage) bool { return v.Name == n })
	}
	for _, want := range p.Virtual {
		i := has(virtual, want.Name)
		switch {
		case i < 0:
			out = append(out, fmt.Sprintf("it was made for %s, which the system does not have", plainVirtual(want)))
		case virtual[i].Version.Compare(want.Version) < 0 || !offers(virtual[i].Build, want.Build):
			out = append(out, fmt.Sprintf("it was made for %s, and the system has %s", plainVirtual(want), plainVirtual(virtual[i])))
		}
	}
	if i := has(virtual, "__cuda"); i >= 0 && len(p.Virtual) > 0 && has(p.Virtual, "__cuda") < 0 {
		out = append(out, fmt.Sprintf("it was made for a system without a GPU's driver, and this one has %s", plainVirtual(virtual[i])))
	}
	return out
}

// offers says whether a system whose build string is got, such as x86_64_v3, has what one with want has. Only the common names
// without a level are known to be part of others: those of x86-64's levels, which contain the lower ones, and what is not tied to
// a processor's name.
func offers(got, want string) bool {
	if got == want || want == "0" || want == "x86_64" || want == "aarch64" {
		return true
	}
	const levels = "x86_64_v"
	return strings.HasPrefix(got, levels) && strings.HasPrefix(want, levels) && got > want
}

func plainVirtual(v conda.VirtualPackage) string {
	return string(v.Name) + "=" + virtualText(v.Record())
}
