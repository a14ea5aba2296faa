package activate

import (
	"regexp"
	"strings"
)

// atCommand is where a command's name may begin.
const atCommand = "(?:^|[;&|({`!]|\\$\\(|\\b(?:if|then|elif|else|do|while|until|exec|command|sudo|time)\\s)\\s*"

// asks are what a text can ask for that only a running container has. They err on the side of finding something: the script is then
// sourced when a container starts, and what it says is right in any case.
var asks = []struct {
	what    string
	pattern *regexp.Regexp
}{
	{"it asks for the number of processors", regexp.MustCompile(`\b(?:nproc|getconf|lscpu|sysctl)\b`)},
	{"it asks for the machine's name", regexp.MustCompile(`\bhostname\b|\bHOSTNAME\b|\bhostid\b|\buname\s+-\w*[anrv]`)},
	{"it asks for the time", regexp.MustCompile(`(?m)` + atCommand + `date\b|\bSECONDS\b|\bEPOCH(?:SECONDS|REALTIME)\b|%\([^)]*\)T`)},
	{"it asks for a random number", regexp.MustCompile(`\bS?RANDOM\b|\bmktemp\b|\buuidgen\b`)},
	{"it asks for its process", regexp.MustCompile(`\$\$|\$\{\$\}|\b(?:BASHPID|PPID)\b`)},
	{"it asks for its user", regexp.MustCompile(`(?m)\$\{?(?:USER|LOGNAME|E?UID|GROUPS|HOME)\b|(?:^|[\s=:"'])~(?:/|$|\s)|\bwhoami\b|` + atCommand + `(?:id|groups)\b`)},
	{"it asks for the working folder", regexp.MustCompile(`(?m)\$\{?(?:PWD|OLDPWD)\b|` + atCommand + `(?:cd|pushd)\b|\$\(\s*pwd\b|` + "`pwd`")},
	{"it asks for the terminal", regexp.MustCompile(`(?m)\$\{?(?:TERM|COLUMNS|LINES|PS1|DISPLAY|TTY)\b|\b(?:tput|stty)\b|` + atCommand + `tty\b`)},
	{"it asks for the driver of a GPU", regexp.MustCompile(`\bnvidia-smi\b|\brocm-smi\b|\brocminfo\b`)},
	{"it looks at the system", regexp.MustCompile(`(?m)/(?:proc|sys)\b|/dev/(?:[^nsf]|n[^u]|s[^t]|f[^d])|` + atCommand + `(?:ps|free|df|mount|ulimit|ip|ifconfig)\b|\$\{?(?:TMPDIR|XDG_\w+|KUBERNETES_\w+)\b`)},
	{"it asks the network", regexp.MustCompile(`(?m)` + atCommand + `(?:curl|wget|ssh|git|ping|nc)\b`)},
	{"it writes files", regexp.MustCompile(`(?m)` + atCommand + `(?:mkdir|touch|cp|mv|ln|rm|rmdir|install|tee|chmod|chown|dd)\b|\bsed\s+(?:-\w+\s+)*-i`)},
}

// asksFor says what a script's text asks for that a build cannot know; "" where there is nothing.
func asksFor(text string) string {
	text = withoutComments(text)
	for _, a := range asks {
		if a.pattern.MatchString(text) {
			return a.what
		}
	}
	if redirects(text) {
		return "it writes files"
	}
	return ""
}

var redirection = regexp.MustCompile(`(^|[^-=>&])&?>{1,2}\|?\s*([^\s;)]*)`)

// redirects reports whether a text writes to a file by > or >>.
func redirects(text string) bool {
	for _, m := range redirection.FindAllStringSubmatch(text, -1) {
		target := strings.Trim(m[2], `"'`)
		if !strings.HasPrefix(target, "&") && target != "/dev/null" && target != "/dev/stderr" && target != "/dev/stdout" {
			return true
		}
	}
	return false
}

// withoutComments takes comments out of a shell's text.
func withoutComments(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		quote := rune(0)
		before := ' '
		end := len(line)
		for i, r := range line {
			switch {
			case quote != 0:
				if r == quote && before != '\\' {
					quote = 0
				}
			case r == '\'' || r == '"':
				quote = r
			case r == '#' && strings.ContainsRune(" \t;", before):
				end = i
			}
			if end < len(line) {
				break
			}
			before = r
		}
		out.WriteString(strings.TrimSuffix(line[:end], "\n") + "\n")
	}
	return out.String()
}
