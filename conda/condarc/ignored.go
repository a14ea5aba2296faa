package condarc

import (
	"fmt"
	"maps"
	"slices"

	"gopkg.in/yaml.v3"

	"github.com/datalayer/conda2docker/conda"
)

// ignored are the keys that say something of what is installed, or from where, and are not honoured, with what there is instead. A key
// that is set to nothing, or to false, asks for nothing.
var ignored = map[string]string{
	"cacert_path":               "name the file in ssl_verify",
	"create_default_packages":   "name the packages in the environment",
	"default_python":            "name python in the environment",
	"disallowed_packages":       "what is installed is what the environment asks for and needs",
	"disallow":                  "what is installed is what the environment asks for and needs",
	"pinned_packages":           "name the versions in the environment",
	"signing_metadata_url_base": "signatures of packages are not looked at; their checksums are",
	"subdir":                    "what the image is for is said by --platform",
	"subdirs":                   "what the image is for is said by --platform",
	"track_features":            "features are not asked for any more; name the packages that have them",
	"use_local":                 "name the folder as a channel",
	"use_only_tar_bz2":          "packages are taken in the format that the channel prefers",
}

// readIgnored warns of what is set and not honoured.
func (c *Config) readIgnored(s *sources) error {
	for _, d := range s.documents {
		for _, key := range slices.Sorted(maps.Keys(d.keys)) {
			instead, ok := ignored[key]
			node := resolveAlias(d.keys[key])
			if !ok || !asks(node) {
				continue
			}
			v := value{path: d.path, line: node.Line, key: key}
			c.Warnings = append(c.Warnings, v.errorf("it is not honoured: %s", instead).Error())
		}
	}
	return c.readChannelSettings(s)
}

// asks reports whether a key's value asks for something.
func asks(n *yaml.Node) bool {
	if n.Kind != yaml.ScalarNode {
		return len(n.Content) > 0
	}
	on, isBool := parseBool(n.Value)
	return n.Value != "" && n.Tag != "!!null" && (on || !isBool)
}

// readChannelSettings warns of handlers of authentication, which are plugins of conda.
func (c *Config) readChannelSettings(s *sources) error {
	for _, f := range s.find("channel_settings") {
		if f.node.Kind != yaml.SequenceNode {
			return f.errorf("want a list")
		}
		for _, item := range f.node.Content {
			item = resolveAlias(item)
			at := f
			at.line = item.Line
			if item.Kind != yaml.MappingNode {
				return at.errorf("want entries such as {channel: URL, auth: NAME}")
			}
			entry := map[string]string{}
			for i := 0; i+1 < len(item.Content); i += 2 {
				if v := resolveAlias(item.Content[i+1]); v.Kind == yaml.ScalarNode {
					entry[item.Content[i].Value] = v.Value
				}
			}
			if entry["auth"] == "" {
				continue
			}
			c.Warnings = append(c.Warnings, at.errorf("%s authenticates channel %s by a plugin of conda, which does not run here: "+
				"put the credentials into ~/.netrc, or into the channel's URL", entry["auth"], conda.WithoutCredentials(entry["channel"])).Error())
		}
	}
	return nil
}

// rules say which channels may be used: allowlist_channels and denylist_channels.
type rules struct {
	allow, deny map[string]value // by the channel's URL
	allowed     value            // the list's place
}

func (r resolver) rules(s *sources) (rules, error) {
	var out rules
	var err error
	if out.allow, out.allowed, err = r.channelSet(s, "allowlist_channels", "whitelist_channels"); err != nil {
		return out, err
	}
	out.deny, _, err = r.channelSet(s, "denylist_channels")
	return out, err
}

func (r resolver) channelSet(s *sources, keys ...string) (set map[string]value, first value, err error) {
	items, err := s.list(keys...)
	if err != nil || len(items) == 0 {
		return nil, value{}, err
	}
	set = map[string]value{}
	for _, item := range items {
		channels, err := r.resolve(item.text)
		if err != nil {
			return nil, value{}, item.errorf("%w", err)
		}
		for _, c := range channels {
			set[c.URL] = item
		}
	}
	return set, items[0], nil
}

// NotAllowedError is a channel that conda's configuration forbids.
type NotAllowedError struct {
	Channel string // its name
	Place   string // of the rule: "/etc/conda/.condarc:3: denylist_channels"
	Denied  bool   // it is on the list of those that are denied, rather than not on the one of those that are allowed
}

func (e *NotAllowedError) Error() string {
	if e.Denied {
		return fmt.Sprintf("channel %s must not be used: %s names it", e.Channel, e.Place)
	}
	return fmt.Sprintf("channel %s must not be used: %s does not name it", e.Channel, e.Place)
}

// check is a *NotAllowedError where a channel must not be used; a list of denials is stronger.
func (r rules) check(name, url string) error {
	if by, ok := r.deny[url]; ok {
		return &NotAllowedError{Channel: name, Place: by.place(), Denied: true}
	}
	if _, ok := r.allow[url]; !ok && r.allow != nil {
		return &NotAllowedError{Channel: name, Place: r.allowed.place()}
	}
	return nil
}
