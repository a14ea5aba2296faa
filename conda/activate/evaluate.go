package activate

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Change is what a script does to a variable.
type Change struct {
	Unset bool
	// Kept tells that the value that was there before stays, between Prefix and Suffix; without it, Value is all.
	Kept           bool
	Prefix, Suffix string
	Value          string
}

// Apply is the value after the change of one that was before.
func (c Change) Apply(before string) string {
	if c.Kept {
		return c.Prefix + before + c.Suffix
	}
	return c.Value
}

// Finding is what is known of one script.
type Finding struct {
	Name    string            // below etc/conda/activate.d
	Changes map[string]Change // by variable, what is only the shell's or conda's own left out
	Said    string            // what it printed when it was run first
	// Dynamic says why what the script does cannot be known before a container runs; "" where it is known.
	Dynamic string
	// Ended tells that it ends the shell that sources it, as it would that of conda's user.
	Ended bool
}

// Evaluate compares recordings of the same scripts, which were made as different users in different places. fixed reports whether a
// variable cannot be taken from the image, because its base sets it: a script that unsets it is dynamic.
//
// A script is dynamic, besides, where its changes differ between the recordings, where it fails, where its text asks for what only a
// running container has, and where it changes or names a variable that a dynamic script before it changes. Whether it comes after the
// scripts that are not dynamic, or between them, is then the same.
func Evaluate(recordings []Recording, fixed func(name string) bool) ([]Finding, error) {
	first := recordings[0]
	for _, r := range recordings[1:] {
		if !slices.EqualFunc(first.Scripts, r.Scripts, func(a, b Sourced) bool { return a.Name == b.Name && a.Text == b.Text }) && !endsEarly(first, r) {
			return nil, fmt.Errorf("evaluating the activation scripts: there are other ones when they are run again: %s, then %s", names(first), names(r))
		}
	}
	var findings []Finding
	tainted := map[string]bool{} // variables that dynamic scripts change
	for i, s := range first.Scripts {
		f := Finding{Name: s.Name, Said: strings.TrimSpace(s.Said)}
		var changes []map[string]Change
		for _, r := range recordings {
			if i >= len(r.Scripts) || r.Scripts[i].Ended {
				f.Ended = true
				break
			}
			changes = append(changes, r.changes(i))
			if f.Dynamic == "" {
				f.Dynamic = fails(r.Scripts[i])
			}
		}
		if f.Ended {
			return append(findings, f), nil
		}
		f.Changes = changes[0]
		if f.Dynamic == "" {
			f.Dynamic = why(s, changes, tainted, fixed)
		}
		if f.Dynamic != "" {
			for _, c := range changes {
				for name := range c {
					tainted[name] = true
				}
			}
		}
		findings = append(findings, f)
	}
	return findings, nil
}

// endsEarly reports whether the recordings have the same scripts up to the one that ended the shell in one of them.
func endsEarly(a, b Recording) bool {
	n := min(len(a.Scripts), len(b.Scripts))
	if n == 0 || !slices.EqualFunc(a.Scripts[:n], b.Scripts[:n], func(a, b Sourced) bool { return a.Name == b.Name && a.Text == b.Text }) {
		return false
	}
	return a.Scripts[n-1].Ended || b.Scripts[n-1].Ended
}

func names(r Recording) string {
	out := make([]string, len(r.Scripts))
	for i, s := range r.Scripts {
		out[i] = s.Name
	}
	return strings.Join(out, ", ")
}

// why says why a script that did not fail is dynamic.
func why(s Sourced, changes []map[string]Change, tainted map[string]bool, fixed func(string) bool) string {
	for _, other := range changes[1:] {
		if name, differs := difference(changes[0], other); differs {
			return "what it does to " + name + " depends on who runs it, where and when"
		}
	}
	for _, name := range slices.Sorted(maps.Keys(changes[0])) {
		switch {
		case !validName(name):
			return "it exports a function"
		case changes[0][name].Unset && fixed(name):
			return "it unsets " + name + ", which an image cannot"
		case tainted[name]:
			return "a script before it, which depends on the run, changes " + name + " too"
		}
	}
	if what := asksFor(s.Text); what != "" {
		return what
	}
	for _, name := range slices.Sorted(maps.Keys(tainted)) {
		if regexp.MustCompile(`\b` + regexp.QuoteMeta(name) + `\b`).MatchString(withoutComments(s.Text)) {
			return "it names " + name + ", which a script before it sets that depends on the run"
		}
	}
	return ""
}

// difference is the first variable that two scripts change differently.
func difference(a, b map[string]Change) (string, bool) {
	if maps.Equal(a, b) {
		return "", false
	}
	all := maps.Clone(a)
	maps.Copy(all, b)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		x, inA := a[name]
		y, inB := b[name]
		if inA != inB || x != y {
			return name, true
		}
	}
	return "", false
}

var notWritable = regexp.MustCompile(`(?i)read-only file system|permission denied`)

// fails says how a script failed. Scripts that end with a condition which does not hold have a status too, and say nothing.
func fails(s Sourced) string {
	said := strings.TrimSpace(s.Said)
	switch {
	case notWritable.MatchString(said):
		return "it writes files"
	case s.Status != "0" && said != "":
		return "it fails with status " + s.Status
	}
	return ""
}

// bookkeeping are variables that a shell sets by itself, and those that are only there for deactivating.
var bookkeeping = regexp.MustCompile(`^(?:_|SHLVL|PWD|OLDPWD|CONDA_BACKUP_.*|.*_CONDA_BACKUP|_?CONDA_SET_.*|_CONDA_.*|CONDA_SHLVL|CONDA_PROMPT_MODIFIER)$`)

// changes are what script i did.
func (r Recording) changes(i int) map[string]Change {
	before := r.Before
	if i > 0 {
		before = r.Scripts[i-1].After
	}
	after := r.Scripts[i].After
	out := map[string]Change{}
	for name, value := range after {
		old, was := before[name]
		if bookkeeping.MatchString(name) || was && old == value {
			continue
		}
		out[name] = changeOf(old, value)
	}
	for name := range before {
		if _, ok := after[name]; !ok && !bookkeeping.MatchString(name) {
			out[name] = Change{Unset: true}
		}
	}
	return out
}

// changeOf tells what is added to a list such as PATH from what replaces a value.
func changeOf(old, value string) Change {
	at := strings.Index(value, old)
	if old == "" || at < 0 {
		return Change{Value: value}
	}
	prefix, suffix := value[:at], value[at+len(old):]
	if prefix != "" && !strings.HasSuffix(prefix, ":") || suffix != "" && !strings.HasPrefix(suffix, ":") {
		return Change{Value: value}
	}
	return Change{Kept: true, Prefix: prefix, Suffix: suffix}
}
