package link

import (
	"fmt"
	"strings"
	"unicode"
)

// EntryPoint is a command of a noarch python package: "name = module:function".
type EntryPoint struct {
	Command  string `json:"command"`
	Module   string `json:"module"`
	Function string `json:"function"`
}

// Path is where the command is, relative to the prefix.
func (e EntryPoint) Path() string { return "bin/" + e.Command }

// Bytecode is a python file of a noarch package and the file that conda compiles it to, relative to the prefix.
type Bytecode struct {
	Source string `json:"source"`
	Path   string `json:"path"`
}

func parseEntryPoints(defs []string) ([]EntryPoint, error) {
	var out []EntryPoint
	for _, def := range defs {
		e, err := parseEntryPoint(def)
		if err != nil {
			return nil, fmt.Errorf("entry point %q: %w", def, err)
		}
		out = append(out, e)
	}
	return out, nil
}

func parseEntryPoint(def string) (EntryPoint, error) {
	colon := strings.LastIndexByte(def, ':')
	if colon < 0 {
		return EntryPoint{}, fmt.Errorf("want name = module:function")
	}
	equals := strings.LastIndexByte(def[:colon], '=')
	if equals < 0 {
		return EntryPoint{}, fmt.Errorf("want name = module:function")
	}
	e := EntryPoint{
		Command:  strings.TrimSpace(def[:equals]),
		Module:   strings.TrimSpace(def[equals+1 : colon]),
		Function: strings.TrimSpace(def[colon+1:]),
	}
	return e, e.check()
}

// check refuses commands that are no plain file names, and what would end a line of the script.
func (e EntryPoint) check() error {
	if e.Command == "" || e.Command == "." || e.Command == ".." || strings.HasPrefix(e.Command, ".wh.") {
		return fmt.Errorf("%q is no name for a command", e.Command)
	}
	for _, r := range e.Command {
		if r == '/' || r == '\\' || r == unicode.ReplacementChar || unicode.IsSpace(r) || unicode.IsControl(r) {
			return fmt.Errorf("the command's name holds %q", r)
		}
	}
	for _, s := range []string{e.Module, e.Function} {
		if s == "" || strings.ContainsFunc(s, unicode.IsControl) {
			return fmt.Errorf("%q is no name in python", s)
		}
	}
	return nil
}

// render is the script, as conda writes it.
func (e EntryPoint) render(t Target) string {
	name, _, _ := strings.Cut(e.Function, ".")
	return entryPointShebang(t.Prefix+"/"+t.Python.Path) + strings.NewReplacer(
		"MODULE", e.Module, "IMPORT", name, "FUNC", e.Function,
	).Replace(entryPointScript)
}

// entryPointScript is conda's python_entry_point_template.
const entryPointScript = `# -*- coding: utf-8 -*-
import re
import sys

from MODULE import IMPORT

if __name__ == '__main__':
    sys.argv[0] = re.sub(r'(-script\.pyw?|\.exe)?$', '', sys.argv[0])
    sys.exit(FUNC())
`

// entryPointShebang finds python by its path. Where Linux could not read such a line, sh reads the file first: to it the
// second line is a command, to python a string.
func entryPointShebang(python string) string {
	line := "#!" + python + "\n"
	if len(line) <= maxShebang && !strings.Contains(python, " ") {
		return line
	}
	return "#!/bin/sh\n'''exec' \"" + python + "\" \"$0\" \"$@\" #'''\n"
}
