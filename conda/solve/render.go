package solve

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/matchspec"
)

// maxOptions is how many groups of candidates are shown of one requirement.
const maxOptions = 6

// Error is the explanation as a tree, one line for each requirement and each group of candidates.
func (e *UnsatisfiableError) Error() string {
	var b strings.Builder
	b.WriteString("no solution")
	for i, c := range e.Conflicts {
		if i > 0 {
			b.WriteString("\nand besides")
		}
		b.WriteString(": ")
		b.WriteString(c.headline())
		for j, r := range c.Requirements {
			r.render(&b, "", j == len(c.Requirements)-1)
		}
	}
	return b.String()
}

// headline is the conflict in one sentence.
func (c Conflict) headline() string {
	switch len(c.Requirements) {
	case 0:
		return "what is locked and what is constrained contradict each other"
	case 1:
		return quote(c.Requirements[0].Spec) + " cannot be installed"
	}
	var specs []string
	for _, r := range c.Requirements {
		specs = append(specs, quote(r.Spec))
	}
	return and(specs) + " cannot be installed together"
}

func (r Requirement) render(b *strings.Builder, indent string, last bool) {
	fork, next := "├─ ", "│  "
	if last {
		fork, next = "└─ ", "   "
	}
	fmt.Fprintf(b, "\n%s%s%s", indent, fork, r.line())
	if r.Outcome != Blocked {
		return
	}
	shown := r.Options
	if len(shown) > maxOptions {
		shown = shown[:maxOptions]
	}
	for i, o := range shown {
		o.render(b, indent+next, i == len(r.Options)-1)
	}
	if hidden := r.Options[len(shown):]; len(hidden) > 0 {
		n := 0
		for _, o := range hidden {
			n += len(o.Records)
		}
		fmt.Fprintf(b, "\n%s%s└─ and %d more that are ruled out in %d other ways", indent, next, n, len(hidden))
	}
}

// line is the requirement and what became of it, in one line.
func (r Requirement) line() string {
	text := plain(r.Spec)
	switch r.Outcome {
	case Missing:
		if r.Spec.Name.IsVirtual() {
			break
		}
		text += ", but there is no package of this name"
		if len(r.Near) > 0 {
			text += ": did you mean " + or(texts(r.Near)) + "?"
		}
	case NoMatch:
		if r.Spec.Name.IsVirtual() {
			break
		}
		text += ", but there is only " + versions(r.Seen)
		if !r.Spec.Build.IsAny() {
			text += builds(r)
		}
	case Rivalled:
		text += ": " + versions(selected(r.Options))
		if len(r.Rivals) > 0 {
			var rivals []string
			for _, s := range r.Rivals {
				rivals = append(rivals, quote(s))
			}
			text += ", which is not " + or(shorten(rivals, 3))
		}
	case Repeated:
		text += " (see above)"
	case Blocked:
	}
	if r.Hint != "" {
		text += ": " + r.Hint
	}
	return text
}

func (o Option) render(b *strings.Builder, indent string, last bool) {
	fork, next := "├─ ", "│  "
	if last {
		fork, next = "└─ ", "   "
	}
	needs := "needs"
	if o.Records[0].Version.Compare(o.Records[len(o.Records)-1].Version) != 0 {
		needs = "need"
	}
	if o.Alike {
		needs += ", for example,"
	}
	text := versions(o.Records)
	switch {
	case len(o.Reasons) == 0 && len(o.Requires) == 0:
		text += ", which another requirement rules out"
	case len(o.Reasons) == 0:
		text += " " + needs
	default:
		if !strings.HasPrefix(o.Reasons[0], "allows") {
			text += ":"
		}
		text += " " + strings.Join(shorten(o.Reasons, 3), "; ")
		if len(o.Requires) > 0 {
			text += "; " + needs
		}
	}
	fmt.Fprintf(b, "\n%s%s%s", indent, fork, text)
	for i, r := range o.Requires {
		r.render(b, indent+next, i == len(o.Requires)-1)
	}
}

func selected(options []Option) []*conda.Record {
	var out []*conda.Record
	for _, o := range options {
		out = append(out, o.Records...)
	}
	return out
}

// versions names the versions of records of one name, the newest first.
func versions(records []*conda.Record) string {
	if len(records) == 0 {
		return "nothing"
	}
	sorted := slices.Clone(records)
	slices.SortStableFunc(sorted, func(a, b *conda.Record) int { return b.Version.Compare(a.Version) })
	var distinct []string
	for i, r := range sorted {
		if i == 0 || r.Version.Compare(sorted[i-1].Version) != 0 {
			distinct = append(distinct, r.Version.String())
		}
	}
	text := string(records[0].Name) + " "
	if n := len(distinct); n > 5 {
		text += fmt.Sprintf("%s, %s, … %s (%d versions)", distinct[0], distinct[1], distinct[n-1], n)
	} else {
		text += strings.Join(distinct, ", ")
	}
	return text
}

func quote(s matchspec.Spec) string { return `"` + plain(s) + `"` }

// plain writes a spec as people do, "numpy >=2", where that says all of it.
func plain(s matchspec.Spec) string {
	rest := s
	rest.Version, rest.Build = matchspec.Spec{}.Version, matchspec.Pattern{}
	if rest.String() != string(s.Name) {
		return s.String()
	}
	text := string(s.Name)
	if v := s.Version.String(); v != "" && v != "*" || !s.Build.IsAny() {
		text += " " + cmp.Or(v, "*")
	}
	if !s.Build.IsAny() {
		text += " " + s.Build.String()
	}
	return text
}

func texts(names []conda.PackageName) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = string(n)
	}
	return out
}

// builds names the builds of those versions that a spec with a build selects but for the build.
func builds(r Requirement) string {
	var out []string
	for _, rec := range r.Seen {
		if r.Spec.Version.Match(rec.Version) {
			out = append(out, rec.Version.String()+" "+rec.Build)
		}
	}
	if len(out) == 0 {
		return ""
	}
	return ", of which the builds are " + strings.Join(shorten(out, 5), ", ")
}

// shorten keeps the first few of many texts.
func shorten(texts []string, most int) []string {
	if len(texts) <= most {
		return texts
	}
	return append(slices.Clone(texts[:most]), fmt.Sprintf("… (%d more)", len(texts)-most))
}

func and(texts []string) string { return enumerate(texts, " and ") }

func or(texts []string) string { return enumerate(texts, " or ") }

func enumerate(texts []string, last string) string {
	if len(texts) < 2 {
		return strings.Join(texts, "")
	}
	return strings.Join(texts[:len(texts)-1], ", ") + last + texts[len(texts)-1]
}
