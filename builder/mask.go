package builder

import (
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/moby/buildkit/client"
)

// userinfo is the credential of a URL: what is before the host.
var userinfo = regexp.MustCompile(`://([^/@\s]+)@`)

// hide takes the credentials of URLs in the request's secrets out of what steps write: programs repeat what they were given.
func (r Request) hide() func(*client.SolveStatus) {
	var hidden []string
	for _, secret := range r.Secrets {
		for _, m := range userinfo.FindAllSubmatch(secret, -1) {
			whole := string(m[1])
			hidden = append(hidden, whole+"@", "***@")
			_, password, ok := strings.Cut(whole, ":")
			if !ok {
				continue
			}
			// What is short is a part of other words.
			if plain, err := url.PathUnescape(password); err == nil && len(plain) >= shortestPassword {
				hidden = append(hidden, plain, "***")
			}
			if len(password) >= shortestPassword {
				hidden = append(hidden, password, "***")
			}
		}
	}
	if len(hidden) == 0 {
		return func(*client.SolveStatus) {}
	}
	mask := strings.NewReplacer(hidden...)
	return func(s *client.SolveStatus) {
		for i, l := range s.Logs {
			if text := mask.Replace(string(l.Data)); text != string(l.Data) {
				masked := *l
				masked.Data = []byte(text)
				s.Logs = slices.Clone(s.Logs)
				s.Logs[i] = &masked
			}
		}
	}
}

const shortestPassword = 6
