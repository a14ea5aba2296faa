package engine

import (
	"testing"

	resolverconfig "github.com/moby/buildkit/util/resolver/config"
	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/builder/registry"
)

func TestResolverConfig(t *testing.T) {
	yes := true
	got := resolverConfig(registry.Registries{
		"index.docker.io": {Mirrors: []string{"http://127.0.0.1:5000", "mirror.example/hub"}},
		"private.example": {CA: "/etc/ca.pem"},
		"lab.example":     {Insecure: true},
	})
	require.Equal(t, map[string]resolverconfig.RegistryConfig{
		"docker.io":       {Mirrors: []string{"127.0.0.1:5000", "mirror.example/hub"}},
		"127.0.0.1:5000":  {Insecure: &yes, PlainHTTP: &yes},
		"private.example": {RootCAs: []string{"/etc/ca.pem"}},
		"lab.example":     {Insecure: &yes, PlainHTTP: &yes},
	}, got)
}
