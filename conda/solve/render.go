package solve

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/matchspec"
)

// How much of an explanation is shown.
const (
	maxOptions = 6   // groups of candidates of one requirement
	maxLines   = 40  // of one conflict; fewer groups are shown where there are more
	maxDepth   = 24  // levels of the tree
	maxWidth   = 100 // columns
	maxNamed   = 6   // specs in a headline
)

// Error is the explanation as a tree, one line for each requirement and each group of candidates.
func (e *UnsatisfiableError) Error() string {
	var b strings.Builder
	b.WriteString("no solution: ")
	if len(e.Missing) > 0 {
		e.renderMissing(&b)
	}
	for i, c := range e.Conflicts {
		if i > 0 || len(e.Missing) > 0 {
			b.WriteString("\nand besides: ")
		}
		c.render(&b)
	}
	switch e.More {
	case 0:
	case 1:
		b.WriteString("\nand besides: 1 more conflict, which is not shown")
	default:
		fmt.Fprintf(&b, "\nand besides: %d more conflicts, which are not shown", e.More)
	}
	return b.String()
}

// renderMissing shows all names that no channel has: each of them has to be changed.
func (e *UnsatisfiableError) renderMissing(b *strings.Builder) {
	t := tree{options: maxOptions}
	t.text("", "", and(shorten(quoted(e.Missing), maxNamed))+" cannot be installed")
	for i, r := range e.Missing {
		t.requirement(r, "", i == len(e.Missing)-1, 0)
	}
	b.WriteString(strings.Join(t.lines, "\n"))
}

func quoted(requirements []Requirement) []string {
	var out []string
	for _, r := range requirements {
		out = append(out, quote(r.Spec))
	}
	return out
}

// render shows as much of a conflict as fits.
func (c Conflict) render(b *strings.Builder) {
	var lines []string
	for most := maxOptions; most > 0; most-- {
		t := tree{options: most}
		t.text("", "", c.headline())
		if c.Places > 0 {
			t.crowd(c)
		} else {
			for i, r := range c.Requirements {
				t.requirement(r, "", i == len(c.Requirements)-1, 0)
			}
		}
		if lines = t.lines; len(lines) <= maxLines {
			break
		}
	}
	if len(lines) > maxLines {
		lines = append(lines[:maxLines:maxLines], fmt.Sprintf("… and so on (%d more lines)", len(lines)-maxLines))
	}
	b.WriteString(strings.Join(lines, "\n"))
}

// headline is the conflict in one sentence.
func (c Conflict) headline() string {
	specs := quoted(c.Requirements)
	switch len(specs) {
	case 0:
		return "what is locked and what is constrained contradict each other"
	case 1:
		return specs[0] + " cannot be installed"
	}
	return and(shorten(specs, maxNamed)) + " cannot be installed together"
}

// tree is the lines of an explanation.
type tree struct {
	lines   []string
	options int // how many groups are shown of one requirement
}

// text adds a line, and goes on in the next where it is too wide. rest is what the next lines begin with.
func (t *tree) text(indent, rest, text string) {
	for {
		room := maxWidth - len([]rune(indent))
		if len([]rune(text)) <= room {
			t.lines = append(t.lines, indent+text)
			return
		}
		head := string([]rune(text)[:room])
		at := strings.LastIndexByte(head, ' ')
		if at <= 20 {
			if at = strings.IndexByte(text, ' '); at < 0 {
				t.lines = append(t.lines, indent+text)
				return
			}
		}
		t.lines = append(t.lines, indent+text[:at])
		indent, text = rest+"  ", text[at+1:]
	}
}

// forks are what stands before a line of the tree, and before those beneath it.
func forks(indent string, last bool) (first, rest string) {
	if last {
		return indent + "└─ ", indent + "   "
	}
	return indent + "├─ ", indent + "│  "
}

// crowd says what too many packages compete for; the proof itself is no tree.
func (t *tree) crowd(c Conflict) {
	specs := make([]string, len(c.Crowd))
	for i, s := range c.Crowd {
		specs[i] = plain(s)
	}
	first, rest := forks("", true)
	what := "they are or need"
	if len(c.Requirements) == 1 {
		what = "it is or needs"
	}
	t.text(first, rest, fmt.Sprintf("of the %d packages that %s at most %d can be installed together, because their versions exclude each other: %s",
		len(specs), what, c.Places, and(specs)))
}

func (t *tree) requirement(r Requirement, indent string, last bool, depth int) {
	first, rest := forks(indent, last)
	t.text(first, rest, r.line())
	if r.Outcome != Blocked {
		return
	}
	if depth >= maxDepth {
		first, rest = forks(rest, true)
		t.text(first, rest, "…")
		return
	}
	shown := r.Options
	if len(shown) > t.options {
		shown = shown[:t.options]
	}
	for i, o := range shown {
		t.option(o, rest, i == len(r.Options)-1, depth)
	}
	if hidden := r.Options[len(shown):]; len(hidden) > 0 {
		n := 0
		for _, o := range hidden {
			n += len(o.Records)
		}
		first, rest = forks(rest, true)
		t.text(first, rest, fmt.Sprintf("and %d more that are ruled out in %s", n, ways(len(hidden))))
	}
}

func ways(n int) string {
	if n == 1 {
		return "another way"
	}
	return fmt.Sprintf("%d other ways", n)
}

// line is the requirement and what became of it, in one line.
func (r Requirement) line() string {
	text := plain(r.Spec)
	switch r.Outcome {
	case Missing:
		if r.Spec.Name.IsVirtual() {
			break
		}
		text += ", but " + r.missing()
	case NoMatch:
		if r.Spec.Name.IsVirtual() {
			break
		}
		if len(r.Seen) == 0 {
			text += ", but the channel has no package of this name"
			break
		}
		seen, by := excluding(r.Spec, r.Seen)
		text += cmp.Or(r.elsewhere(), ", but") + " there is only " + versions(seen) + excluded(seen, by)
		if len(by) == 0 && !r.Spec.Build.IsAny() {
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

// platforms are those of Places.
func (r Requirement) platforms() []string {
	var out []string
	for _, p := range r.Places {
		out = append(out, string(p.Subdir))
	}
	slices.Sort(out)
	return shorten(slices.Compact(out), 4)
}

func (r Requirement) otherChannels() []string {
	var out []string
	for _, c := range r.Others {
		out = append(out, c.Name)
	}
	return shorten(out, 3)
}

// elsewhere says where the build exists that the channels do not have for the platform, and begins to say what is there.
func (r Requirement) elsewhere() string {
	switch {
	case len(r.Places) > 0:
		return ": this build exists for " + and(r.platforms()) + "; here"
	case len(r.Others) > 0:
		return ": this build exists in channel " + or(r.otherChannels()) + ", which is not searched; here"
	}
	return ""
}

// missing says what is known of a name that none of the channels has for the platform.
func (r Requirement) missing() string {
	switch {
	case len(r.Others) > 0:
		return "none of the channels has it: add channel " + or(r.otherChannels()) + ", which has"
	case len(r.Places) > 0:
		return "it exists only for " + and(r.platforms())
	case len(r.Near) > 0:
		return "there is no package of this name: did you mean " + or(texts(r.Near)) + "?"
	}
	return "there is no package of this name"
}

func (t *tree) option(o Option, indent string, last bool, depth int) {
	first, rest := forks(indent, last)
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
	t.text(first, rest, text)
	for i, r := range o.Requires {
		t.requirement(r, rest, i == len(o.Requires)-1, depth+1)
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
