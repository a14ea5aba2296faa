package condarc

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/datalayer/conda2docker/conda/fetch"
)

// proxy chooses a request's proxy: that of proxy_servers, else that of the environment.
func (c Config) proxy(r *http.Request) (*url.URL, error) {
	host := r.URL.Hostname()
	for _, key := range []string{r.URL.Scheme + "://" + host, r.URL.Scheme, "all://" + host, "all"} {
		server, ok := c.Proxies[key]
		if !ok || server == "" {
			continue
		}
		if !strings.Contains(server, "://") {
			server = "http://" + server
		}
		u, err := url.Parse(server)
		if err != nil {
			return nil, fmt.Errorf("proxy_servers: %s: the URL does not parse", key)
		}
		return u, nil
	}
	return http.ProxyFromEnvironment(r)
}

// readTokens reads the tokens that anaconda-client keeps, a file each, named after the server.
func (o Options) readTokens(keys *fetch.Keyring) error {
	for _, dir := range o.tokenDirs() {
		entries, err := o.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading anaconda tokens: %w", err)
		}
		for _, e := range entries {
			name, ok := strings.CutSuffix(e.Name(), ".token")
			if !ok {
				continue
			}
			server, err := url.QueryUnescape(name)
			if err != nil {
				continue // not one of anaconda-client's names
			}
			b, err := o.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				return fmt.Errorf("reading anaconda tokens: %w", err)
			}
			key := fetch.Credential{Token: strings.TrimSpace(string(b))}
			keys.Add(server, key)
			if server == "https://api.anaconda.org" {
				keys.Add(defaultAlias, key) // the same service, for packages
			}
		}
	}
	return nil
}

func (o Options) tokenDirs() []string {
	if dir := o.Getenv("BINSTAR_CONFIG_DIR"); dir != "" {
		return []string{filepath.Join(dir, "data")}
	}
	home := o.Getenv("HOME")
	if home == "" {
		return nil
	}
	data := o.Getenv("XDG_DATA_HOME")
	if data == "" {
		data = filepath.Join(home, ".local", "share")
	}
	return []string{filepath.Join(data, "binstar"), filepath.Join(home, ".continuum", "anaconda-client", "tokens")}
}
