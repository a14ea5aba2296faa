package envspec

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/datalayer/conda2docker/conda"
)

// A comment that is a selector begins with an expression in brackets: "# [linux and x86_64]" (CEP 24).
var commentSelector = regexp.MustCompile(`^#\s*\[([^\[\]]*)\]`)

// dictSelector is the key of a dictionary selector: "sel(linux)".
var dictSelector = regexp.MustCompile(`^sel\((.*)\)$`)

// selectLines blanks the lines whose comment selector is false for the platform, so that everything else keeps its
// place. It reports whether there were any selectors.
func (s *source) selectLines(subdir conda.Subdir) (text string, used bool, err error) {
	var b strings.Builder
	last := 0
	for n := 1; n <= len(s.starts); n++ {
		start, end := s.bounds(n)
		line := s.text[start:end]
		i := commentStart(line)
		if i < 0 || strings.TrimSpace(line[:i]) == "" {
			continue
		}
		m := commentSelector.FindStringSubmatchIndex(line[i:])
		if m == nil {
			continue
		}
		used = true
		keep, err := evalSelector(line[i+m[2]:i+m[3]], func(name string) (bool, bool) { return selectorValue(name, subdir) })
		if err != nil {
			at := s.position(start + i + m[2])
			return "", false, s.errorAt(at, err, "selector [%s] (a comment that is none must not begin with a bracket)", line[i+m[2]:i+m[3]])
		}
		if !keep {
			b.WriteString(s.text[last:start] + strings.Repeat(" ", end-start))
			last = end
		}
	}
	b.WriteString(s.text[last:])
	return b.String(), used, nil
}

// commentStart is the offset of the line's comment, or -1: a # after a blank, outside quotes.
func commentStart(line string) int {
	quote, before := byte(0), byte(' ')
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case quote == '"' && c == '\\', quote == '\'' && strings.HasPrefix(line[i:], "''"):
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case (c == '"' || c == '\'') && strings.IndexByte(" \t[{,:-", before) >= 0:
			quote = c
		case c == '#' && (before == ' ' || before == '\t'):
			return i
		}
		before = c
	}
	return -1
}

// selectorValue is a selector variable's value for a platform, and whether there is such a variable: those of
// conda-build that speak of the operating system and the architecture, and osx64 (CEP 24).
func selectorValue(name string, subdir conda.Subdir) (value, known bool) {
	system, arch, _ := strings.Cut(string(subdir), "-")
	switch name {
	case "linux", "osx", "win", "emscripten", "wasi", "freebsd", "zos":
		return system == name, true
	case "unix":
		return slices.Contains([]string{"linux", "osx", "emscripten"}, system), true
	case "x86":
		return arch == "32" || arch == "64", true
	case "x86_64":
		return arch == "64", true
	case "linux32", "linux64", "win32", "win64", "osx64":
		return system+arch == name, true
	case "arm64", "aarch64", "armv6l", "armv7l", "ppc64", "ppc64le", "s390x", "riscv32", "riscv64", "wasm32", "z":
		return arch == name, true
	}
	return false, false
}

// dictSelectorValue is selectorValue for dictionary selectors, which know fewer variables.
func dictSelectorValue(name string, subdir conda.Subdir) (value, known bool) {
	if !slices.Contains([]string{"linux", "osx", "win", "unix"}, name) {
		return false, false
	}
	return selectorValue(name, subdir)
}

// evalSelector evaluates variables joined by and, or, not and parentheses.
func evalSelector(expr string, value func(string) (value, known bool)) (bool, error) {
	e := selectorExpr{words: selectorWord.FindAllString(expr, -1), value: value}
	v := e.or()
	if e.err == nil && len(e.words) > 0 {
		e.fail("unexpected %q", e.words[0])
	}
	return v, e.err
}

var selectorWord = regexp.MustCompile(`\w+|[^\w\s]`)

// selectorExpr is what is left to be read of a selector.
type selectorExpr struct {
	words []string
	value func(string) (value, known bool)
	depth int
	err   error
}

func (e *selectorExpr) fail(format string, args ...any) {
	if e.err == nil {
		e.err = fmt.Errorf(format+" (want variables such as linux, osx, win and unix, joined by and, or, not)", args...)
	}
}

func (e *selectorExpr) take(words ...string) bool {
	if len(e.words) > 0 && slices.Contains(words, e.words[0]) {
		e.words = e.words[1:]
		return true
	}
	return false
}

func (e *selectorExpr) or() bool {
	v := e.and()
	for e.take("or") {
		v = e.and() || v
	}
	return v
}

func (e *selectorExpr) and() bool {
	v := e.operand()
	for e.take("and") {
		v = e.operand() && v
	}
	return v
}

func (e *selectorExpr) operand() bool {
	const deepest = 100
	switch e.depth++; {
	case e.depth > deepest || e.err != nil:
		e.fail("it is too long")
		return false
	case len(e.words) == 0:
		e.fail("it ends too early")
		return false
	case e.take("not"):
		return !e.operand()
	case e.take("("):
		v := e.or()
		if !e.take(")") {
			e.fail("a parenthesis is not closed")
		}
		return v
	}
	word := e.words[0]
	e.words = e.words[1:]
	v, known := e.value(word)
	if !known {
		e.fail("there is no variable %q", word)
	}
	return v
}
