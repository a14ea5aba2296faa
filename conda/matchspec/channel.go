package matchspec

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/datalayer/conda2docker/conda"
)

// splitChannel reads the text before "::". A channel below conda's own alias goes by its short name.
func splitChannel(s string) (channel, subdir string) {
	if isURL().MatchString(s) {
		s = conda.WithoutCredentials(s)
	}
	s = strings.TrimRight(s, "/")
	if m := knownSubdir().FindStringSubmatch(s); m != nil {
		s, subdir = strings.TrimRight(m[1], "/"), m[2]
	}
	return strings.TrimPrefix(s, conda.Alias), subdir
}

// checkPlace refuses channels and subdirs with characters that mean something else in a spec.
func checkPlace(channel, subdir string) error {
	const special = "[]()'\"#\n"
	if strings.ContainsAny(channel, special) {
		return fmt.Errorf("channel %q: brackets and quotes are not allowed", channel)
	}
	if strings.ContainsAny(subdir, special+":/") {
		return fmt.Errorf("subdir %q: want one such as linux-64", subdir)
	}
	return nil
}

// matchChannel reports whether a spec's channel is this one, or, where it is several with commas between them, one of these.
func matchChannel(want string, c conda.Channel) bool {
	if first, rest, several := strings.Cut(want, ","); several {
		return matchChannel(first, c) || matchChannel(rest, c)
	}
	if want == c.Name || want == c.URL || want == below(conda.Alias, c.URL) {
		return true
	}
	if strings.Contains(want, "*") {
		return matchGlob(want, c.Name)
	}
	switch name := below("https://repo.anaconda.com/", c.URL); name {
	case "pkgs/main", "pkgs/r", "pkgs/msys2":
		return want == name || want == "defaults" // which stands for these three
	default:
		return want == name && name == "pkgs/free"
	}
}

// below is the rest of a URL that begins with base, or else "".
func below(base, url string) string {
	rest, ok := strings.CutPrefix(url, base)
	if !ok {
		return ""
	}
	return rest
}

// sameURL compares URLs that may be percent-encoded.
func sameURL(a, b string) bool {
	if a == b {
		return true
	}
	a, errA := url.PathUnescape(a)
	b, errB := url.PathUnescape(b)
	return errA == nil && errB == nil && a == b
}
