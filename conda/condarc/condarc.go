// Package condarc reads conda's configuration, from its files and environment variables, as far as it says where
// packages come from and how these places are reached.
//
// Where no file names a channel, ours is conda-forge; conda itself would say defaults.
package condarc

import (
	"fmt"
	"maps"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/fetch"
)

// Options say where configuration is looked for. The zero value looks where conda does.
type Options struct {
	Getenv   func(string) string                 // default os.Getenv
	ReadFile func(string) ([]byte, error)        // default os.ReadFile
	ReadDir  func(string) ([]os.DirEntry, error) // default os.ReadDir
}

// The values of Config.Priority.
const (
	Strict   = "strict"
	Flexible = "flexible"
	Disabled = "disabled"
)

// Config is conda's configuration. Load makes it; it is safe for concurrent use.
type Config struct {
	Priority       string // channel_priority; "" where nothing says so
	Offline        bool
	Insecure       bool   // ssl_verify: false
	CAFile         string // ssl_verify: PATH, or from the environment; "" is the system's
	ClientCert     string
	ClientKey      string
	ConnectTimeout time.Duration // 0 where nothing says so
	ReadTimeout    time.Duration
	Backoff        time.Duration
	Retries        int               // 0 where nothing says so, negative for none
	Proxies        map[string]string // proxy_servers, by scheme or by scheme://host
	// Mirrors are mamba's mirrored_channels, by the URL of the channel that is mirrored.
	Mirrors map[string][]string
	// Credentials are those of channel URLs and of anaconda-client's token files; Resolve adds to them.
	Credentials *fetch.Keyring
	// Files are the files that were read, the weakest first.
	Files []string

	netrc    fetch.Netrc
	resolver resolver
	channels []conda.Channel
}

// Load reads the configuration. A file that does not parse is an error that names file and line; unknown keys are
// ignored, as conda has many that are none of our business.
func Load(o Options) (Config, error) {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	if o.ReadFile == nil {
		o.ReadFile = os.ReadFile
	}
	if o.ReadDir == nil {
		o.ReadDir = os.ReadDir
	}
	s, err := o.sources()
	if err != nil {
		return Config{}, fmt.Errorf("reading conda's configuration: %w", err)
	}
	c := Config{Credentials: &fetch.Keyring{}}
	for _, d := range s.documents {
		if d.path != environment {
			c.Files = append(c.Files, d.path)
		}
	}
	for _, read := range []func(*sources) error{c.readNetwork, c.readTLS, c.readChannels} {
		if err := read(s); err != nil {
			return Config{}, fmt.Errorf("reading conda's configuration: %w", err)
		}
	}
	if c.netrc, err = fetch.ReadNetrc(o.Getenv, o.ReadFile); err != nil {
		return Config{}, err
	}
	if err := o.readTokens(c.Credentials); err != nil {
		return Config{}, err
	}
	return c, nil
}

func (c *Config) readNetwork(s *sources) (err error) {
	if c.Offline, err = s.boolean("offline"); err != nil {
		return err
	}
	if c.Proxies, err = s.strings("proxy_servers"); err != nil {
		return err
	}
	for key, to := range map[string]*time.Duration{
		"remote_connect_timeout_secs": &c.ConnectTimeout,
		"remote_read_timeout_secs":    &c.ReadTimeout,
		"remote_backoff_factor":       &c.Backoff,
	} {
		if *to, err = s.seconds(key); err != nil {
			return err
		}
	}
	v, err := s.scalar("remote_max_retries")
	if err != nil || v.text == "" {
		return err
	}
	if c.Retries, err = strconv.Atoi(v.text); err != nil || c.Retries < 0 {
		return v.errorf("want a number, not %q", v.text)
	}
	if c.Retries == 0 {
		c.Retries = -1
	}
	return nil
}

func (c *Config) readTLS(s *sources) error {
	v, err := s.scalar("ssl_verify", "verify_ssl")
	if err != nil {
		return err
	}
	verify, isBool := parseBool(v.text)
	switch {
	case isBool && !verify:
		c.Insecure = true
	case isBool, v.text == "", v.text == "truststore":
		for _, name := range []string{"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"} {
			if c.CAFile == "" {
				c.CAFile = s.getenv(name)
			}
		}
	default:
		c.CAFile = s.home(v.text)
	}
	cert, err := s.scalar("client_ssl_cert", "client_cert")
	if err != nil {
		return err
	}
	key, err := s.scalar("client_ssl_cert_key", "client_cert_key")
	if err != nil {
		return err
	}
	c.ClientCert, c.ClientKey = s.home(cert.text), s.home(key.text)
	return nil
}

func (c *Config) readChannels(s *sources) error {
	v, err := s.scalar("channel_priority")
	if err != nil {
		return err
	}
	switch on, isBool := parseBool(v.text); {
	case isBool && on:
		c.Priority = Flexible
	case isBool:
		c.Priority = Disabled
	case v.text == "", v.text == Strict, v.text == Flexible, v.text == Disabled:
		c.Priority = v.text
	default:
		return v.errorf("want strict, flexible or disabled, not %q", v.text)
	}
	if c.resolver, err = newResolver(s, c.Credentials); err != nil {
		return err
	}
	names, err := s.list("channels", "channel")
	if err != nil {
		return err
	}
	for _, name := range names {
		channels, err := c.Resolve(name.text)
		if err != nil {
			return name.errorf("%w", err)
		}
		c.channels = appendNew(c.channels, channels)
	}
	if len(c.channels) == 0 {
		if c.channels, err = c.Resolve(DefaultChannel); err != nil {
			return err
		}
	}
	return c.readMirrors(s)
}

// readMirrors reads mamba's mirrored_channels. What cannot be fetched from, such as oci:, is left out.
func (c *Config) readMirrors(s *sources) error {
	mirrored, err := s.lists("mirrored_channels")
	if err != nil {
		return err
	}
	c.Mirrors = map[string][]string{}
	for name, places := range mirrored {
		channels, err := c.Resolve(name)
		if err != nil {
			return err
		}
		for _, p := range places {
			if scheme, _, _ := strings.Cut(p.text, "://"); scheme == "http" || scheme == "https" || scheme == "file" {
				for _, of := range channels {
					c.Mirrors[of.URL] = append(c.Mirrors[of.URL], p.text)
				}
			}
		}
	}
	return nil
}

// Fetch is how the network is reached by this configuration; callers add what else they know.
func (c Config) Fetch() fetch.Options {
	return fetch.Options{
		Mirrors:        maps.Clone(c.Mirrors),
		Credentials:    fetch.Chain{c.Credentials, c.netrc},
		CAFile:         c.CAFile,
		ClientCert:     c.ClientCert,
		ClientKey:      c.ClientKey,
		Insecure:       c.Insecure,
		Proxy:          c.proxy,
		Offline:        c.Offline,
		Retries:        c.Retries,
		Backoff:        c.Backoff,
		ConnectTimeout: c.ConnectTimeout,
		ReadTimeout:    c.ReadTimeout,
	}
}
