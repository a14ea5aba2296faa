package condatest_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/bzip2"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/condatest"
)

func tool() condatest.Package {
	return condatest.Package{
		Name: "tool", Version: "2.1", Build: "h1_3", BuildNumber: 3, Depends: []string{"zlib >=1.2"},
		PostLink: "#!/bin/sh\ntrue\n",
		Files: []condatest.File{
			{Path: "bin/tool", Body: "#!" + condatest.Placeholder + "/bin/sh\n", Prefix: condatest.Text},
			{Path: "lib/libtool.so", Link: "libtool.so.1"},
			{Path: "lib/libtool.so.1", Body: "\x7fELF" + condatest.Placeholder + "\x00", Prefix: condatest.Binary},
			{Path: "lib/hard", HardLink: "lib/libtool.so.1"},
			{Path: "share/empty", Mode: 0o755 | os.ModeDir},
			{Path: "share/copied", Body: "x", NoLink: true},
		},
	}
}

// unpack lists the members of an archive, by name.
func unpack(t *testing.T, a condatest.Archive) map[string]string {
	t.Helper()
	members := map[string]string{}
	read := func(r io.Reader) {
		for tr := tar.NewReader(r); ; {
			h, err := tr.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			require.NoError(t, err)
			body, err := io.ReadAll(tr)
			require.NoError(t, err)
			members[h.Name] = fmt.Sprintf("%c %04o %s%s", h.Typeflag, h.Mode, h.Linkname, body)
		}
	}
	if filepath.Ext(a.FileName) == ".bz2" {
		read(bzip2.NewReader(bytes.NewReader(a.Bytes)))
		return members
	}
	z, err := zip.NewReader(bytes.NewReader(a.Bytes), int64(len(a.Bytes)))
	require.NoError(t, err)
	require.Len(t, z.File, 3)
	require.Equal(t, "metadata.json", z.File[0].Name)
	require.Equal(t, "pkg-tool-2.1-h1_3.tar.zst", z.File[1].Name)
	require.Equal(t, "info-tool-2.1-h1_3.tar.zst", z.File[2].Name)
	for _, f := range z.File {
		require.Equal(t, zip.Store, f.Method)
	}
	for _, f := range z.File[1:] {
		r, err := f.Open()
		require.NoError(t, err)
		d, err := zstd.NewReader(r)
		require.NoError(t, err)
		read(d)
		d.Close()
	}
	return members
}

func TestArchiveFormatsHoldTheSame(t *testing.T) {
	p := tool()
	conda1 := p.Archive(t)
	require.Equal(t, "tool-2.1-h1_3.conda", conda1.FileName)
	require.Equal(t, conda1.Bytes, p.Archive(t).Bytes, "the same package, the same bytes")
	p.Format = condatest.TarBz2
	old := p.Archive(t)
	require.Equal(t, "tool-2.1-h1_3.tar.bz2", old.FileName)

	members := unpack(t, conda1)
	require.Equal(t, members, unpack(t, old))
	require.Equal(t, "0 0755 #!"+condatest.Placeholder+"/bin/sh\n", members["bin/tool"])
	require.Equal(t, "2 0777 libtool.so.1", members["lib/libtool.so"])
	require.Equal(t, "1 0644 lib/libtool.so.1", members["lib/hard"])
	require.Equal(t, "5 0755 ", members["share/empty/"])
	require.Equal(t, "0 0755 #!/bin/sh\ntrue\n", members["bin/.tool-post-link.sh"])
	require.Equal(t, "0 0644 "+condatest.Placeholder+" text bin/tool\n"+
		condatest.Placeholder+" binary lib/libtool.so.1\n", members["info/has_prefix"])
	require.Equal(t, "0 0644 share/copied\n", members["info/no_link"])
	require.Contains(t, members["info/paths.json"], `"prefix_placeholder": "`+condatest.Placeholder)
	require.Contains(t, members["info/index.json"], `"build_number": 3`)
}

func TestLegacyArchiveHasNoPaths(t *testing.T) {
	p := tool()
	p.Legacy = true
	p.Info = map[string]string{"about.json": "", "extra": "x"}
	members := unpack(t, p.Archive(t))
	require.NotContains(t, members, "info/paths.json")
	require.NotContains(t, members, "info/about.json")
	require.Contains(t, members, "info/extra")
	require.Contains(t, members, "info/files")
}

func TestNoArchPythonHasLinkJSON(t *testing.T) {
	p := tool()
	p.NoArch, p.EntryPoints = conda.NoArchPython, []string{"tool = tool.cli:main"}
	a := p.Archive(t)
	require.Equal(t, conda.NoArchSubdir, a.Record.Subdir)
	var link struct {
		NoArch struct {
			Type        string
			EntryPoints []string `json:"entry_points"`
		}
	}
	require.NoError(t, json.Unmarshal([]byte(unpack(t, a)["info/link.json"])[len("0 0644 "):], &link))
	require.Equal(t, "python", link.NoArch.Type)
	require.Equal(t, []string{"tool = tool.cli:main"}, link.NoArch.EntryPoints)
}

func get(t *testing.T, url string, header ...string) (*http.Response, []byte) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	require.NoError(t, err)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body) // that it may break off is what some tests want
	return resp, body
}

func TestChannelServes(t *testing.T) {
	c := condatest.NewChannel(t, tool(), condatest.Package{Name: "pure", NoArch: conda.NoArchGeneric})
	record := c.Record(t, "tool")
	resp, body := get(t, record.URL)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Len(t, body, int(record.Size))

	resp, tail := get(t, record.URL, "Range", "bytes=100-", "If-Range", resp.Header.Get("ETag"))
	require.Equal(t, http.StatusPartialContent, resp.StatusCode)
	require.Equal(t, body[100:], tail)

	resp, body = get(t, c.URL+"/linux-64/repodata.json")
	require.Contains(t, string(body), record.SHA256)
	resp, _ = get(t, c.URL+"/linux-64/repodata.json", "If-None-Match", resp.Header.Get("ETag"))
	require.Equal(t, http.StatusNotModified, resp.StatusCode)

	c.Set("linux-64/repodata.json", nil)
	resp, _ = get(t, c.URL+"/linux-64/repodata.json")
	require.Equal(t, http.StatusNotFound, resp.StatusCode)

	requests := c.Requests()
	require.Len(t, requests, 5)
	require.Equal(t, "linux-64/repodata.json", requests[3].Path)
	require.Equal(t, http.StatusNotModified, requests[3].Status)
}

func TestChannelFails(t *testing.T) {
	c := condatest.NewChannel(t, tool())
	record := c.Record(t, "tool")
	c.Fail("", 1, http.StatusBadGateway)
	c.Fail("linux-64/"+record.FileName, 1, 0)
	resp, _ := get(t, record.URL)
	require.Equal(t, http.StatusBadGateway, resp.StatusCode)
	_, body := get(t, record.URL)
	require.Len(t, body, int(record.Size/2))
	_, body = get(t, record.URL)
	require.Len(t, body, int(record.Size))

	c.RequireBasicAuth("me", "secret")
	resp, _ = get(t, record.URL)
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
	resp, _ = get(t, record.URL, "Authorization", "Basic bWU6c2VjcmV0")
	require.Equal(t, http.StatusOK, resp.StatusCode)
}

func TestChannelRequiresToken(t *testing.T) {
	c := condatest.NewChannel(t, tool())
	c.RequireToken("tk-1")
	resp, _ := get(t, c.URL+"/noarch/repodata.json")
	require.Equal(t, http.StatusNotFound, resp.StatusCode)
	resp, _ = get(t, c.URL[:len(c.URL)-len("/channel")]+"/t/tk-1/channel/noarch/repodata.json")
	require.Equal(t, http.StatusOK, resp.StatusCode)
}

func TestChannelIsWritten(t *testing.T) {
	c := condatest.NewChannel(t, tool())
	dir := t.TempDir()
	c.Write(t, dir)
	b, err := os.ReadFile(filepath.Join(dir, "linux-64", c.Record(t, "tool").FileName))
	require.NoError(t, err)
	require.Len(t, b, int(c.Record(t, "tool").Size))
	require.FileExists(t, filepath.Join(dir, "noarch", "repodata.json.zst"))
}
