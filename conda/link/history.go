package link

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/datalayer/conda2docker/conda"
)

// Revision is one entry of conda-meta/history.
type Revision struct {
	Time    time.Time       // of the build, from SOURCE_DATE_EPOCH
	Command string          // the command line that made it
	Tool    string          // the name and version of the tool, "conda2docker 1.0.0"; no line where it is empty
	Records []*conda.Record // in any order
	Specs   []string        // what the user asked for
}

// History is conda-meta/history of a new environment, in the form that conda writes and reads: `conda update` takes the
// specs that are to hold from it. The tool's line is not conda's "# conda version:", by which conda refuses
// environments of a conda newer than itself.
func History(r Revision) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "==> %s <==\n", r.Time.UTC().Format(time.DateTime))
	fmt.Fprintf(&b, "# cmd: %s\n", oneLine(r.Command))
	if name, version, ok := strings.Cut(r.Tool, " "); ok {
		fmt.Fprintf(&b, "# %s version: %s\n", oneLine(name), oneLine(version))
	}
	dists := make([]string, 0, len(r.Records))
	for _, rec := range r.Records {
		dists = append(dists, "+"+rec.String()+"\n")
	}
	slices.Sort(dists)
	for _, d := range dists {
		b.WriteString(d)
	}
	if len(r.Specs) > 0 {
		specs := make([]string, 0, len(r.Specs))
		for _, s := range r.Specs {
			specs = append(specs, pythonString(s))
		}
		fmt.Fprintf(&b, "# update specs: [%s]\n", strings.Join(specs, ", "))
	}
	return []byte(b.String())
}

// oneLine keeps what a comment of one line must hold on one line.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// pythonString is s as python writes it in a list.
func pythonString(s string) string {
	s = strings.ReplaceAll(oneLine(s), `\`, `\\`)
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		return `"` + s + `"`
	}
	return "'" + strings.ReplaceAll(s, "'", `\'`) + "'"
}
