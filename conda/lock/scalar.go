package lock

import (
	"regexp"
	"strconv"
	"strings"
)

// notText finds what YAML 1.1 takes for a number, truth value, date, null and the like.
var notText = regexp.MustCompile(`^(?:` + strings.Join([]string{
	`yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF|~|null|Null|NULL|<<|=`,
	`[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?`,
	`[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)`,
	`[-+]?0b[0-1_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+`,
	`[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?(?:[ \t]*(?:Z|[-+][0-9]{1,2}(?::[0-9]{2})?))?`,
}, "|") + `)$`)

// scalar is a text as PyYAML, and so conda-lock, writes it: plain, or in single quotes where it would
// otherwise be something else, or escaped.
func scalar(s string) string {
	switch {
	case strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c > '~' }):
		return strconv.QuoteToASCII(s)
	case s == "" || notText.MatchString(s) || !isPlain(s):
		return "'" + strings.ReplaceAll(s, "'", "''") + "'"
	default:
		return s
	}
}

// isPlain reports whether no character of s has a meaning in YAML where it stands.
func isPlain(s string) bool {
	if strings.IndexByte("#,[]{}&*!|>'\"%@` ", s[0]) >= 0 || strings.HasPrefix(s, "---") || strings.HasPrefix(s, "...") {
		return false
	}
	last := s[len(s)-1]
	if last == ' ' || last == ':' || strings.Contains(s, ": ") || strings.Contains(s, " #") {
		return false
	}
	return s != "-" && s != "?" && !strings.HasPrefix(s, "- ") && !strings.HasPrefix(s, "? ")
}
