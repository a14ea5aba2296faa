package lock

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/datalayer/conda2docker/conda/matchspec"
)

// requestHash is the content hash of a platform that this program locks: the lower-case hex SHA-256 of what was asked for, each
// of its lines ended by a line feed.
func requestHash(request []string) string {
	sum := sha256.Sum256([]byte(strings.Join(request, "\n") + "\n"))
	return hex.EncodeToString(sum[:])
}

// Own reports whether this program made the lock of the platform: only then it knows what was asked for.
func (p *Platform) Own() bool { return len(p.Request) > 0 }

// LacksPip reports whether packages of pip's were asked for, and what pip would choose is not there: this program's older versions,
// which left that to the build, made the lock.
func (p *Platform) LacksPip() bool {
	return p.PipVersion == "" && len(p.Pip) == 0 && slices.ContainsFunc(p.Request, func(line string) bool { return strings.HasPrefix(line, "pip ") })
}

// Changes says how what is asked for now differs from what was asked for when the platform was locked, a line for each
// difference: "+ spec numpy" is new, "- spec numpy" is no longer there. None means that the lock is not stale.
func (p *Platform) Changes(request []string) []string {
	var out []string
	for _, line := range p.Request {
		if !slices.Contains(request, line) {
			out = append(out, "- "+line)
		}
	}
	for _, line := range request {
		if !slices.Contains(p.Request, line) {
			out = append(out, "+ "+line)
		}
	}
	if len(out) == 0 && !slices.Equal(p.Request, request) {
		return []string{"the same in another order"}
	}
	return out
}

// Specs are the MatchSpecs among what was asked for.
func (p *Platform) Specs() []matchspec.Spec {
	var out []matchspec.Spec
	for _, line := range p.Request {
		if text, ok := strings.CutPrefix(line, "spec "); ok {
			if spec, err := matchspec.Parse(text); err == nil {
				out = append(out, spec)
			}
		}
	}
	return out
}
