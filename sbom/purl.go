package sbom

import (
	"net/url"
	"regexp"
	"strings"

	"github.com/anchore/packageurl-go"
	"github.com/anchore/syft/syft/pkg"
)

// purl is the package URL of the type "conda":
// https://github.com/package-url/purl-spec/blob/main/types/conda-definition.json
func purl(m pkg.CondaMetaPackage) string {
	kind := "conda"
	if strings.HasSuffix(m.Filename, ".tar.bz2") || strings.HasSuffix(m.URL, ".tar.bz2") {
		kind = "tar.bz2"
	}
	var q packageurl.Qualifiers
	for _, kv := range [][2]string{
		{"build", m.Build}, {"channel", channelName(m.Channel, m.Subdir)}, {"subdir", m.Subdir}, {"type", kind},
	} {
		if kv[1] != "" {
			q = append(q, packageurl.Qualifier{Key: kv[0], Value: kv[1]})
		}
	}
	return packageurl.NewPackageURL("conda", "", m.Name, m.Version, q, "").ToString()
}

// channelName is a channel by the name that people use, where it has one; else its URL.
func channelName(channel, subdir string) string {
	channel = strings.TrimSuffix(channel, "/")
	if subdir != "" {
		channel = strings.TrimSuffix(channel, "/"+subdir)
	}
	for _, home := range []string{"https://conda.anaconda.org/", "https://repo.anaconda.com/pkgs/"} {
		if name, ok := strings.CutPrefix(channel, home); ok {
			return name
		}
	}
	return channel
}

var tokenPath = regexp.MustCompile(`/t/[^/]+/`)

// redact removes what may be a credential from the address of a channel or package.
func redact(address string) string {
	if !strings.Contains(address, "://") {
		return address
	}
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return tokenPath.ReplaceAllString(u.String(), "/")
}
