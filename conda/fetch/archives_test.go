package fetch_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/condatest"
	"github.com/datalayer/conda2docker/conda/fetch"
)

// big is a package whose archive has some length.
func big(name string) condatest.Package {
	var body strings.Builder
	for i := range 20000 {
		body.WriteString(strconv.Itoa(i * i))
	}
	return condatest.Package{Name: name, Files: []condatest.File{{Path: "share/" + name, Body: body.String()}}}
}

func archives(t *testing.T, o fetch.Options) *fetch.Archives {
	t.Helper()
	return &fetch.Archives{Client: client(t, o), Dir: filepath.Join(t.TempDir(), "archives")}
}

func listing(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestFetchOnce(t *testing.T) {
	channel := condatest.NewChannel(t, big("tool"))
	r := channel.Record(t, "tool")
	a := archives(t, fetch.Options{})
	var last fetch.Progress
	got, err := a.Fetch(t.Context(), r, func(p fetch.Progress) { last = p })
	require.NoError(t, err)
	require.Equal(t, fetch.Archive{
		Path: filepath.Join(a.Dir, r.SHA256+"-tool-1.0-0.conda"), SHA256: r.SHA256, Size: r.Size,
	}, got)
	require.Equal(t, fetch.Progress{Record: r, Bytes: r.Size, Done: true}, last)

	again, err := a.Fetch(t.Context(), r, func(p fetch.Progress) { last = p })
	require.NoError(t, err)
	require.Equal(t, got, again)
	require.True(t, last.Cached)
	require.Len(t, channel.Requests(), 1)

	offline := fetch.Archives{Client: client(t, fetch.Options{Offline: true}), Dir: a.Dir}
	_, err = offline.Fetch(t.Context(), r, nil)
	require.NoError(t, err)
	offline.Dir = t.TempDir()
	_, err = offline.Fetch(t.Context(), r, nil)
	require.ErrorIs(t, err, fetch.ErrOffline)
	require.Empty(t, listing(t, offline.Dir))
}

func TestBrokenDownloadsResume(t *testing.T) {
	channel := condatest.NewChannel(t, big("tool"))
	r := channel.Record(t, "tool")
	a := archives(t, fetch.Options{})
	channel.Fail("", 2, 0)
	_, err := a.Fetch(t.Context(), r, nil)
	require.NoError(t, err)
	requests := channel.Requests()
	require.Len(t, requests, 3)
	require.Empty(t, requests[0].Header.Get("Range"))
	require.Equal(t, "bytes="+strconv.FormatInt(r.Size/2, 10)+"-", requests[1].Header.Get("Range"))
	require.NotEmpty(t, requests[1].Header.Get("If-Range"))
	require.Equal(t, http.StatusPartialContent, requests[2].Status)
}

func TestInterruptedDownloadsResume(t *testing.T) {
	channel := condatest.NewChannel(t, big("tool"))
	r := channel.Record(t, "tool")
	a := archives(t, fetch.Options{Retries: -1})
	channel.Fail("", 1, 0)
	_, err := a.Fetch(t.Context(), r, nil)
	require.ErrorContains(t, err, "unexpected EOF")
	require.Equal(t, []string{r.SHA256 + "-tool-1.0-0.conda.partial"}, listing(t, a.Dir))
	channel.Forget()
	_, err = a.Fetch(t.Context(), r, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusPartialContent, channel.Requests()[0].Status)
	require.Equal(t, []string{r.SHA256 + "-tool-1.0-0.conda"}, listing(t, a.Dir))
}

func TestStalePartialsAreDropped(t *testing.T) {
	channel := condatest.NewChannel(t, big("tool"))
	r := channel.Record(t, "tool")
	for name, left := range map[string]int64{"shorter": 1000, "as long": r.Size, "longer": r.Size + 5} {
		for _, size := range []int64{r.Size, 0} {
			a := archives(t, fetch.Options{})
			require.NoError(t, os.MkdirAll(a.Dir, 0o755))
			partial := filepath.Join(a.Dir, r.SHA256+"-"+r.FileName+".partial")
			require.NoError(t, os.WriteFile(partial, make([]byte, left), 0o644))
			known := *r
			known.Size = size
			got, err := a.Fetch(t.Context(), &known, nil)
			require.NoError(t, err, name)
			require.Equal(t, r.Size, got.Size)
			require.Equal(t, []string{r.SHA256 + "-tool-1.0-0.conda"}, listing(t, a.Dir))
		}
	}
}

func TestServersWithoutRanges(t *testing.T) {
	channel := condatest.NewChannel(t, big("tool"))
	channel.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		r.Header.Del("Range")
		return false
	})
	r := channel.Record(t, "tool")
	a := archives(t, fetch.Options{})
	require.NoError(t, os.MkdirAll(a.Dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(a.Dir, r.SHA256+"-"+r.FileName+".partial"), make([]byte, 99), 0o644))
	_, err := a.Fetch(t.Context(), r, nil)
	require.NoError(t, err)
}

func TestWrongFilesAreRefused(t *testing.T) {
	for _, test := range []struct {
		name  string
		patch func(*conda.Record)
		want  string
	}{
		{"sha256", func(r *conda.Record) { r.SHA256 = strings.Repeat("ab", 32) }, "sha256 is "},
		{"md5", func(r *conda.Record) { r.SHA256, r.MD5 = "", strings.Repeat("ab", 16) }, "md5 is "},
		{"short", func(r *conda.Record) { r.Size++ }, "size is "},
		{"long", func(r *conda.Record) { r.Size-- }, "size is more, want "},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := big("tool")
			p.Patch = test.patch
			channel := condatest.NewChannel(t, p)
			r := channel.Record(t, "tool")
			a := archives(t, fetch.Options{})
			_, err := a.Fetch(t.Context(), r, nil)
			var sum *fetch.ChecksumError
			require.ErrorAs(t, err, &sum)
			require.Equal(t, "package "+r.String(), sum.Name)
			require.NotEqual(t, sum.Want, sum.Got)
			require.ErrorContains(t, err, test.want)
			require.Empty(t, listing(t, a.Dir), "nothing is left in the cache")
			require.Len(t, channel.Requests(), 1)
		})
	}
}

func TestMirrorWithTheRightFileIsFound(t *testing.T) {
	wrong, right := condatest.NewChannel(t, big("tool")), condatest.NewChannel(t, big("tool"))
	wrong.Set("linux-64/tool-1.0-0.conda", []byte("something else"))
	r := *right.Record(t, "tool")
	r.Channel = conda.Channel{Name: "forge", URL: "https://conda.invalid/forge"}
	r.URL = "https://conda.invalid/forge/linux-64/tool-1.0-0.conda"
	a := archives(t, fetch.Options{Mirrors: map[string][]string{r.Channel.URL: {wrong.URL, right.URL}}})
	_, err := a.Fetch(t.Context(), &r, nil)
	require.NoError(t, err)

	a = archives(t, fetch.Options{Mirrors: map[string][]string{r.Channel.URL: {wrong.URL, wrong.URL + "/none"}}})
	_, err = a.Fetch(t.Context(), &r, nil)
	require.EqualError(t, err, "downloading package forge/linux-64::tool-1.0-0: "+
		"size is 14, want "+strconv.FormatInt(r.Size, 10)+": "+r.URL+
		" is not the file that the channel's index or the lock speaks of")
}

func TestRecordsWithMD5Only(t *testing.T) {
	p := big("tool")
	p.Patch = func(r *conda.Record) { r.SHA256, r.Size = "", 0 }
	channel := condatest.NewChannel(t, p)
	r := channel.Record(t, "tool")
	want := big("tool").Archive(t)
	a := archives(t, fetch.Options{})
	got, err := a.Fetch(t.Context(), r, nil)
	require.NoError(t, err)
	require.Equal(t, want.Record.SHA256, got.SHA256)
	require.Equal(t, want.Record.Size, got.Size)
	a.Client = client(t, fetch.Options{Offline: true})
	again, err := a.Fetch(t.Context(), r, nil)
	require.NoError(t, err)
	require.Equal(t, got, again)
}

func TestUnverifiableRecordsAreRefused(t *testing.T) {
	a := archives(t, fetch.Options{})
	sum := strings.Repeat("ab", 32)
	for want, r := range map[string]conda.Record{
		"neither sha256 nor md5":  {FileName: "a-1-0.conda"},
		"not a sha256":            {FileName: "a-1-0.conda", SHA256: "../../x"},
		"not the name of an arch": {FileName: "../a-1-0.conda", SHA256: sum},
		`"" is not the name`:      {SHA256: sum},
	} {
		r.URL = "http://127.0.0.1:1/x"
		_, err := a.Fetch(t.Context(), &r, nil)
		require.ErrorContains(t, err, want)
	}
}

func TestVerifyFindsDamage(t *testing.T) {
	channel := condatest.NewChannel(t, big("tool"))
	r := channel.Record(t, "tool")
	a := archives(t, fetch.Options{})
	got, err := a.Fetch(t.Context(), r, nil)
	require.NoError(t, err)

	damaged, err := os.ReadFile(got.Path)
	require.NoError(t, err)
	damaged[100] ^= 1
	require.NoError(t, os.WriteFile(got.Path, damaged, 0o644))
	a.Verify = true
	_, err = a.Fetch(t.Context(), r, nil)
	require.NoError(t, err)
	require.Len(t, channel.Requests(), 2)
	_, err = a.Fetch(t.Context(), r, nil)
	require.NoError(t, err)
	require.Len(t, channel.Requests(), 2, "what is whole is not fetched again")

	a.Verify = false
	require.NoError(t, os.Truncate(got.Path, 10))
	_, err = a.Fetch(t.Context(), r, nil)
	require.NoError(t, err)
	require.Len(t, channel.Requests(), 3, "a size that differs is seen anyhow")
}

func TestOneDownloadForMany(t *testing.T) {
	channel := condatest.NewChannel(t, big("tool"))
	r := channel.Record(t, "tool")
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			a := fetch.Archives{Client: client(t, fetch.Options{}), Dir: dir}
			_, err := a.Fetch(t.Context(), r, nil)
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.Len(t, channel.Requests(), 1)
	require.Equal(t, []string{r.SHA256 + "-tool-1.0-0.conda"}, listing(t, dir))
}

func TestFetchAllKeepsOrder(t *testing.T) {
	channel := condatest.NewChannel(t)
	for i := range 20 {
		channel.Add(t, condatest.Package{Name: "p" + strconv.Itoa(i)})
	}
	records := channel.Records()
	a := archives(t, fetch.Options{})
	done := 0
	got, err := a.FetchAll(t.Context(), records, 0, func(p fetch.Progress) {
		if p.Done {
			done++
		}
	})
	require.NoError(t, err)
	require.Equal(t, len(records), done)
	for i, r := range records {
		require.Equal(t, r.SHA256, got[i].SHA256)
	}

	channel.Set("linux-64/p7-1.0-0.conda", nil)
	a.Dir = t.TempDir()
	_, err = a.FetchAll(t.Context(), records, 3, nil)
	require.EqualError(t, err, "downloading package "+records[7].String()+": "+records[7].URL+": 404 Not Found")
}

func TestDownload(t *testing.T) {
	channel := condatest.NewChannel(t, big("tool"))
	r := channel.Record(t, "tool")
	dir := t.TempDir()
	channel.Write(t, dir)
	c := client(t, fetch.Options{})
	path := filepath.Join(dir, "out", "tool.conda")
	f := fetch.File{URL: "file://" + dir + "/linux-64/" + r.FileName, SHA256: r.SHA256}
	require.NoError(t, c.Download(t.Context(), f, path, nil))
	require.Equal(t, []string{"tool.conda"}, listing(t, filepath.Dir(path)))

	f.SHA256 = ""
	require.ErrorContains(t, c.Download(t.Context(), f, path, nil), "could not be verified")
}
