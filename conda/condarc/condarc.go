// Package condarc reads conda's configuration, from its files and environment variables, as far as it says where
// packages come from and how these places are reached.
//
// Where no file names a channel, ours is conda-forge; conda itself would say defaults. These keys are honoured, also under
// their older names, and by CONDA_KEY in the environment where they are no mapping:
//
//	channels, default_channels            the names and URLs that are searched
//	channel_alias, custom_channels        where a name leads
//	custom_multichannels                  a name for several channels
//	migrated_channel_aliases,
//	migrated_custom_channels              where they were once: such a URL leads to where they are now
//	mirrored_channels                     (mamba's) asked in a channel's place: http, https, file and oci URLs
//	restore_free_channel                  adds pkgs/free to defaults
//	allowlist_channels, denylist_channels an error for other channels; a default channel that is forbidden is left out
//	channel_priority                      strict, flexible, disabled; true is flexible
//	safety_checks                         disabled, warn, enabled: packages that differ from their own list of files
//	override_virtual_packages             facts about the target
//	ssl_verify                            false, a PEM file, a folder of these, or truststore: see below
//	client_ssl_cert, client_ssl_cert_key  for servers that want one
//	proxy_servers                         by scheme, scheme://host, all or all://host; in place of HTTPS_PROXY, HTTP_PROXY and
//	                                      ALL_PROXY; hosts in NO_PROXY, and loopback, are reached without a proxy
//	offline, remote_connect_timeout_secs, remote_read_timeout_secs, remote_max_retries, remote_backoff_factor
//	add_anaconda_token                    false: anaconda-client's tokens are not sent
//
// Certificate authorities are those of ssl_verify where it names some, else of the first that is set of REQUESTS_CA_BUNDLE,
// CURL_CA_BUNDLE and SSL_CERT_FILE, else the system's (SSL_CERT_DIR included). truststore is the system's, or SSL_CERT_FILE.
// So mamba reads them too; Python's requests, and conda with it, would prefer the environment to ssl_verify.
//
// Warnings name what is set and not honoured: cacert_path (mamba's), create_default_packages, default_python, disallowed_packages, pinned_packages,
// signing_metadata_url_base, subdir, subdirs, track_features, use_local, use_only_tar_bz2, and plugins of authentication in
// channel_settings. Other keys say nothing of where packages come from; they are passed over in silence.
//
// The credential of a place is the first that there is of
//
//  1. userinfo or /t/TOKEN/ in the URL of the channel, or of the mirror, in any file or option;
//  2. rattler's file: $RATTLER_AUTH_FILE, else ~/.rattler/credentials.json;
//  3. anaconda-client's tokens: $BINSTAR_CONFIG_DIR/data, else ~/.local/share/binstar and ~/.continuum/anaconda-client/tokens;
//  4. netrc: $NETRC, else ~/.netrc;
//  5. for oci:// only, Docker's configuration ($DOCKER_CONFIG, else ~/.docker/config.json, with its credential helpers), then Podman's.
//
// Environment variables in channel URLs are replaced, so that https://${USER}:${TOKEN}@host/channel is one of the first kind.
package condarc

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

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
	Safety         string // safety_checks: "disabled", "warn" or "enabled"; "" where nothing says so
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
	// VirtualPackages are what is said of virtual packages, by their names in lower case without underscores, such as "glibc".
	VirtualPackages map[string]string
	// Credentials are those of channel URLs; Resolve adds to them.
	Credentials *fetch.Keyring
	// Files are the files that were read, the weakest first.
	Files []string
	// Warnings name what is set and not honoured, a line each.
	Warnings []string

	others   fetch.Chain // the credentials of other tools
	noProxy  string
	proxyEnv map[string]string // proxies that the environment names, by scheme
	resolver resolver
	rules    rules
	channels []conda.Channel
}

// String tells nothing: there are credentials in it.
func (Config) String() string { return "<conda's configuration>" }

// GoString tells nothing either.
func (Config) GoString() string { return "<conda's configuration>" }

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
	for _, read := range []func(*sources) error{c.readNetwork, c.readProxies, c.readTLS, c.readChannels, c.readSafety, c.readVirtual, c.readIgnored} {
		if err := read(s); err != nil {
			return Config{}, fmt.Errorf("reading conda's configuration: %w", err)
		}
	}
	if c.others, err = o.credentials(s); err != nil {
		return Config{}, err
	}
	return c, nil
}

// credentials are those that other tools keep, the strongest first.
func (o Options) credentials(s *sources) (fetch.Chain, error) {
	rattler, err := fetch.ReadRattler(o.Getenv, o.ReadFile)
	if err != nil {
		return nil, err
	}
	chain := fetch.Chain{rattler}
	unwanted, err := s.scalar("add_anaconda_token", "add_binstar_token")
	if err != nil {
		return nil, err
	}
	if add, isBool := parseBool(unwanted.text); add || !isBool {
		tokens, err := o.readTokens()
		if err != nil {
			return nil, err
		}
		chain = append(chain, tokens)
	}
	netrc, err := fetch.ReadNetrc(o.Getenv, o.ReadFile)
	if err != nil {
		return nil, err
	}
	return append(chain, netrc), nil
}

func (c *Config) readNetwork(s *sources) (err error) {
	if c.Offline, err = s.boolean("offline"); err != nil {
		return err
	}
	if c.ConnectTimeout, err = s.seconds("remote_connect_timeout_secs"); err != nil {
		return err
	}
	if c.ReadTimeout, err = s.seconds("remote_read_timeout_secs"); err != nil {
		return err
	}
	if c.Backoff, err = s.seconds("remote_backoff_factor"); err != nil {
		return err
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
	case v.text == "truststore":
		c.CAFile = s.getenv("SSL_CERT_FILE")
	case isBool, v.text == "":
		c.CAFile = cmp.Or(s.getenv("REQUESTS_CA_BUNDLE"), s.getenv("CURL_CA_BUNDLE"), s.getenv("SSL_CERT_FILE"))
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

// readSafety reads what happens to packages that differ from their own list of files. conda reads true and false too: enabled
// and disabled.
func (c *Config) readSafety(s *sources) error {
	v, err := s.scalar("safety_checks")
	if err != nil {
		return err
	}
	switch on, isBool := parseBool(v.text); {
	case isBool && on:
		c.Safety = "enabled"
	case isBool:
		c.Safety = "disabled"
	case slices.Contains([]string{"", "disabled", "warn", "enabled"}, v.text):
		c.Safety = v.text
	default:
		return v.errorf("want disabled, warn or enabled, not %q", v.text)
	}
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
	if c.rules, err = c.resolver.rules(s); err != nil {
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
		var forbidden *NotAllowedError
		if c.channels, err = c.Resolve(DefaultChannel); err != nil && !errors.As(err, &forbidden) {
			return err
		}
	}
	return c.readMirrors(s)
}

// readVirtual reads what is said of virtual packages.
func (c *Config) readVirtual(s *sources) error {
	c.VirtualPackages = map[string]string{}
	for _, key := range []string{"override_virtual_packages", "virtual_packages"} {
		said, err := s.strings(key)
		if err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(said)) { // two may be one package's
			c.VirtualPackages[strings.ToLower(strings.TrimLeft(name, "_"))] = said[name]
		}
	}
	return nil
}

// readMirrors reads mamba's mirrored_channels. What cannot be fetched from is left out, with a warning.
func (c *Config) readMirrors(s *sources) error {
	mirrored, err := s.lists("mirrored_channels")
	if err != nil {
		return err
	}
	c.Mirrors = map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(mirrored)) {
		channels, err := c.Resolve(name)
		if err != nil {
			return fmt.Errorf("mirrored_channels: %w", err)
		}
		for _, p := range mirrored[name] {
			at, err := c.resolver.location(p.text)
			if err != nil {
				c.Warnings = append(c.Warnings, p.errorf("a mirror of %s is left out: %w", conda.WithoutCredentials(name), err).Error())
				continue
			}
			for _, of := range channels {
				c.Mirrors[of.URL] = append(c.Mirrors[of.URL], at)
			}
		}
	}
	return nil
}

// Fetch is how the network is reached by this configuration; callers add what else they know.
func (c Config) Fetch() fetch.Options {
	return fetch.Options{
		Mirrors:        maps.Clone(c.Mirrors),
		Credentials:    append(fetch.Chain{c.Credentials}, c.others...),
		Registries:     authn.DefaultKeychain,
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
