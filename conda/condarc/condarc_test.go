package condarc_test

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/condarc"
	"github.com/datalayer/conda2docker/conda/condatest"
	"github.com/datalayer/conda2docker/conda/fetch"
)

// machine is a file system and an environment. Paths are below /; HOME is /home/me.
type machine struct {
	files map[string]string
	env   map[string]string
}

func (m machine) options(t *testing.T) condarc.Options {
	t.Helper()
	root := t.TempDir()
	for path, body := range m.files {
		full := filepath.Join(root, path)
		require.NoError(t, os.MkdirAll(filepath.Dir(full), 0o755))
		require.NoError(t, os.WriteFile(full, []byte(body), 0o644))
	}
	return condarc.Options{
		Getenv: func(k string) string {
			if v, ok := m.env[k]; ok || k != "HOME" {
				return v
			}
			return "/home/me"
		},
		ReadFile: func(p string) ([]byte, error) { return os.ReadFile(filepath.Join(root, p)) },
		ReadDir:  func(p string) ([]os.DirEntry, error) { return os.ReadDir(filepath.Join(root, p)) },
	}
}

func load(t *testing.T, m machine) condarc.Config {
	t.Helper()
	c, err := condarc.Load(m.options(t))
	require.NoError(t, err)
	return c
}

func names(channels []conda.Channel) string {
	var all []string
	for _, c := range channels {
		all = append(all, c.Name)
	}
	return strings.Join(all, " ")
}

func TestCondaForgeIsTheDefault(t *testing.T) {
	c := load(t, machine{})
	require.Equal(t, []conda.Channel{{Name: "conda-forge", URL: "https://conda.anaconda.org/conda-forge"}}, c.Channels())
	require.Empty(t, c.Files)
	require.Empty(t, c.Priority)

	c = load(t, machine{files: map[string]string{"/home/me/.condarc": "channels: [nodefaults]\n"}})
	require.Equal(t, "conda-forge", names(c.Channels()))
}

func TestSearchOrder(t *testing.T) {
	m := machine{
		files: map[string]string{
			"/etc/conda/.condarc":                "channels: [etc]\nchannel_priority: flexible\noffline: true",
			"/etc/conda/condarc.d/20-b.yml":      "channels: [second]",
			"/etc/conda/condarc.d/10-a.yaml":     "channels: [first]",
			"/etc/conda/condarc.d/readme.txt":    "channels: [never]",
			"/opt/conda/.condarc":                "channels: [root]",
			"/home/me/.config/conda/condarc":     "channels: [xdg]",
			"/home/me/.condarc":                  "channels:\n  - home\n  - etc\nchannel_priority: strict",
			"/opt/conda/envs/x/condarc":          "channels: prefix",
			"/somewhere/condarc.yml":             "unknown_key: {a: [1]}\nchannels: [named]",
			"/home/me/.conda/condarc.d/none.yml": "",
		},
		env: map[string]string{
			"CONDARC": "/somewhere/condarc.yml", "CONDA_CHANNELS": "env-1, env-2", "CONDA_OFFLINE": "no",
			"CONDA_EXE": "/opt/conda/bin/conda", "CONDA_PREFIX": "/opt/conda/envs/x",
			"XDG_CONFIG_HOME": "/home/me/.config",
		},
	}
	c := load(t, m)
	require.Equal(t, "env-1 env-2 named prefix home etc xdg root second first", names(c.Channels()))
	require.Equal(t, condarc.Strict, c.Priority)
	require.False(t, c.Offline)
	require.Equal(t, []string{
		"/etc/conda/.condarc", "/etc/conda/condarc.d/10-a.yaml", "/etc/conda/condarc.d/20-b.yml", "/opt/conda/.condarc",
		"/home/me/.config/conda/condarc", "/home/me/.conda/condarc.d/none.yml", "/home/me/.condarc",
		"/opt/conda/envs/x/condarc", "/somewhere/condarc.yml",
	}, c.Files)
}

func TestFinalIsTheLastWord(t *testing.T) {
	c := load(t, machine{files: map[string]string{
		"/etc/conda/.condarc": "channels:  #!final\n  - etc\nchannel_priority: disabled  #!final",
		"/home/me/.condarc":   "channels: [home]\nchannel_priority: strict\nchannel_alias: https://a.org",
	}, env: map[string]string{"CONDA_CHANNELS": "env"}})
	require.Equal(t, []conda.Channel{{Name: "etc", URL: "https://a.org/etc"}}, c.Channels())
	require.Equal(t, condarc.Disabled, c.Priority)
}

func TestResolve(t *testing.T) {
	c := load(t, machine{
		files: map[string]string{"/home/me/.condarc": `
channel_alias: https://Mirror.org/conda/
default_channels:
  - https://mirror.org/main
custom_channels:
  team: https://me:secret@team.org/channels
  team/deep: file:///srv
custom_multichannels:
  all: [team, https://other.org/x, pkgs/r]
`},
		env: map[string]string{"TOKEN": "tk-1"},
	})
	for name, want := range map[string][]conda.Channel{
		"conda-forge":                       {{Name: "conda-forge", URL: "https://mirror.org/conda/conda-forge"}},
		"conda-forge/linux-64":              {{Name: "conda-forge", URL: "https://mirror.org/conda/conda-forge"}},
		"conda-forge/label/dev":             {{Name: "conda-forge/label/dev", URL: "https://mirror.org/conda/conda-forge/label/dev"}},
		"team":                              {{Name: "team", URL: "https://team.org/channels/team"}},
		"team/x":                            {{Name: "team/x", URL: "https://team.org/channels/team/x"}},
		"team/deep/x":                       {{Name: "team/deep/x", URL: "file:///srv/team/deep/x"}},
		"pkgs/main":                         {{Name: "pkgs/main", URL: "https://repo.anaconda.com/pkgs/main"}},
		"defaults":                          {{Name: "https://mirror.org/main", URL: "https://mirror.org/main"}},
		"nodefaults":                        nil,
		"https://team.org/channels/team/x/": {{Name: "team/x", URL: "https://team.org/channels/team/x"}},
		"https://mirror.org/conda/y":        {{Name: "y", URL: "https://mirror.org/conda/y"}},
		"https://me:secret@z.org/t/tk-2/ch/noarch": {{Name: "https://z.org/ch", URL: "https://z.org/ch"}},
		"https://repo.anaconda.com/pkgs/r":         {{Name: "pkgs/r", URL: "https://repo.anaconda.com/pkgs/r"}},
		"file:///data/my%20channel":                {{Name: "file:///data/my%20channel", URL: "file:///data/my%20channel"}},
		"/data/my channel":                         {{Name: "file:///data/my%20channel", URL: "file:///data/my%20channel"}},
		"~/channel":                                {{Name: "file:///home/me/channel", URL: "file:///home/me/channel"}},
		"all": {
			{Name: "team", URL: "https://team.org/channels/team"},
			{Name: "https://other.org/x", URL: "https://other.org/x"},
			{Name: "pkgs/r", URL: "https://repo.anaconda.com/pkgs/r"},
		},
	} {
		got, err := c.Resolve(name)
		require.NoError(t, err)
		require.Equal(t, want, got, name)
	}
	for at, want := range map[string]fetch.Credential{
		"https://team.org/channels/team/noarch/repodata.json": {Username: "me", Password: "secret"},
		"https://z.org/ch/linux-64/repodata.json":             {Username: "me", Password: "secret", Token: "tk-2"},
	} {
		u, err := url.Parse(at)
		require.NoError(t, err)
		key, ok := c.Credentials.Credential(u)
		require.True(t, ok, at)
		require.Equal(t, want, key)
	}
	for _, bad := range []string{"", "a b", "a::b", "local", "s3://bucket/x", "https://", "https://me:secret@ho st/"} {
		_, err := c.Resolve(bad)
		require.Error(t, err, bad)
		require.NotContains(t, err.Error(), "secret")
	}
}

func TestPlainDefaults(t *testing.T) {
	channels, err := load(t, machine{}).Resolve("defaults")
	require.NoError(t, err)
	require.Equal(t, []conda.Channel{
		{Name: "pkgs/main", URL: "https://repo.anaconda.com/pkgs/main"},
		{Name: "pkgs/r", URL: "https://repo.anaconda.com/pkgs/r"},
	}, channels)
}

func TestVariablesAreExpanded(t *testing.T) {
	c := load(t, machine{
		files: map[string]string{"/home/me/.condarc": "channels: ['https://${USER}:$PASS@a.org/x', '$NONE/y']"},
		env:   map[string]string{"USER": "me", "PASS": "secret", "NONE": "team"},
	})
	require.Equal(t, "https://a.org/x team/y", names(c.Channels()))
}

func TestNetwork(t *testing.T) {
	c := load(t, machine{files: map[string]string{"/home/me/.condarc": `
ssl_verify: ~/ca.pem
client_ssl_cert: /c.pem
client_ssl_cert_key: /k.pem
remote_connect_timeout_secs: 2.5
remote_read_timeout_secs: 30
remote_max_retries: 0
offline: true
proxy_servers:
  https: http://me:secret@proxy:3128
  http://plain.org: other:80
mirrored_channels:
  conda-forge:
    - https://mirror.org/conda-forge
    - oci://ghcr.io/channel-mirrors/conda-forge
    - s3://me:secret@bucket/x
`}})
	require.Equal(t, []string{
		"/home/me/.condarc:16: mirrored_channels: a mirror of conda-forge is left out: want an http://, https://, oci:// or file:// URL",
	}, c.Warnings)
	o := c.Fetch()
	require.Equal(t, "/home/me/ca.pem", o.CAFile)
	require.Equal(t, "/c.pem", o.ClientCert)
	require.Equal(t, "/k.pem", o.ClientKey)
	require.Equal(t, 2500*time.Millisecond, o.ConnectTimeout)
	require.Equal(t, 30*time.Second, o.ReadTimeout)
	require.Negative(t, o.Retries)
	require.True(t, o.Offline)
	require.Equal(t, map[string][]string{
		"https://conda.anaconda.org/conda-forge": {"https://mirror.org/conda-forge", "oci://ghcr.io/channel-mirrors/conda-forge"},
	}, o.Mirrors)
	for target, want := range map[string]string{
		"https://a.org/x": "http://me:secret@proxy:3128", "http://plain.org/x": "http://other:80",
	} {
		r, err := http.NewRequest(http.MethodGet, target, nil)
		require.NoError(t, err)
		got, err := o.Proxy(r)
		require.NoError(t, err)
		require.Equal(t, want, got.String())
	}
}

func TestCertificateAuthorities(t *testing.T) {
	env := map[string]string{"SSL_CERT_FILE": "/ssl.pem"}
	require.Equal(t, "/ssl.pem", load(t, machine{env: env}).CAFile)
	env["REQUESTS_CA_BUNDLE"] = "/requests.pem"
	require.Equal(t, "/requests.pem", load(t, machine{env: env}).CAFile)
	env["CONDA_SSL_VERIFY"] = "/conda.pem"
	require.Equal(t, "/conda.pem", load(t, machine{env: env}).CAFile)
	env["CONDA_SSL_VERIFY"] = "false"
	c := load(t, machine{env: env})
	require.True(t, c.Insecure)
	require.Empty(t, c.CAFile)
}

func TestErrorsNameThePlace(t *testing.T) {
	for body, want := range map[string]string{
		"channels: [a\nb: c":                    "/home/me/.condarc:",
		"- a":                                   "/home/me/.condarc:1: want KEY: VALUE lines",
		"a: b\nchannels: {a: b}":                "/home/me/.condarc:2: channels: want a list",
		"channels:\n- ok\n- not ok":             `/home/me/.condarc:3: channels: channel "not ok"`,
		"channels:\n- [a]":                      "/home/me/.condarc:2: channels: want a single value",
		"\nchannel_priority: sometimes":         "/home/me/.condarc:2: channel_priority: want strict, flexible or disabled",
		"\nsafety_checks: never":                "/home/me/.condarc:2: safety_checks: want disabled, warn or enabled",
		"offline: perhaps":                      "/home/me/.condarc:1: offline: want true or false",
		"remote_max_retries: many":              "/home/me/.condarc:1: remote_max_retries: want a number",
		"remote_read_timeout_secs: -1":          "/home/me/.condarc:1: remote_read_timeout_secs: want a number",
		"proxy_servers: [a]":                    "/home/me/.condarc:1: proxy_servers: want NAME: VALUE entries",
		"channel_alias: nonsense":               "/home/me/.condarc:1: channel_alias: want an http://",
		"custom_channels: {x: 'ftp://s@ecret'}": "custom_channels: x: want an http://",
	} {
		_, err := condarc.Load(machine{files: map[string]string{"/home/me/.condarc": body}}.options(t))
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "ecret")
	}
	_, err := condarc.Load(machine{env: map[string]string{"CONDA_CHANNEL_PRIORITY": "x"}}.options(t))
	require.ErrorContains(t, err, "environment variable CONDA_CHANNEL_PRIORITY: want strict")
	_, err = condarc.Load(machine{env: map[string]string{"CONDARC": "/none"}}.options(t))
	require.ErrorContains(t, err, "CONDARC: ")
}

func TestCredentialsOfOtherTools(t *testing.T) {
	channel := condatest.NewChannel(t)
	server := strings.TrimSuffix(channel.URL, "/channel")
	channel.RequireToken("tk-1")
	c := load(t, machine{files: map[string]string{
		"/home/me/.continuum/anaconda-client/tokens/" + url.QueryEscape(server) + ".token":        "tk-1\n",
		"/home/me/.local/share/binstar/" + url.QueryEscape("https://api.anaconda.org") + ".token": "tk-2",
		"/home/me/.netrc": "machine n.org login me password secret",
	}})
	client, err := fetch.New(c.Fetch())
	require.NoError(t, err)
	resp, err := client.Get(t.Context(), fetch.Request{URL: channel.URL + "/noarch/repodata.json"})
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())

	for at, want := range map[string]fetch.Credential{
		"https://conda.anaconda.org/private/x": {Token: "tk-2"},
		"https://n.org/x":                      {Username: "me", Password: "secret"},
	} {
		u, err := url.Parse(at)
		require.NoError(t, err)
		key, ok := c.Fetch().Credentials.Credential(u)
		require.True(t, ok)
		require.Equal(t, want, key)
	}
}

func TestChannelCredentialsAreUsed(t *testing.T) {
	channel := condatest.NewChannel(t)
	channel.RequireBasicAuth("me", "secret")
	c := load(t, machine{})
	client, err := fetch.New(c.Fetch())
	require.NoError(t, err)
	resolved, err := c.Resolve(strings.Replace(channel.URL, "://", "://me:secret@", 1))
	require.NoError(t, err)
	require.Equal(t, channel.URL, resolved[0].URL)
	resp, err := client.Get(t.Context(), fetch.Request{URL: resolved[0].SubdirURL("noarch") + "/repodata.json"})
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
}

// Two names of one channel: its mirrors are in the order of these each time.
func TestMirrorsAreInOrder(t *testing.T) {
	const alias = "https://conda.anaconda.org/"
	for range 20 {
		c := load(t, condarcOnly(`
mirrored_channels:
  `+alias+`forge: [https://c.org/forge]
  forge: [https://a.org/forge, https://b.org/forge, nowhere]
  "https://me:secret@conda.anaconda.org/forge": [elsewhere]
`))
		require.Equal(t, []string{"https://a.org/forge", "https://b.org/forge", "https://c.org/forge"}, c.Mirrors[alias+"forge"])
		require.Len(t, c.Warnings, 2)
		require.Contains(t, c.Warnings[0], "a mirror of forge is left out")
		require.Contains(t, c.Warnings[1], "a mirror of "+alias+"forge is left out")
	}
}

func TestHomeIsNeeded(t *testing.T) {
	_, err := load(t, machine{env: map[string]string{"HOME": ""}}).Resolve("~/channel")
	require.EqualError(t, err, "channel ~/channel: there is no HOME")
}
