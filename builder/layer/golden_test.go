package layer

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda/link"
)

// If one of these digests changes, formatVersion must change with it: caches hold segments of the old form, which must not be
// mixed with those of the new. A new version of the compressor, of conda/link or of archive/tar may be the reason.
func TestGoldenSegments(t *testing.T) {
	require.Equal(t, 3, formatVersion, "a new format has new digests")
	want := map[Compression][]string{
		Gzip: {
			"sha256:cdd147284c433157824adcc0ca396e1c67561a95380e57ca3996da58b436744e", // native
			"sha256:d29c232b4953db4366a6abf8c72336e767b8eaeff11a5b4845ef2d9af79f27a3", // pure
			"sha256:6cd56d9c1e0fee6dbb24e3fba5794780790b9588984c30c58c846c07b54fd3bb", // meta
		},
		Zstd: {
			"sha256:01f6aa873314b537abc6ba8af222b19f3b87ac528406e8e108ddf269f3900eb8", // native
			"sha256:366fa67106ccb38ce11ec64c20bf6a3ef9be98430b714cfd8ef4fe39cac73b62", // pure
			"sha256:2c1ce468d9f3d941396801f6e3afc8921466650dd05430fe644cd3537713d27f", // meta
		},
	}
	inputs := sampleInputs(t)
	for kind, digests := range want {
		for i, s := range segments(t, openCache(t, Options{Compression: kind}), inputs, 1) {
			require.Equal(t, digests[i], s.blob.digest.String(), "%s with %s", s.Dist, kind)
		}
	}
}

// The index beside a segment is written as arrays of fields: other fields are another format.
func TestGoldenIndex(t *testing.T) {
	require.Equal(t, 3, formatVersion)
	want, err := os.ReadFile(filepath.Join("testdata", "index-fields.txt"))
	require.NoError(t, err)
	require.Equal(t, string(want), describe(reflect.TypeFor[index](), ""))
}

// describe is a type's fields, a line each, as far as this module declares them.
func describe(t reflect.Type, indent string) string {
	var b strings.Builder
	for f := range t.Fields() {
		fmt.Fprintf(&b, "%s%s %s\n", indent, f.Name, f.Type)
		e := f.Type
		for e.Kind() == reflect.Slice || e.Kind() == reflect.Pointer {
			e = e.Elem()
		}
		if e.Kind() == reflect.Struct {
			b.WriteString(describe(e, indent+"\t"))
		}
	}
	return b.String()
}

// What link says of a package comes back from the cache to the last detail, so that conda-meta is the same.
func TestIndexKeepsThePackage(t *testing.T) {
	zero := int64(0)
	want := index{
		Format: formatVersion, TarSize: 1, Size: 2, BlobSize: 3, Digest: "sha256:a", DiffID: "sha256:b", Chunks: []int64{4, 5}, Head: head{TarSize: 6, Chunks: 1},
		Package: link.Package{
			Paths: []link.Path{
				{Path: "a", Type: link.Regular, Mode: 0o755, SHA256: "s", Meta: link.MetaPath{Path: "site-packages/a", SizeInBytes: &zero, NoLink: true}},
				{Path: "b", Type: link.Symlink, Link: "a"},
			},
			EntryPoints: []link.EntryPoint{{Command: "c", Module: "m", Function: "f"}},
			Scripts:     link.Scripts{PostLink: "bin/.a-post-link.sh", Activate: []string{"x"}},
			Bytecode:    []link.Bytecode{{Source: "a.py", Path: "a.pyc"}},
			Index:       []byte(`{"name":"a"}`), About: []byte(`{}`),
			NoArch: "python", Warnings: []string{"w"},
		},
		Places: []placed{{1, 2}, {3, 4}},
	}
	var raw bytes.Buffer
	err := want.write(&raw)
	require.NoError(t, err)
	got, err := unmarshalIndex(raw.Bytes())
	require.NoError(t, err)
	require.Equal(t, want, got)
}
