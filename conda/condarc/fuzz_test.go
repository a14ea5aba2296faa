package condarc_test

import (
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda/condarc"
)

// bomb is a document that would be very large if its aliases were followed.
const bomb = "a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b]\n" +
	"d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c]\ne: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d]\nchannels: *e\n"

// FuzzCondarc holds that any file is read or refused, at once, and that a secret in a channel's URL is not shown.
func FuzzCondarc(f *testing.F) {
	for _, seed := range []string{
		"", "channels: [a, b]", "channels: &a [*a]", bomb, "custom_channels: {a: 'https://u:s3cr3t@x.org/t/s3cr3t/y'}", "a: [", "- a", "channels:\n- {a: b}",
		"custom_multichannels: {all: [all, defaults, all]}", "migrated_custom_channels: {a: 'https://x.org'}\nchannels: ['https://x.org/a/b', a]",
		"proxy_servers: {https: 'http://u:s3cr3t@p:1'}", "ssl_verify: [x]", "channel_settings: [{channel: 'https://u:s3cr3t@x', auth: y}]",
		"mirrored_channels: {a: ['s3://u:s3cr3t@b', 'oci://h/c']}", "allowlist_channels: [a]\nchannels: [b]", "channels: !!binary aGVsbG8=",
		"override_virtual_packages: {cuda: '12', __glibc: ''}", "channels: # !final\n  - ${A}/$B\n", "? [a]\n: b", "\x00", "channels: {<<: {a: b}}",
	} {
		f.Add(seed, "a")
	}
	f.Fuzz(func(t *testing.T, body, name string) {
		c, err := condarc.Load(condarc.Options{
			Getenv: func(k string) string { return map[string]string{"HOME": "/home/me"}[k] },
			ReadFile: func(p string) ([]byte, error) {
				if p == "/home/me/.condarc" {
					return []byte(body), nil
				}
				return nil, fs.ErrNotExist
			},
			ReadDir: func(string) ([]os.DirEntry, error) { return nil, fs.ErrNotExist },
		})
		if err != nil {
			requireNoSecret(t, body, err.Error())
			return
		}
		requireNoSecret(t, body, strings.Join(c.Warnings, "\n"))
		channels, err := c.Resolve(name)
		if err != nil {
			return
		}
		for _, of := range append(channels, c.Channels()...) {
			requireNoSecret(t, body, of.Name+of.URL)
		}
	})
}

// requireNoSecret looks at texts whose secret stands where one does: in userinfo or after /t/.
func requireNoSecret(t *testing.T, body, shown string) {
	t.Helper()
	if strings.Contains(body, "u:s3cr3t@") {
		require.NotContains(t, shown, "s3cr3t@")
	}
}
