package activate

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
)

//go:embed record.sh
var program []byte

// Program is a script for a POSIX shell that makes a recording. It is given the folder to write to, then the scripts to pass over, and
// the environment that the scripts are to see, of which it needs CONDA_PREFIX and PATH.
func Program() []byte { return slices.Clone(program) }

// Recording is what one run of Program wrote.
type Recording struct {
	Files   Files
	Before  map[string]string // what was exported before the first script
	Scripts []Sourced         // in order
}

// Sourced is one script that was sourced.
type Sourced struct {
	Name   string // below etc/conda/activate.d
	Text   string
	Said   string            // on both outputs
	Status string            // "0" where all went well
	After  map[string]string // what was exported then
	Ended  bool              // it ended the shell: there is no After, and no script after it
}

// firstScript is the number that Program gives to the first script.
const firstScript = 1001

// ReadRecording reads the files that a run wrote, by name.
func ReadRecording(files map[string][]byte) (Recording, error) {
	r := Recording{Files: Files{EnvVars: map[string][]byte{}, State: files["state"]}}
	for name, body := range files {
		if file, ok := strings.CutPrefix(name, "vars-"); ok {
			r.Files.EnvVars[file] = body
		}
	}
	before, ok := files[fmt.Sprintf("%d.env", firstScript-1)]
	if !ok {
		return r, fmt.Errorf("reading what the activation scripts do: nothing was recorded: the image lacks env or cat")
	}
	r.Before = readEnvironment(before)
	for n := firstScript; ; n++ {
		of := func(kind string) (string, bool) {
			b, ok := files[fmt.Sprintf("%d.%s", n, kind)]
			return string(b), ok
		}
		name, ok := of("name")
		if !ok {
			return r, nil
		}
		s := Sourced{Name: strings.TrimSuffix(name, "\n")}
		s.Text, _ = of("text")
		s.Said, _ = of("said")
		s.Status, _ = of("status")
		s.Status = strings.TrimSpace(s.Status)
		after, ok := of("env")
		s.After, s.Ended = readEnvironment([]byte(after)), !ok
		r.Scripts = append(r.Scripts, s)
	}
}

// readEnvironment reads what "env -0" prints.
func readEnvironment(b []byte) map[string]string {
	out := map[string]string{}
	for entry := range strings.SplitSeq(string(b), "\x00") {
		if name, value, ok := strings.Cut(entry, "="); ok {
			out[name] = value
		}
	}
	return out
}
