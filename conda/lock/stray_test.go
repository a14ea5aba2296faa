package lock_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/lock"
	"github.com/datalayer/conda2docker/conda/matchspec"
)

func TestStrays(t *testing.T) {
	read := func(url string) *lock.Lock {
		text := `version: 1
metadata: {platforms: [linux-64], channels: [{url: conda-forge}, {url: 'https://user:secret@example.com/own/'}], sources: []}
package:
` + strings.ReplaceAll(entry, "https://example.com/linux-64/a-1-0.conda", url)
		l, err := lock.Read(strings.NewReader(text), "a.lock", lock.Options{})
		require.NoError(t, err)
		return l
	}
	strays := func(l *lock.Lock, channels []conda.Channel, specs ...matchspec.Spec) []string {
		out, err := l.Strays(conda.Linux64, l.ChannelRefs(conda.Linux64), channels, specs)
		require.NoError(t, err)
		return out
	}
	const own = "https://example.com/own/linux-64/a-1-0.conda"
	require.Empty(t, strays(read(own), nil))
	require.Empty(t, strays(read("https://conda.anaconda.org/conda-forge/linux-64/a-1-0.conda"), nil))
	for _, url := range []string{
		"https://example.org/own/linux-64/a-1-0.conda",
		"https://example.com/owner/linux-64/a-1-0.conda",
		"https://example.com/own/../x/linux-64/a-1-0.conda",
		"http://example.com/own/linux-64/a-1-0.conda",
	} {
		l := read(url)
		require.Equal(t, []string{"a-1-0 is taken from " + url + ", which is in none of the lock's channels (conda-forge, https://example.com/own/)"}, strays(l, nil))
		records, err := l.Records(conda.Linux64)
		require.NoError(t, err)
		require.Empty(t, strays(l, []conda.Channel{records[0].Channel}))
		asked, err := matchspec.Parse(url)
		require.NoError(t, err)
		require.Empty(t, strays(l, nil, asked))
	}
}
