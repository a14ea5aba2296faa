package link_test

import (
	"fmt"
	"io/fs"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/condatest"
	"github.com/datalayer/conda2docker/conda/link"
)

func TestMetaRecord(t *testing.T) {
	p := condatest.Package{
		Name: "demo", Version: "1.2", Build: "h0_3", BuildNumber: 3, License: "MIT & <BSD>", Timestamp: 1700000000000,
		TrackFeatures: []string{"a", "b"}, Depends: []string{"zlib >=1.2"},
		Files: []condatest.File{{Path: "share/naïve", Body: "x"}, {Path: "share/l", Link: "naïve"}, {Path: "var/empty", Mode: fs.ModeDir}},
		Patch: patched(func(r *conda.Record) { r.URL = "https://repo.example.org/main/linux-64/" + r.FileName }),
	}
	rec := p.Archive(t).Record
	_, pkg, err := linkAll(t, p, target())
	require.NoError(t, err)
	b, err := link.MetaRecord(pkg, rec, "")
	require.NoError(t, err)
	sum := pkg.Paths[1].SHA256
	want := fmt.Sprintf(`{
  "name": "demo",
  "version": "1.2",
  "build": "h0_3",
  "build_number": 3,
  "channel": "https://repo.example.org/main/linux-64",
  "subdir": "linux-64",
  "fn": "demo-1.2-h0_3.conda",
  "md5": "%s",
  "url": "https://repo.example.org/main/linux-64/demo-1.2-h0_3.conda",
  "sha256": "%s",
  "depends": [
    "zlib >=1.2"
  ],
  "constrains": [],
  "track_features": "a b",
  "license": "MIT & <BSD>",
  "timestamp": 1700000000000,
  "size": %d,
  "package_tarball_full_path": "/opt/conda/pkgs/demo-1.2-h0_3.conda",
  "extracted_package_dir": "/opt/conda/pkgs/demo-1.2-h0_3",
  "files": [
    "share/l",
    "share/naïve"
  ],
  "paths_data": {
    "paths_version": 1,
    "paths": [
      {
        "_path": "share/l",
        "path_type": "softlink",
        "sha256": "%s",
        "size_in_bytes": 1
      },
      {
        "_path": "share/naïve",
        "path_type": "hardlink",
        "sha256": "%s",
        "size_in_bytes": 1,
        "sha256_in_prefix": "%s"
      },
      {
        "_path": "var/empty",
        "path_type": "directory"
      }
    ]
  },
  "link": {
    "source": "/opt/conda/pkgs/demo-1.2-h0_3",
    "type": 1
  },
  "requested_specs": []
}`, rec.MD5, rec.SHA256, rec.Size, sum, sum, sum)
	require.Equal(t, want, string(b), "the order and the spaces are conda's, too")
}

func TestHistory(t *testing.T) {
	b := link.History(link.Revision{
		Time: time.Unix(1700000000, 0), Command: "conda2docker build\nenv.yml", Tool: "conda2docker 1.0.0",
		Records: []*conda.Record{recordOf(t, "conda-forge/noarch::pip-24.0-py_0"), recordOf(t, "conda-forge/linux-64::zlib-1.3-h0_0")},
		Specs:   []string{"zlib", "pip[build='py*']", `a"b'c\d`},
	})
	require.Equal(t, `==> 2023-11-14 22:13:20 <==
# cmd: conda2docker build env.yml
# conda2docker version: 1.0.0
+conda-forge/linux-64::zlib-1.3-h0_0
+conda-forge/noarch::pip-24.0-py_0
# update specs: ['zlib', "pip[build='py*']", 'a"b\'c\\d']
`, string(b))
}
