package condarc

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/net/http/httpproxy"

	"github.com/datalayer/conda2docker/conda/fetch"
)

// readProxies reads proxy_servers, and what the environment says of proxies.
func (c *Config) readProxies(s *sources) (err error) {
	if c.Proxies, err = s.strings("proxy_servers"); err != nil {
		return err
	}
	env := func(name string) string { return cmp.Or(s.getenv(name), s.getenv(strings.ToLower(name))) }
	c.noProxy = env("NO_PROXY")
	c.proxyEnv = map[string]string{"https": cmp.Or(env("HTTPS_PROXY"), env("ALL_PROXY")), "http": cmp.Or(env("HTTP_PROXY"), env("ALL_PROXY"))}
	if err := checkProxies("proxy_servers", c.Proxies); err != nil {
		return err
	}
	return checkProxies("proxy of the environment for", c.proxyEnv)
}

func checkProxies(of string, servers map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(servers)) {
		if _, err := parseProxy(servers[key]); err != nil {
			return fmt.Errorf("%s %s: %w", of, key, err)
		}
	}
	return nil
}

// parseProxy reads a proxy's address, which may hold credentials: errors do not repeat it. An empty one is nil.
func parseProxy(server string) (*url.URL, error) {
	if server == "" {
		return nil, nil
	}
	if !strings.Contains(server, "://") {
		server = "http://" + server
	}
	u, err := url.Parse(server)
	if err != nil || u.Host == "" {
		return nil, errors.New("the proxy's URL does not parse: characters in its password may have to be percent-encoded")
	}
	switch u.Scheme {
	case "http", "https", "socks5", "socks5h":
		return u, nil
	}
	return nil, errors.New("want an http://, https:// or socks5:// proxy")
}

// proxy chooses a request's proxy: that of proxy_servers, else that of the environment; nil for hosts that need none.
func (c Config) proxy(r *http.Request) (*url.URL, error) {
	host, scheme := r.URL.Hostname(), r.URL.Scheme
	server := c.proxyEnv[scheme]
	for _, key := range []string{scheme + "://" + host, scheme, "all://" + host, "all"} {
		if s := c.Proxies[key]; s != "" {
			server = s
			break
		}
	}
	proxy, err := parseProxy(server)
	if err != nil || proxy == nil {
		return nil, err
	}
	// What is asked here is only whether the host is one that needs no proxy.
	needs, err := (&httpproxy.Config{HTTPProxy: "http://proxy", HTTPSProxy: "http://proxy", NoProxy: c.noProxy}).ProxyFunc()(r.URL)
	if err != nil || needs == nil {
		return nil, err
	}
	return proxy, nil
}

// readTokens reads the tokens that anaconda-client keeps, a file each, named after the server.
func (o Options) readTokens() (*fetch.Keyring, error) {
	keys := &fetch.Keyring{}
	for _, dir := range o.tokenDirs() {
		entries, err := o.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading anaconda tokens: %w", err)
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
				return nil, fmt.Errorf("reading anaconda tokens: %w", err)
			}
			key := fetch.Credential{Token: strings.TrimSpace(string(b))}
			keys.Add(server, key)
			if server == "https://api.anaconda.org" {
				keys.Add(defaultAlias, key) // the same service, for packages
			}
		}
	}
	return keys, nil
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
