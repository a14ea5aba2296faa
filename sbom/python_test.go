package sbom

import (
	"testing"

	"github.com/anchore/syft/syft/file"
	"github.com/anchore/syft/syft/pkg"
	syft "github.com/anchore/syft/syft/sbom"
	"github.com/stretchr/testify/require"
)

// TestPythonIsFound holds that what pip installed must be in the prefix, in its version, by whatever spelling of its name.
func TestPythonIsFound(t *testing.T) {
	t.Parallel()
	at := func(name, version, dir string) pkg.Package {
		p := pkg.Package{Name: name, Version: version, Type: pkg.PythonPkg, Locations: file.NewLocationSet(file.NewLocation(dir + "/METADATA"))}
		p.SetID()
		return p
	}
	s := &syft.SBOM{Artifacts: syft.Artifacts{Packages: pkg.NewCollection(
		at("MarkupSafe", "2.1.2", "/opt/conda/lib/python3.11/site-packages/MarkupSafe-2.1.2.dist-info"),
		at("six", "1.16.0", "/usr/lib/python3/dist-packages/six-1.16.0.dist-info"),
	)}}
	require.NoError(t, comparePython(s, nil, "sha256:1", "/opt/conda"))
	require.NoError(t, comparePython(s, []Distribution{{"markupsafe", "2.1.2"}}, "sha256:1", "/opt/conda"))
	require.EqualError(t, comparePython(s, []Distribution{{"six", "1.16.0"}, {"MarkupSafe", "2.1.3"}}, "sha256:1", "/opt/conda"),
		"what pip installed is not all in /opt/conda of image sha256:1: MarkupSafe 2.1.3, six 1.16.0")
}
