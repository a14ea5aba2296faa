package fetch_test

import (
	"io/fs"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda/condatest"
	"github.com/datalayer/conda2docker/conda/fetch"
)

func readRattler(t testing.TB, body string) (fetch.Rattler, error) {
	t.Helper()
	return fetch.ReadRattler(func(k string) string {
		return map[string]string{"HOME": "/home/me"}[k]
	}, func(name string) ([]byte, error) {
		require.Equal(t, "/home/me/.rattler/credentials.json", name)
		return []byte(body), nil
	})
}

func TestRattlerHosts(t *testing.T) {
	r, err := readRattler(t, `{
  "*.prefix.dev": {"BearerToken": "domain"},
  "*.deep.prefix.dev": {"BearerToken": "deeper"},
  "Repo.prefix.dev": {"CondaToken": "host"},
  "repo.prefix.dev:8443": {"BearerToken": "port"},
  "*.1": {"BearerToken": "address"},
  "other.org": {"BasicHTTP": {"username": "me", "password": "pw"}}
}`)
	require.NoError(t, err)
	for target, want := range map[string]fetch.Credential{
		"https://prefix.dev/x":            {Bearer: "domain"},
		"https://a.b.prefix.dev/x":        {Bearer: "domain"},
		"https://A.DEEP.prefix.dev/x":     {Bearer: "deeper"},
		"https://deep.prefix.dev":         {Bearer: "deeper"},
		"https://repo.prefix.dev":         {Token: "host"},
		"https://repo.prefix.dev:8443/x":  {Bearer: "port"},
		"https://repo.prefix.dev:9/x":     {Token: "host"},
		"oci://other.org/x":               {Username: "me", Password: "pw"},
		"https://notprefix.dev":           {},
		"https://prefix.dev.evil.org":     {},
		"https://127.0.0.1/x":             {},
		"https://user@sub.other.org/path": {},
	} {
		u, err := url.Parse(target)
		require.NoError(t, err)
		got, ok := r.Credential(u)
		require.Equal(t, want, got, target)
		require.Equal(t, want != fetch.Credential{}, ok, target)
	}
}

func TestRattlerUnknownKindsAreRefusedWhereUsed(t *testing.T) {
	channel := condatest.NewChannel(t)
	for _, body := range []string{
		`{"127.0.0.1": {"S3Credentials": {"access_key_id": "secret", "secret_access_key": "secret"}}}`,
		`{"127.0.0.1": {"BearerToken": {"secret": "secret"}}}`, `{"127.0.0.1": "GoogleCloud"}`, `{"127.0.0.1": {"BearerToken": ""}}`,
	} {
		r, err := readRattler(t, body)
		require.NoError(t, err)
		_, err = get(client(t, fetch.Options{Credentials: r}), channel.URL+"/noarch/repodata.json")
		require.ErrorContains(t, err, "the credentials for 127.0.0.1 in /home/me/.rattler/credentials.json are of ")
		require.ErrorContains(t, err, "only BearerToken, BasicHTTP and CondaToken are read here")
		require.NotContains(t, err.Error(), "secret")
		require.Empty(t, channel.Requests())
	}
	r, err := readRattler(t, `{"elsewhere.org": "GoogleCloud"}`)
	require.NoError(t, err)
	_, err = get(client(t, fetch.Options{Credentials: r}), channel.URL+"/noarch/repodata.json")
	require.NoError(t, err)
}

func TestRattlerFile(t *testing.T) {
	for body, want := range map[string]string{
		"{\"a.org\": {\n\"BearerToken\": secret}}": "reading rattler's credentials: /home/me/.rattler/credentials.json:2: want JSON such as",
		"[\"secret\"]": "credentials.json:1: want JSON", "": "credentials.json:1: want JSON",
	} {
		_, err := readRattler(t, body)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "secret")
	}
	missing := func(string) ([]byte, error) { return nil, fs.ErrNotExist }
	_, err := fetch.ReadRattler(func(string) string { return "" }, missing)
	require.NoError(t, err)
	_, err = fetch.ReadRattler(func(k string) string { return map[string]string{"HOME": "/x"}[k] }, missing)
	require.NoError(t, err)
	_, err = fetch.ReadRattler(func(k string) string { return map[string]string{"RATTLER_AUTH_FILE": "/x"}[k] }, missing)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// FuzzCredentials holds that no file of credentials makes a crash, and that none is shown by its errors.
func FuzzCredentials(f *testing.F) {
	for _, seed := range []string{
		`{"*.prefix.dev": {"BearerToken": "x"}}`, `{"a": {"BasicHTTP": {"username": 1}}}`, `{"a": null}`, "{", "machine a.org login me password x",
		"machine", "default login", "macdef x\n\nmachine a password \"b", "{\"*.\": {\"CondaToken\": \"x\"}}",
	} {
		f.Add(seed, "https://a.prefix.dev/x")
		f.Add(seed, "oci://[::1]:80/t/x")
	}
	f.Fuzz(func(t *testing.T, body, target string) {
		u, err := url.Parse(target)
		if err != nil {
			return
		}
		fetch.ParseNetrc(body).Credential(u)
		r, err := readRattler(t, body)
		if err == nil {
			r.Credential(u)
		}
		clean, _, _ := fetch.SplitURL(target)
		again, _, ok := fetch.SplitURL(clean)
		if parsed, err := url.Parse(clean); err == nil && parsed.User != nil && ok {
			t.Fatalf("%q keeps its user in %q", target, again)
		}
	})
}
