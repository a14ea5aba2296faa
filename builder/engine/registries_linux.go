package engine

import (
	"strings"

	resolverconfig "github.com/moby/buildkit/util/resolver/config"

	"github.com/datalayer/conda2docker/builder/registry"
)

// resolverConfig says to BuildKit how registries are reached.
func resolverConfig(registries registry.Registries) map[string]resolverconfig.RegistryConfig {
	yes := true
	out := make(map[string]resolverconfig.RegistryConfig, len(registries))
	edit := func(host string, change func(*resolverconfig.RegistryConfig)) {
		c := out[host]
		change(&c)
		out[host] = c
	}
	insecure := func(c *resolverconfig.RegistryConfig) { c.Insecure, c.PlainHTTP = &yes, &yes }
	for host, r := range registries {
		if host == "index.docker.io" {
			host = "docker.io"
		}
		edit(host, func(c *resolverconfig.RegistryConfig) {
			if r.CA != "" {
				c.RootCAs = append(c.RootCAs, r.CA)
			}
			if r.Insecure {
				insecure(c)
			}
		})
		for _, m := range r.Mirrors {
			place, plain := registry.Mirror(m)
			edit(host, func(c *resolverconfig.RegistryConfig) { c.Mirrors = append(c.Mirrors, place) })
			if plain {
				mirrorHost, _, _ := strings.Cut(place, "/")
				edit(mirrorHost, insecure)
			}
		}
	}
	return out
}
