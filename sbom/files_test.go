package sbom_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/sbom"
	"github.com/datalayer/conda2docker/sbom/sbomtest"
)

// TestFilesOfScripts holds that a file that a package's script made is in every document, with its hashes, as contained in the package.
func TestFilesOfScripts(t *testing.T) {
	solved, layers := environment(t)
	request := sbom.Request{Layout: sbomtest.Layout(t, layers...), Records: solved, Files: []sbom.File{
		{Package: "libcurl", Path: "/opt/conda/etc/made", Layer: "sha256:" + strings.Repeat("9", 64), Mode: 0o644, Size: 3, SHA1: strings.Repeat("1", 40), SHA256: strings.Repeat("2", 64)},
		{Path: "/opt/conda/etc/built", Mode: 0o644, SHA1: strings.Repeat("3", 40), SHA256: strings.Repeat("4", 64)},
	}}
	doc := generate(t, request)
	require.Equal(t, 4, doc.Counts().Conda, "the packages are those that were solved")

	var spdx struct {
		Files []struct {
			ID        string `json:"SPDXID"`
			Name      string `json:"fileName"`
			Checksums []struct{ Algorithm, ChecksumValue string }
		}
		Packages      []struct{ SPDXID, Name string }
		Relationships []struct {
			From string `json:"spdxElementId"`
			To   string `json:"relatedSpdxElement"`
			Type string `json:"relationshipType"`
		}
	}
	require.NoError(t, json.Unmarshal([]byte(write(t, doc, sbom.SPDX)), &spdx))
	require.Len(t, spdx.Files, 2)
	names := map[string]string{}
	for _, p := range spdx.Packages {
		names[p.SPDXID] = p.Name
	}
	owners := map[string][]string{}
	for _, f := range spdx.Files {
		require.Len(t, f.Checksums, 2)
		for _, r := range spdx.Relationships {
			if r.To == f.ID && r.Type == "CONTAINS" {
				owners[f.Name] = append(owners[f.Name], names[r.From])
			}
		}
	}
	require.Equal(t, []string{"libcurl"}, owners["opt/conda/etc/made"])
	require.Len(t, owners["opt/conda/etc/built"], 1, "the image contains it")
	require.NotContains(t, write(t, doc, sbom.SPDX), `"filesAnalyzed":true`, "not every file of the image is listed")

	cyclonedx := write(t, doc, sbom.CycloneDX)
	require.Contains(t, cyclonedx, `"name":"/opt/conda/etc/made","hashes":[{"alg":"SHA-1","content":"`+strings.Repeat("1", 40))
	require.Contains(t, write(t, doc, sbom.Syft), strings.Repeat("4", 64))
	var again bytes.Buffer
	require.NoError(t, generate(t, request).Write(&again, sbom.SPDX))
	require.Equal(t, write(t, doc, sbom.SPDX), again.String())
}
