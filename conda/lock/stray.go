package lock

import (
	"fmt"
	"slices"
	"strings"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/matchspec"
)

// ChannelRefs are the channels that a platform's packages come from, names or URLs: those that were asked for where this program made
// the lock, else those that the file names. An @EXPLICIT file does not tell.
func (l *Lock) ChannelRefs(s conda.Subdir) []string {
	p, ok := l.platform(s)
	if !ok || l.explicit {
		return nil
	}
	var out []string
	for _, line := range p.Request {
		if ref, ok := strings.CutPrefix(line, "channel "); ok {
			out = append(out, ref)
		}
	}
	if p.Own() {
		return out
	}
	for _, c := range l.Channels {
		out = append(out, c.URL)
		// These mirrors have led their clients to where the packages are (CEP 15).
		for _, mirror := range []string{"https://repo.prefix.dev/", "https://prefix.dev/"} {
			if name, ok := strings.CutPrefix(c.URL, mirror); ok {
				out = append(out, conda.Alias+name)
			}
		}
	}
	return out
}

// Strays says which of a platform's packages of the category Main, and of others by name, are of none of the channels, and are not
// asked for by their URL: so it is where a URL was changed by hand. A channel is what a name or URL of refs means, or one of channels.
func (l *Lock) Strays(s conda.Subdir, refs []string, channels []conda.Channel, specs []matchspec.Spec, categories ...string) ([]string, error) {
	records, err := l.Records(s, categories...)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, r := range records {
		known := slices.ContainsFunc(channels, func(c conda.Channel) bool { return r.Channel.URL == c.URL || r.Channel.Name == c.Name }) ||
			slices.ContainsFunc(refs, func(ref string) bool {
				return matchspec.Spec{Channel: strings.TrimRight(ref, "/")}.Match(&conda.Record{Channel: r.Channel})
			}) ||
			slices.ContainsFunc(specs, func(spec matchspec.Spec) bool { return spec.URL != "" && spec.Match(r) })
		if !known {
			out = append(out, fmt.Sprintf("%s is taken from %s, which is in none of the lock's channels (%s)", r.Dist(), r.URL, strings.Join(refs, ", ")))
		}
	}
	return out, nil
}
