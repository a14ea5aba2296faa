package condarc_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/condarc"
	"github.com/datalayer/conda2docker/conda/condatest"
	"github.com/datalayer/conda2docker/conda/fetch"
	"github.com/datalayer/conda2docker/conda/repodata"
)

const secret = "S3cr3tS3cr3t"

// Each way to give credentials works, and what was given is in no error, log, record, progress, or file.
func TestSecretsAreNowhere(t *testing.T) {
	basic := func(r *http.Request) bool {
		_, password, _ := r.BasicAuth()
		return password == secret
	}
	inPath := func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/t/"+secret+"/") }
	bearer := func(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer "+secret }
	for name, test := range map[string]struct {
		allowed func(*http.Request) bool
		machine func(server, host string) machine
		channel string // with SERVER for the server's URL, and HOST for its host and port
	}{
		"password in the environment file": {basic, func(string, string) machine {
			return machine{env: map[string]string{"PASSWORD": secret}}
		}, "http://me:" + secret + "@HOST/channel"},
		"token in the environment file": {inPath, func(string, string) machine { return machine{} }, "SERVER/t/" + secret + "/channel"},
		"token in .condarc": {inPath, func(server, _ string) machine {
			return condarcOnly("channel_alias: " + server + "/t/" + secret)
		}, "channel"},
		"variable in .condarc": {basic, func(_, host string) machine {
			m := condarcOnly("custom_channels: {channel: 'http://me:${PASSWORD}@" + host + "'}")
			m.env = map[string]string{"PASSWORD": secret}
			return m
		}, "channel"},
		"mirror": {basic, func(_, host string) machine {
			return condarcOnly("mirrored_channels: {'https://conda.invalid/forge': ['http://me:" + secret + "@" + host + "/channel']}")
		}, "https://conda.invalid/forge"},
		"rattler's bearer token": {bearer, func(string, string) machine {
			return machine{files: map[string]string{"/home/me/.rattler/credentials.json": `{"127.0.0.1": {"BearerToken": "` + secret + `"}}`}}
		}, "SERVER/channel"},
		"rattler's password": {basic, func(string, string) machine {
			return machine{
				files: map[string]string{"/auth.json": `{"127.0.0.1": {"BasicHTTP": {"username": "me", "password": "` + secret + `"}}}`},
				env:   map[string]string{"RATTLER_AUTH_FILE": "/auth.json"},
			}
		}, "SERVER/channel"},
		"rattler's conda token": {inPath, func(string, string) machine {
			return machine{files: map[string]string{"/home/me/.rattler/credentials.json": `{"127.0.0.1": {"CondaToken": "` + secret + `"}}`}}
		}, "SERVER/channel"},
		"anaconda's token": {inPath, func(server, _ string) machine {
			return machine{files: map[string]string{"/home/me/.local/share/binstar/" + url.QueryEscape(server) + ".token": secret}}
		}, "SERVER/channel"},
		"netrc": {basic, func(string, string) machine {
			return machine{files: map[string]string{"/home/me/.netrc": "machine 127.0.0.1 login me password " + secret}}
		}, "SERVER/channel"},
	} {
		t.Run(name, func(t *testing.T) {
			channel := condatest.NewChannel(t, condatest.Package{Name: "tool"}, condatest.Package{Name: "other"})
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !test.allowed(r) {
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				channel.ServeHTTP(w, r)
			}))
			t.Cleanup(server.Close)
			host := strings.TrimPrefix(server.URL, "http://")
			c := load(t, test.machine(server.URL, host))
			resolved, err := c.Resolve(strings.NewReplacer("SERVER", server.URL, "HOST", host).Replace(test.channel))
			require.NoError(t, err)
			requireNowhere(t, useChannel(t, c, resolved[0]))
		})
	}
}

// useChannel does all that can be done with a channel, and gives all that there is to see of it.
func useChannel(t *testing.T, c condarc.Config, channel conda.Channel) string {
	t.Helper()
	var seen bytes.Buffer
	o := c.Fetch()
	o.Retries, o.Log = -1, slog.New(slog.NewTextHandler(&seen, &slog.HandlerOptions{Level: slog.LevelDebug}))
	client, err := fetch.New(o)
	require.NoError(t, err)
	dir := t.TempDir()
	index, err := repodata.Open(t.Context(), repodata.Options{
		Channels: []conda.Channel{channel}, Subdirs: []conda.Subdir{conda.Linux64, conda.NoArchSubdir}, Client: client,
		Dir: filepath.Join(dir, "index"), Warn: func(w string) { seen.WriteString(w) },
	})
	require.NoError(t, err)
	records, err := index.Records(t.Context(), "tool")
	require.NoError(t, err)
	require.Len(t, records, 1)
	archives := fetch.Archives{Client: client, Dir: filepath.Join(dir, "pkgs")}
	_, err = archives.FetchAll(t.Context(), records, 0, func(p fetch.Progress) { fmt.Fprintf(&seen, "%+v\n", p) })
	require.NoError(t, err)
	wrong := *records[0]
	wrong.SHA256 = strings.Repeat("0", 64)
	_, err = archives.Fetch(t.Context(), &wrong, nil)
	require.Error(t, err)
	fmt.Fprintf(&seen, "%v %+v %#v\n", err, err, err)
	for _, file := range []string{"/none", "/%zz"} {
		_, err = client.Get(t.Context(), fetch.Request{URL: channel.URL + file})
		require.Error(t, err)
		fmt.Fprintf(&seen, "%v %+v\n", err, err)
	}
	described, err := json.Marshal(records)
	require.NoError(t, err)
	fmt.Fprintf(&seen, "%s\n%+v\n%s %v %v %+v %#v %v\n", described, records[0], channel, client.Places(channel.URL), c, c, c, o.Credentials)
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		seen.WriteString(path + "\n")
		if err == nil && d.Type().IsRegular() {
			body, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			_, err = io.Copy(&seen, bytes.NewReader(body))
			return err
		}
		return err
	}))
	return seen.String()
}

func requireNowhere(t *testing.T, seen string) {
	t.Helper()
	require.Contains(t, seen, "tool", "something was looked at")
	for _, form := range []string{secret, base64.StdEncoding.EncodeToString([]byte("me:" + secret)), url.QueryEscape(base64.StdEncoding.EncodeToString([]byte("me:" + secret)))} {
		i := strings.Index(seen, form)
		if i >= 0 {
			t.Fatalf("it is here: …%q…", seen[max(0, i-80):min(len(seen), i+40)])
		}
	}
}
