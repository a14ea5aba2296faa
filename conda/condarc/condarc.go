// Package condarc reads conda's configuration, from its files and environment variables, as far as it says where
// packages come from.
package condarc

import (
	"os"
	"time"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/fetch"
)

// Options say where configuration is looked for. The zero value looks where conda does.
type Options struct {
	Getenv   func(string) string                                // default os.Getenv
	Environ  func() []string                                    // default os.Environ; for ${VAR} in files
	ReadFile func(string) ([]byte, error)                       // default os.ReadFile
	ReadDir  func(string) ([]os.DirEntry, error)                // default os.ReadDir
}

// Config is conda's configuration. The zero value is not usable: see Load.
type Config struct {
	Priority       string // channel_priority: "strict", "flexible" or "disabled"; "" when nothing says so
	Offline        bool
	Insecure       bool   // ssl_verify: false
	CAFile         string // ssl_verify: PATH, "" for the system's
	ClientCert     string
	ClientKey      string
	ConnectTimeout time.Duration // 0 when nothing says so
	ReadTimeout    time.Duration
	Retries        int               // remote_max_retries; 0 when nothing says so
	Proxies        map[string]string // proxy_servers: by scheme, or scheme://host
	// Mirrors are mirrored_channels, by the URL of the channel.
	Mirrors map[string][]string
	// Credentials are those found in channel URLs and in anaconda-client's token files.
	Credentials *fetch.Keyring
	Files       []string // that were read, in order
}

// Load reads the configuration. A file that does not parse is an error that names file and line; unknown keys are ignored.
func Load(o Options) (Config, error) { return Config{Credentials: &fetch.Keyring{}}, nil }

// Channels is the list of channels where an environment names none, conda-forge when no file says otherwise.
func (c Config) Channels() []conda.Channel {
	return []conda.Channel{{Name: "conda-forge", URL: "https://conda.anaconda.org/conda-forge"}}
}

// Resolve turns a channel's name, path or URL into channels: more than one for a multichannel such as defaults.
// Credentials in a URL are taken off it and added to c.Credentials.
func (c Config) Resolve(nameOrURL string) ([]conda.Channel, error) {
	return []conda.Channel{{Name: nameOrURL, URL: "https://conda.anaconda.org/" + nameOrURL}}, nil
}

// Fetch is how the network is reached by this configuration; callers add what else they know.
func (c Config) Fetch() fetch.Options { return fetch.Options{} }
