package main

import (
	"io/fs"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/condarc"
	"github.com/datalayer/conda2docker/conda/matchspec"
	"github.com/datalayer/conda2docker/envspec"
)

// condarcOf is the configuration that one file makes.
func condarcOf(t *testing.T, body string) condarc.Config {
	t.Helper()
	c, err := condarc.Load(condarc.Options{
		Getenv: func(name string) string { return map[string]string{"HOME": "/home/me"}[name] },
		ReadFile: func(p string) ([]byte, error) {
			if p == "/home/me/.condarc" {
				return []byte(body), nil
			}
			return nil, fs.ErrNotExist
		},
		ReadDir: func(string) ([]os.DirEntry, error) { return nil, fs.ErrNotExist },
	})
	require.NoError(t, err)
	return c
}

func parseEnvironment(t *testing.T, body string) envspec.Environment {
	t.Helper()
	env, _, err := envspec.ParseEnvironment([]envspec.File{{Path: "environment.yml", Data: []byte(body)}}, envspec.Options{})
	require.NoError(t, err)
	return env
}

func TestPinnedChannelsAreSearched(t *testing.T) {
	t.Parallel()
	c := condarcOf(t, `
channel_alias: https://alias.org
custom_channels: {team: "https://team.org"}
custom_multichannels: {ours: [team, lab]}
default_channels: [https://mirror.org/main, https://mirror.org/r]
`)
	env := parseEnvironment(t, `
dependencies:
  - numpy
  - conda-forge::scipy
  - team::tool >=1
  - ours::both
  - defaults::zlib
  - https://me:secret@private.org/ch/linux-64::hidden
  - "*::anything"
  - any[channel=lab]
`)
	first := conda.Channel{Name: "conda-forge", URL: "https://alias.org/conda-forge"}
	got, channels, err := resolvePins(env, []conda.Channel{first}, c)
	require.NoError(t, err)
	var urls []string
	for _, of := range channels {
		urls = append(urls, of.URL)
	}
	require.Equal(t, []string{
		"https://alias.org/conda-forge", "https://team.org/team", "https://alias.org/lab", "https://mirror.org/main", "https://mirror.org/r", "https://private.org/ch",
	}, urls)
	for i, want := range [][]string{
		{"https://alias.org/conda-forge", "https://team.org/team", "https://alias.org/lab", "https://mirror.org/main", "https://mirror.org/r", "https://private.org/ch"},
		{"https://alias.org/conda-forge"},
		{"https://team.org/team"},
		{"https://team.org/team", "https://alias.org/lab"},
		{"https://mirror.org/main", "https://mirror.org/r"},
		{"https://private.org/ch"},
		{"https://alias.org/conda-forge", "https://team.org/team", "https://alias.org/lab", "https://mirror.org/main", "https://mirror.org/r", "https://private.org/ch"},
		{"https://alias.org/lab"},
	} {
		var matched []string
		for _, of := range channels {
			if (matchspec.Spec{Channel: got.Dependencies[i].Spec.Channel}).Match(&conda.Record{Channel: of}) {
				matched = append(matched, of.URL)
			}
		}
		require.Equal(t, want, matched, env.Dependencies[i].Text)
	}
	require.Equal(t, "ours", env.Dependencies[3].Spec.Channel, "what was read stays as it is")
	require.NotContains(t, got.Dependencies[5].Spec.String(), "secret")

	_, _, err = resolvePins(parseEnvironment(t, "dependencies:\n  - a\n  - local::b\n"), nil, c)
	require.ErrorContains(t, err, "environment.yml:3:5: dependencies: channel local: ")
	require.Equal(t, exitUsage, exitCode(err))
	_, _, err = resolvePins(parseEnvironment(t, "dependencies:\n  - lab::b\n"), nil, condarcOf(t, "denylist_channels: [lab]"))
	require.ErrorContains(t, err, "environment.yml:2:5: dependencies: channel lab must not be used: /home/me/.condarc:1: denylist_channels names it")
}
