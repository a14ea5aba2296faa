package fetch_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda/condatest"
	"github.com/datalayer/conda2docker/conda/fetch"
)

func TestCredentialsAreSent(t *testing.T) {
	channel := condatest.NewChannel(t)
	target := channel.URL + "/noarch/repodata.json"
	channel.RequireBasicAuth("me", "secret")
	_, err := get(client(t, fetch.Options{}), target)
	require.ErrorContains(t, err, "401 Unauthorized: credentials for it go into ~/.netrc")

	u, err := url.Parse(target)
	require.NoError(t, err)
	netrc := fetch.ParseNetrc("machine " + u.Hostname() + " login me password secret")
	_, err = get(client(t, fetch.Options{Credentials: netrc}), target)
	require.NoError(t, err)

	keys := &fetch.Keyring{}
	keys.Add(channel.URL, fetch.Credential{Username: "me", Password: "secret"})
	_, err = get(client(t, fetch.Options{Credentials: fetch.Chain{fetch.Netrc{}, keys}}), target)
	require.NoError(t, err)
}

func TestTokensAreSent(t *testing.T) {
	channel := condatest.NewChannel(t)
	channel.RequireToken("tk-1")
	keys := &fetch.Keyring{}
	keys.Add(channel.URL, fetch.Credential{Token: "tk-1"})
	c := client(t, fetch.Options{Credentials: keys})
	_, err := get(c, channel.URL+"/noarch/repodata.json")
	require.NoError(t, err)
	_, err = get(c, channel.URL+"/noarch/nothing")
	require.EqualError(t, err, channel.URL+"/noarch/nothing: 404 Not Found", "the token is not part of the file's name")
}

func TestBearerTokensAreSent(t *testing.T) {
	var got string
	u := serve(t, func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get("Authorization") })
	keys := &fetch.Keyring{}
	keys.Add(u, fetch.Credential{Bearer: "tk-1"})
	_, err := get(client(t, fetch.Options{Credentials: keys}), u)
	require.NoError(t, err)
	require.Equal(t, "Bearer tk-1", got)
}

func TestKeyringLongestPrefixWins(t *testing.T) {
	keys := &fetch.Keyring{}
	keys.Add("https://a.org/", fetch.Credential{Username: "host"})
	keys.Add("https://a.org/forge", fetch.Credential{Username: "channel"})
	for target, want := range map[string]string{
		"https://a.org/forge/noarch/x": "channel",
		"https://a.org/forge":          "channel",
		"https://a.org/forge-2/x":      "host",
		"https://a.org/":               "host",
		"https://a.org.evil/forge":     "",
		"http://a.org/forge":           "",
	} {
		u, err := url.Parse(target)
		require.NoError(t, err)
		c, ok := keys.Credential(u)
		require.Equal(t, want, c.Username, target)
		require.Equal(t, want != "", ok)
	}
}

func TestSplitURL(t *testing.T) {
	for _, test := range []struct {
		in, clean string
		want      fetch.Credential
	}{
		{"https://a.org/forge", "https://a.org/forge", fetch.Credential{}},
		{"https://me:se%40cret@a.org/forge", "https://a.org/forge", fetch.Credential{Username: "me", Password: "se@cret"}},
		{"https://a.org/t/tk-1/forge", "https://a.org/forge", fetch.Credential{Token: "tk-1"}},
		{"https://a.org/api/t/tk-1/forge/label/x", "https://a.org/api/forge/label/x", fetch.Credential{Token: "tk-1", TokenRoot: "/api"}},
		{"https://a.org/t/tk-1", "https://a.org", fetch.Credential{Token: "tk-1"}},
		{"conda-forge", "conda-forge", fetch.Credential{}},
		{"file:///t/x/y", "file:///t/x/y", fetch.Credential{}},
	} {
		clean, c, ok := fetch.SplitURL(test.in)
		require.Equal(t, test.clean, clean)
		require.Equal(t, test.want, c, test.in)
		require.Equal(t, test.want != fetch.Credential{}, ok)
	}
}

func TestCredentialsAreNotPrinted(t *testing.T) {
	c := fetch.Credential{Username: "me", Password: "secret", Token: "secret"}
	require.Equal(t, "<credential> <credential> <credential>", fmt.Sprintf("%v %+v %#v", c, c, c))
	require.Equal(t, "https://a.org/t/<TOKEN>/forge", fetch.Redact("https://me:secret@a.org/t/secret/forge"))
	require.Equal(t, "https://a.org/t/<TOKEN>", fetch.Redact("https://a.org/t/secret"))
	require.Equal(t, "https://a.org/at/x/y", fetch.Redact("https://a.org/at/x/y"))

	answer := errors.New(`no https://me:secret@a.org/api/t/secret/x, "/t/secret/y" or /t/secret`)
	require.EqualError(t, &fetch.RequestError{URL: "https://a.org/a.conda", Err: answer},
		`https://a.org/a.conda: no https://a.org/api/t/<TOKEN>/x, "/t/<TOKEN>/y" or /t/<TOKEN>`)

	// The path of a file on this machine is no URL, and is needed to find it.
	channel := condatest.NewChannel(t)
	missing := filepath.Join(t.TempDir(), "t", "cache", "repodata.json")
	client, err := fetch.New(fetch.Options{})
	require.NoError(t, err)
	_, err = client.Save(t.Context(), fetch.Request{URL: channel.URL + "/noarch/repodata.json"}, missing)
	require.ErrorContains(t, err, filepath.Dir(missing))
}

func TestNetrc(t *testing.T) {
	n := fetch.ParseNetrc(`# a comment
machine a.org
  login me
  password "se#cret"
macdef init
machine macro.org login no password no

machine b.org:8443 login you account x password other
machine a.org login second password second
default login anyone password guest`)
	for target, want := range map[string]fetch.Credential{
		"https://a.org/x":      {Username: "me", Password: "se#cret"},
		"https://a.org:1/x":    {Username: "me", Password: "se#cret"},
		"https://b.org:8443/x": {Username: "you", Password: "other"},
		"https://macro.org/x":  {Username: "anyone", Password: "guest"},
	} {
		u, err := url.Parse(target)
		require.NoError(t, err)
		c, ok := n.Credential(u)
		require.True(t, ok)
		require.Equal(t, want, c, target)
	}
}

func TestReadNetrc(t *testing.T) {
	dir := t.TempDir()
	u := &url.URL{Scheme: "https", Host: "a.org"}
	env := map[string]string{"HOME": dir}
	getenv := func(k string) string { return env[k] }
	n, err := fetch.ReadNetrc(getenv, os.ReadFile)
	require.NoError(t, err)
	_, ok := n.Credential(u)
	require.False(t, ok)

	require.NoError(t, os.WriteFile(filepath.Join(dir, ".netrc"), []byte("machine a.org login me password x"), 0o600))
	n, err = fetch.ReadNetrc(getenv, os.ReadFile)
	require.NoError(t, err)
	_, ok = n.Credential(u)
	require.True(t, ok)

	env["NETRC"] = filepath.Join(dir, "named")
	_, err = fetch.ReadNetrc(getenv, os.ReadFile)
	require.ErrorContains(t, err, "reading netrc")
}
