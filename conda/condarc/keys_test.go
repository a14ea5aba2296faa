package condarc_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda/condarc"
	"github.com/datalayer/conda2docker/conda/fetch"
)

// condarcOnly is a machine whose only file of conda's is ~/.condarc.
func condarcOnly(body string) machine {
	return machine{files: map[string]string{"/home/me/.condarc": body}}
}

func TestOldPlacesLeadToNewOnes(t *testing.T) {
	c := load(t, condarcOnly(`
channel_alias: https://new.org/conda
custom_channels: {darwin: "https://some.org/stuff"}
migrated_custom_channels: {darwin: "s3://just/cant", darwin/deep: "https://old.org"}
migrated_channel_aliases: ["https://conda.anaconda.org", "http://older.org/conda/"]
`))
	for name, want := range map[string]string{
		"s3://just/cant/darwin":                        "https://some.org/stuff/darwin",
		"https://just/cant/darwin/label/dev":           "https://some.org/stuff/darwin/label/dev",
		"https://old.org/darwin/deep":                  "https://some.org/stuff/darwin/deep",
		"https://conda.anaconda.org/conda-forge":       "https://new.org/conda/conda-forge",
		"https://me:pw@conda.anaconda.org/x/linux-64":  "https://new.org/conda/x",
		"https://older.org/conda/y":                    "https://new.org/conda/y",
		"https://older.org/conda-2/y":                  "https://older.org/conda-2/y",
		"https://repo.anaconda.com/pkgs/main/linux-64": "https://repo.anaconda.com/pkgs/main",
		"oci://ghcr.io/channel-mirrors/conda-forge":    "oci://ghcr.io/channel-mirrors/conda-forge",
	} {
		got, err := c.Resolve(name)
		if strings.HasPrefix(name, "s3:") {
			require.Error(t, err, "conda cannot either")
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, want, got[0].URL, name)
	}
}

func TestRestoreFreeChannel(t *testing.T) {
	channels, err := load(t, condarcOnly("restore_free_channel: true\ndefault_channels: [a]")).Resolve("defaults")
	require.NoError(t, err)
	require.Equal(t, "a pkgs/free", names(channels))
	channels, err = load(t, machine{env: map[string]string{"CONDA_RESTORE_FREE_CHANNEL": "1"}}).Resolve("defaults")
	require.NoError(t, err)
	require.Equal(t, "pkgs/main pkgs/r pkgs/free", names(channels))
}

func TestForbiddenChannels(t *testing.T) {
	c := load(t, condarcOnly(`
allowlist_channels:
  - defaults
  - https://corp.org/conda/team
denylist_channels: [pkgs/r]
custom_channels: {team: "https://corp.org/conda"}
`))
	require.Empty(t, c.Channels(), "the default one is not allowed, and nobody has asked for it")
	for _, ok := range []string{"team", "pkgs/main", "https://corp.org/conda/team/noarch"} {
		_, err := c.Resolve(ok)
		require.NoError(t, err, ok)
	}
	for name, want := range map[string]string{
		"conda-forge": "channel conda-forge must not be used: /home/me/.condarc:3: allowlist_channels does not name it",
		"defaults":    "channel pkgs/r must not be used: /home/me/.condarc:5: denylist_channels names it",
		"team/other":  "channel team/other must not be used: /home/me/.condarc:3: allowlist_channels does not name it",
	} {
		_, err := c.Resolve(name)
		var forbidden *condarc.NotAllowedError
		require.ErrorAs(t, err, &forbidden, name)
		require.EqualError(t, err, want)
	}
	_, err := condarc.Load(condarcOnly("channels: [conda-forge]\ndenylist_channels: https://conda.anaconda.org/conda-forge/linux-64").options(t))
	require.ErrorContains(t, err, "/home/me/.condarc:1: channels: channel conda-forge must not be used")
	_, err = load(t, machine{env: map[string]string{"CONDA_WHITELIST_CHANNELS": "a,b"}}).Resolve("c")
	require.EqualError(t, err, "channel c must not be used: environment variable CONDA_WHITELIST_CHANNELS does not name it")
}

func TestEnvironmentOverridesFiles(t *testing.T) {
	m := condarcOnly("ssl_verify: /file.pem\nclient_cert: /file-cert.pem\nchannel_alias: https://file.org\nmigrated_channel_aliases: [https://old.org]")
	m.env = map[string]string{
		"CONDA_VERIFY_SSL": "/env.pem", "CONDA_CLIENT_SSL_CERT": "/env-cert.pem", "CONDA_CHANNEL_ALIAS": "https://env.org",
		"CONDA_MIGRATED_CHANNEL_ALIASES": "https://older.org,https://oldest.org", "CONDA_CHANNEL": "x", "CONDA_REMOTE_MAX_RETRIES": "7",
		"CONDA_DEFAULT_CHANNELS": "m, r", "CONDA_OFFLINE": "true", "CONDA_CHANNEL_PRIORITY": "flexible", "CONDA_SUBDIR": "osx-64",
	}
	c := load(t, m)
	require.Equal(t, "/env.pem", c.CAFile)
	require.Equal(t, "/env-cert.pem", c.ClientCert)
	require.Equal(t, 7, c.Retries)
	require.True(t, c.Offline)
	require.Equal(t, condarc.Flexible, c.Priority)
	require.Equal(t, "x", names(c.Channels()))
	for name, want := range map[string]string{
		"https://oldest.org/a": "https://env.org/a", "https://old.org/b": "https://env.org/b", "defaults": "https://env.org/m",
	} {
		got, err := c.Resolve(name)
		require.NoError(t, err)
		require.Equal(t, want, got[0].URL)
	}
	require.Equal(t, []string{"environment variable CONDA_SUBDIR: it is not honoured: what the image is for is said by --platform"}, c.Warnings)
}

func TestWhatIsNotHonouredIsSaid(t *testing.T) {
	c := load(t, condarcOnly(`
create_default_packages: [pip]
pinned_packages: []
use_only_tar_bz2: false
disallow: [anaconda]
changeps1: false
channel_settings:
  - channel: https://me:secret@corp.org/team
    auth: corp-auth
  - channel: https://other.org/*
    user: me
  - channel: "https://me:secret%zz word@corp.org/other"
    auth: corp-auth
`))
	require.Equal(t, []string{
		"/home/me/.condarc:2: create_default_packages: it is not honoured: name the packages in the environment",
		"/home/me/.condarc:5: disallow: it is not honoured: what is installed is what the environment asks for and needs",
		"/home/me/.condarc:8: channel_settings: corp-auth authenticates channel https://corp.org/team by a plugin of conda, which does not run here: " +
			"put the credentials into ~/.netrc, or into the channel's URL",
		"/home/me/.condarc:12: channel_settings: corp-auth authenticates channel https://corp.org/other by a plugin of conda, which does not run here: " +
			"put the credentials into ~/.netrc, or into the channel's URL",
	}, c.Warnings)
	for body, want := range map[string]string{
		"channel_settings: x":   "/home/me/.condarc:1: channel_settings: want a list",
		"channel_settings: [x]": "/home/me/.condarc:1: channel_settings: want entries such as",
	} {
		_, err := condarc.Load(condarcOnly(body).options(t))
		require.ErrorContains(t, err, want)
	}
}

func TestVirtualPackages(t *testing.T) {
	c := load(t, condarcOnly("override_virtual_packages:\n  cuda: '11.8'\n  __GLIBC: ''\n  archspec: x86_64_v3"))
	require.Equal(t, map[string]string{"cuda": "11.8", "glibc": "", "archspec": "x86_64_v3"}, c.VirtualPackages)
	c = load(t, condarcOnly("virtual_packages: {linux: '5.10'}"))
	require.Equal(t, map[string]string{"linux": "5.10"}, c.VirtualPackages)
	for range 20 { // the order of a map is another one each time
		c = load(t, condarcOnly("override_virtual_packages: {glibc: '2.28', __glibc: '2.17'}"))
		require.Equal(t, map[string]string{"glibc": "2.28"}, c.VirtualPackages)
	}
}

func TestTruststoreIsTheSystems(t *testing.T) {
	m := condarcOnly("ssl_verify: truststore")
	m.env = map[string]string{"REQUESTS_CA_BUNDLE": "/requests.pem"}
	require.Empty(t, load(t, m).CAFile)
	m.env["SSL_CERT_FILE"] = "/ssl.pem"
	require.Equal(t, "/ssl.pem", load(t, m).CAFile)
}

// The order is the one that the package's documentation gives.
func TestStrongestCredentialWins(t *testing.T) {
	server := "https://a.org"
	files := map[string]string{
		"/home/me/.netrc": "machine a.org login netrc password x",
		"/home/me/.local/share/binstar/" + url.QueryEscape(server) + ".token": "anaconda",
		"/home/me/.rattler/credentials.json":                                  `{"a.org": {"BearerToken": "rattler"}}`,
		"/named.json":                                                         `{"a.org": {"BearerToken": "named"}}`,
		"/home/me/.condarc":                                                   "channels: ['https://${WHO}:x@a.org/channel']",
	}
	env := map[string]string{"RATTLER_AUTH_FILE": "/named.json", "WHO": "url"}
	for _, test := range []struct {
		without func()
		want    fetch.Credential
	}{
		{func() {}, fetch.Credential{Username: "url", Password: "x"}},
		{func() { delete(files, "/home/me/.condarc") }, fetch.Credential{Bearer: "named"}},
		{func() { delete(env, "RATTLER_AUTH_FILE") }, fetch.Credential{Bearer: "rattler"}},
		{func() { delete(files, "/home/me/.rattler/credentials.json") }, fetch.Credential{Token: "anaconda"}},
		{func() { files["/home/me/.condarc"] = "add_anaconda_token: false" }, fetch.Credential{Username: "netrc", Password: "x"}},
		{func() { delete(files, "/home/me/.netrc") }, fetch.Credential{}},
	} {
		test.without()
		c := load(t, machine{files: files, env: env})
		u, err := url.Parse(server + "/channel/noarch/repodata.json")
		require.NoError(t, err)
		got, ok := c.Fetch().Credentials.Credential(u)
		require.Equal(t, test.want, got)
		require.Equal(t, test.want != fetch.Credential{}, ok)
	}
	env["RATTLER_AUTH_FILE"] = "/none.json"
	_, err := condarc.Load(machine{files: files, env: env}.options(t))
	require.ErrorContains(t, err, "reading rattler's credentials")
}

func TestProxyOfARequest(t *testing.T) {
	for _, test := range []struct {
		condarc string
		env     map[string]string
		url     string
		want    string
	}{
		{"", map[string]string{"HTTPS_PROXY": "http://env:1"}, "https://a.org", "http://env:1"},
		{"", map[string]string{"https_proxy": "env:1"}, "https://a.org", "http://env:1"},
		{"", map[string]string{"HTTPS_PROXY": "http://env:1"}, "http://a.org", ""},
		{"", map[string]string{"ALL_PROXY": "socks5://env:1"}, "http://a.org", "socks5://env:1"},
		{"", map[string]string{"HTTPS_PROXY": "http://env:1", "NO_PROXY": ".a.org,b.org"}, "https://x.a.org", ""},
		{"proxy_servers: {https: 'http://rc:2'}", map[string]string{"HTTPS_PROXY": "http://env:1"}, "https://a.org", "http://rc:2"},
		{"proxy_servers: {https: 'http://rc:2'}", map[string]string{"HTTP_PROXY": "http://env:1"}, "http://a.org", "http://env:1"},
		{"proxy_servers: {https: 'http://rc:2', 'https://a.org': 'http://host:3'}", nil, "https://a.org/x", "http://host:3"},
		{"proxy_servers: {all: 'http://rc:2'}", nil, "http://a.org", "http://rc:2"},
		{"proxy_servers: {https: 'http://rc:2'}", map[string]string{"NO_PROXY": "10.0.0.0/8"}, "https://10.1.2.3", ""},
		{"proxy_servers: {https: 'http://rc:2'}", nil, "https://localhost:8080", ""},
		{"proxy_servers: {https: ''}", map[string]string{"HTTPS_PROXY": "http://env:1"}, "https://a.org", "http://env:1"},
	} {
		m := condarcOnly(test.condarc)
		m.env = test.env
		got, err := load(t, m).Fetch().Proxy(request(t, test.url))
		require.NoError(t, err)
		if test.want == "" {
			require.Nil(t, got, "%v", test)
			continue
		}
		require.NotNil(t, got, "%v", test)
		require.Equal(t, test.want, got.String())
	}
	for _, bad := range []string{"http://me:sec%ret@proxy", "ftp://secret@proxy", "http://"} {
		_, err := condarc.Load(condarcOnly("proxy_servers: {https: '" + bad + "'}").options(t))
		require.ErrorContains(t, err, "proxy_servers https: ", bad)
		require.NotContains(t, err.Error(), "ret@")
	}
	_, err := condarc.Load(machine{env: map[string]string{"HTTPS_PROXY": "x://secret@proxy"}}.options(t))
	require.ErrorContains(t, err, "proxy of the environment for https: want an http://")
	require.NotContains(t, err.Error(), "secret")
}
