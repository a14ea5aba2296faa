package condarc

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/fetch"
)

// DefaultChannel is where packages come from when nothing else is said.
const DefaultChannel = "conda-forge"

// NoDefaults says, in a list of channels, that no default channel is to be added to it.
const NoDefaults = "nodefaults"

const (
	defaultAlias  = "https://conda.anaconda.org"
	anacondaRepo  = "https://repo.anaconda.com"
	multiDefaults = "defaults"
)

var defaultChannels = []string{anacondaRepo + "/pkgs/main", anacondaRepo + "/pkgs/r"}

// resolver turns names into channels.
type resolver struct {
	alias  string
	custom map[string]string   // where a channel is, by name, without its name
	multi  map[string][]string // what a name stands for
	moved  []move
	home   func(string) string
	keys   *fetch.Keyring
}

// move is where channels were once, by URL without scheme; name is that of one channel, or "" for all below an old alias.
type move struct{ from, name string }

func newResolver(s *sources, keys *fetch.Keyring) (resolver, error) {
	r := resolver{custom: map[string]string{}, multi: map[string][]string{}, home: s.home, keys: keys}
	alias, err := s.scalar("channel_alias")
	if err != nil {
		return resolver{}, err
	}
	if alias.text == "" {
		alias.text = defaultAlias
	}
	if r.alias, err = r.location(alias.text); err != nil {
		return resolver{}, alias.errorf("%w", err)
	}
	for _, name := range []string{"pkgs/main", "pkgs/r", "pkgs/msys2", "pkgs/free", "pkgs/pro", "pkgs/archive"} {
		r.custom[name] = anacondaRepo
	}
	custom, err := s.strings("custom_channels")
	if err != nil {
		return resolver{}, err
	}
	for _, name := range slices.Sorted(maps.Keys(custom)) {
		if r.custom[name], err = r.location(custom[name]); err != nil {
			return resolver{}, fmt.Errorf("custom_channels: %s: %w", name, err)
		}
	}
	r.multi[multiDefaults] = defaultChannels
	if of, err := s.list("default_channels"); err != nil {
		return resolver{}, err
	} else if len(of) > 0 {
		r.multi[multiDefaults] = texts(of)
	}
	multi, err := s.lists("custom_multichannels")
	if err != nil {
		return resolver{}, err
	}
	for name, of := range multi {
		r.multi[name] = texts(of)
	}
	free, err := s.boolean("restore_free_channel")
	if err != nil {
		return resolver{}, err
	}
	if free {
		r.multi[multiDefaults] = append(slices.Clone(r.multi[multiDefaults]), anacondaRepo+"/pkgs/free")
	}
	r.moved, err = moves(s)
	return r, err
}

// moves are migrated_custom_channels, the longest name first, then migrated_channel_aliases.
func moves(s *sources) ([]move, error) {
	custom, err := s.strings("migrated_custom_channels")
	if err != nil {
		return nil, err
	}
	var out []move
	for name, at := range custom {
		out = append(out, move{from: withoutScheme(at) + "/" + name, name: name})
	}
	slices.SortFunc(out, func(a, b move) int {
		return cmp.Or(len(b.name)-len(a.name), strings.Compare(a.name, b.name))
	})
	aliases, err := s.list("migrated_channel_aliases")
	if err != nil {
		return nil, err
	}
	for _, a := range aliases {
		out = append(out, move{from: withoutScheme(a.text)})
	}
	return out, nil
}

// withoutScheme is a URL without scheme, credentials and trailing slash.
func withoutScheme(raw string) string {
	clean, _, _ := fetch.SplitURL(raw)
	if _, rest, ok := strings.Cut(clean, "://"); ok {
		clean = rest
	}
	return strings.TrimRight(clean, "/")
}

func texts(values []value) []string {
	all := make([]string, 0, len(values))
	for _, v := range values {
		all = append(all, v.text)
	}
	return all
}

// Channels is the list of channels where an environment names none.
func (c Config) Channels() []conda.Channel { return slices.Clone(c.channels) }

// Resolve turns a channel's name, path or URL into channels: more than one for a multichannel such as defaults, none
// for nodefaults. Credentials in a URL are taken off it and added to c.Credentials; so is a subdir at its end.
//
// A channel that the configuration forbids is a *NotAllowedError.
func (c Config) Resolve(nameOrURL string) ([]conda.Channel, error) {
	channels, err := c.resolver.resolve(strings.TrimSpace(nameOrURL))
	if err != nil {
		return nil, err
	}
	for _, of := range channels {
		if err := c.rules.check(of.Name, of.URL); err != nil {
			return nil, err
		}
	}
	return channels, nil
}

func (r resolver) resolve(name string) ([]conda.Channel, error) {
	if name == NoDefaults {
		return nil, nil
	}
	members, ok := r.multi[name]
	if !ok {
		one, err := r.one(name)
		if err != nil {
			return nil, err
		}
		return []conda.Channel{one}, nil
	}
	var all []conda.Channel
	for _, m := range members {
		one, err := r.one(m)
		if err != nil {
			return nil, fmt.Errorf("channel %s: %w", name, err)
		}
		all = appendNew(all, []conda.Channel{one})
	}
	return all, nil
}

func appendNew(to, channels []conda.Channel) []conda.Channel {
	for _, c := range channels {
		if !slices.Contains(to, c) {
			to = append(to, c)
		}
	}
	return to
}

var channelName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$`)

// one is a channel that is not a multichannel.
func (r resolver) one(name string) (conda.Channel, error) {
	switch {
	case strings.Contains(name, "://"):
		at, err := r.location(withoutSubdir(strings.TrimRight(name, "/")))
		if err != nil {
			return conda.Channel{}, fmt.Errorf("channel %s: %w", fetch.Redact(name), err)
		}
		return r.current(at)
	case strings.HasPrefix(name, "/"), strings.HasPrefix(name, "."), strings.HasPrefix(name, "~"):
		path := r.home(name)
		if path == "" {
			return conda.Channel{}, fmt.Errorf("channel %s: there is no HOME", name)
		}
		path, err := filepath.Abs(path)
		if err != nil {
			return conda.Channel{}, fmt.Errorf("channel %s: %w", name, err)
		}
		at := (&url.URL{Scheme: "file", Path: filepath.ToSlash(path)}).String()
		return conda.Channel{Name: at, URL: at}, nil
	case name == "local":
		return conda.Channel{}, errors.New("channel local: where conda-build leaves packages is not known here: name the folder")
	}
	name = strings.TrimSuffix(name, "/")
	if !channelName.MatchString(name) {
		return conda.Channel{}, fmt.Errorf("channel %q: want a name such as conda-forge, a URL, or a path such as ./channel", name)
	}
	name = withoutSubdir(name)
	at := r.alias
	for prefix := name; ; prefix = prefix[:strings.LastIndex(prefix, "/")] {
		if custom, ok := r.custom[prefix]; ok {
			at = custom
			break
		}
		if !strings.Contains(prefix, "/") {
			break
		}
	}
	return conda.Channel{Name: name, URL: at + "/" + name}, nil
}

// current is the channel at a URL, at the place where it is now.
func (r resolver) current(at string) (conda.Channel, error) {
	for _, m := range r.moved {
		rest, ok := strings.CutPrefix(withoutScheme(at), m.from)
		switch {
		case !ok || rest != "" && rest[0] != '/':
		case m.name != "":
			return r.one(m.name + rest)
		case rest != "":
			name := rest[1:]
			return conda.Channel{Name: name, URL: r.alias + "/" + name}, nil
		}
	}
	return conda.Channel{Name: r.name(at), URL: at}, nil
}

// location checks a URL, and takes the credentials off it.
func (r resolver) location(raw string) (string, error) {
	clean, key, ok := fetch.SplitURL(raw)
	u, err := url.Parse(clean)
	switch {
	case err != nil:
		return "", errors.New("the URL does not parse")
	case u.Scheme == "file" && u.Path != "":
	case (u.Scheme == "http" || u.Scheme == "https" || u.Scheme == "oci") && u.Host != "":
	default:
		return "", errors.New("want an http://, https://, oci:// or file:// URL")
	}
	u.RawQuery, u.Fragment = "", ""
	u.Host = strings.ToLower(u.Host)
	clean = strings.TrimRight(u.String(), "/")
	if ok {
		r.keys.Add(clean, key)
	}
	return clean, nil
}

// name is how people call the channel at a URL: the shortest name that leads there, else the URL.
func (r resolver) name(at string) string {
	best := at
	for _, name := range slices.Sorted(maps.Keys(r.custom)) {
		location := r.custom[name]
		full := location + "/" + name
		if at == full || strings.HasPrefix(at, full+"/") {
			if short := strings.TrimPrefix(at, location+"/"); len(short) < len(best) {
				best = short
			}
		}
	}
	if short, ok := strings.CutPrefix(at, r.alias+"/"); ok && best == at && short != "" {
		best = short
	}
	return best
}

// withoutSubdir takes a subdir off a channel's end: which subdirs are looked at is said elsewhere.
func withoutSubdir(s string) string {
	i := strings.LastIndex(s, "/")
	if i < 0 {
		return s
	}
	switch last := s[i+1:]; last {
	case "noarch", "linux-32", "linux-64", "linux-aarch64", "linux-armv6l", "linux-armv7l", "linux-ppc64le",
		"linux-riscv64", "linux-s390x", "osx-64", "osx-arm64", "win-32", "win-64", "win-arm64":
		return s[:i]
	}
	return s
}
