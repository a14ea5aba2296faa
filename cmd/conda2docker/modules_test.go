package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestModulesOf(t *testing.T) {
	t.Parallel()
	const site = "/opt/conda/lib/python3.11/site-packages"
	files := map[string]string{}
	for _, at := range []string{
		"six.py", "_yaml.py", "numpy/__init__.py", "numpy/core/__init__.py", "numpy/core/_multiarray.cpython-311-x86_64-linux-gnu.so",
		"_cffi_backend.cpython-311-x86_64-linux-gnu.so", "old.cpython-310-x86_64-linux-gnu.so", "stable.abi3.so", "plain.so", "libthing.so", "thing.so.1",
		"google/protobuf/__init__.py", "google/protobuf/internal/__init__.py", "google/_upb.abi3.so", "google/data.py", "google/attach.so", "a/b/c/__init__.py", "a/b/c/d/__init__.py",
		"compiled/__init__.abi3.so", "six-1.16.dist-info/RECORD", "__pycache__/six.cpython-311.pyc", "__main.py", "tests/__init__.py", "test/x/__init__.py", "setup.py", "conftest.py",
		"not-a-name.py", "3d.py", "data/readme.txt", "examples/one/__init__.py", "81d2__mypyc.cpython-311-x86_64-linux-gnu.so",
	} {
		files[site+"/"+at] = "some-1.0-0"
	}
	files["/opt/conda/lib/python3.11/os.py"] = "python"
	got := modulesOf(files, "3.11", site)
	require.Equal(t, []string{
		"_cffi_backend", "_yaml", "a.b.c", "compiled", "google._upb", "google.protobuf", "numpy", "plain", "six", "stable",
	}, sortedKeys(got))
	require.Equal(t, site+"/google/protobuf/__init__.py", got["google.protobuf"])
}

func TestSettle(t *testing.T) {
	t.Parallel()
	owners := map[string]string{"/opt/conda/lib/libb.so": "b-1-0", "/opt/conda/lib/liba.so": "a-1-0", "/opt/conda/lib/x/libc.so.1": "c-1-0", "/opt/conda/site/m.py": "m-1-0"}
	found := settle([]finding{
		{kind: "module", name: "m", lines: []string{"ImportError: no"}},
		{kind: "elf", name: "/opt/conda/lib/libb.so", lines: []string{"libc.so.1 => not found", "libcuda.so.1 => not found"}},
		{kind: "elf", name: "/opt/conda/lib/liba.so", lines: []string{"libcuda.so.1 => not found", "libnvidia-ml.so.1 => not found"}}, // the driver's
		{kind: "elf", name: "/opt/conda/lib/known.so", lines: []string{"libz => not found"}},
		{kind: "elf", name: "/opt/conda/lib/stray", lines: []string{"version `GLIBC_9' not found"}},
	}, owners, map[string]string{"m": "/opt/conda/site/m.py"}, []string{"known.*"})
	require.EqualError(t, &unsoundError{found}, `the image is not sound (--verify): 3 of its files and modules fail:
  b-1-0: /opt/conda/lib/libb.so: libc.so.1 => not found (there is /opt/conda/lib/x/libc.so.1, but not on the file's run path)
  m-1-0: module m: ImportError: no
  no package: /opt/conda/lib/stray: version `+"`GLIBC_9'"+` not found
what is known and of no harm is left out with --verify-except GLOB, of a module's name or a file's path`)
}
