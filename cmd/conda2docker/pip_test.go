package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/lock"
	"github.com/datalayer/conda2docker/examples/container"
)

// inspectPip is run in the image: the compiled part works, what was built from source too, and what python made of pip's sources is
// taken as it is, on a root that cannot be written.
const inspectPip = `
import importlib.metadata, importlib.util, pathlib
import markupsafe, markupsafe._speedups, docopt, xmltodict, greeting
assert markupsafe.escape is markupsafe._speedups.escape
assert xmltodict.parse("<a>1</a>") == {"a": "1"}
assert greeting.main() == "hello"
checked = 0
for d in importlib.metadata.distributions():
    if (d.read_text("INSTALLER") or "").strip() != "pip":
        continue
    name = d.metadata["Name"]
    assert d.read_text("direct_url.json") is None, name
    for f in d.files:
        assert f.locate().exists(), (name, f)
        if f.suffix == ".py" and "-packages" in str(f.locate()):
            pyc = pathlib.Path(importlib.util.cache_from_source(str(f.locate())))
            body = pyc.read_bytes()
            assert body[:4] == importlib.util.MAGIC_NUMBER and body[4:8] == b"\1\0\0\0", (name, f)
            assert any(str(o.locate()) == str(pyc) for o in d.files), (name, f)
            checked += 1
    print(name, d.version, "requested" if d.read_text("REQUESTED") is not None else "implied")
print("compiled:", checked > 30)
`

// checkPip builds the pip example with credentials in its index's URL, in the settings and in the file, and with a project of this
// disk; then from its lock.
func checkPip(t *testing.T, s *exampleRun) {
	index, extraIndex := newPrivateIndex(t, s.served.IndexURL), newPrivateIndex(t, s.served.IndexURL)
	secrets := []string{"settings-secret-1", "file-secret-2"}
	b := exampleBuild{
		environment: pipEnvironment(t), overlay: filepath.Join("..", "..", "examples", "pip", "runtime.yaml"),
		index: "http://carol:settings-secret-1@" + index.host + "/simple",
		env:   []string{"PIP_PASSWORD=file-secret-2", "PIP_HOST=" + extraIndex.host}, texts: secrets,
	}
	made := s.build(t, b)

	checkListed(t, made)
	checkInhabitants(t, made)
	checkAdditions(t, s, made)
	// What the activation script of fontconfig sets, what the post-link script of graphviz wrote, and what pip installed.
	require.Contains(t, made.config.Config.Env, "FONTCONFIG_PATH="+prefix+"/etc/fonts")
	require.Empty(t, made.config.Config.Entrypoint)
	require.Contains(t, made.body(t, prefix+"/lib/graphviz/config6a"), "libgvplugin_core")
	purls := purlsOf(t, made)["sbom.syft.json"]
	require.Contains(t, purls, "pkg:pypi/humanize@4.4.0")
	require.Contains(t, purls, "pkg:pypi/tabulate@0.8.9")
	require.Equal(t, `MarkupSafe 2.1.2 requested
compiled: True
docopt 0.6.2 implied
graphviz 0.20.1 requested
greeting 1.0 requested
humanize 4.4.0 requested
tabulate 0.8.9 requested
xmltodict 0.13.0 requested
`, runInside(t, made, inspectPip))
	for _, built := range []string{"docopt 0.6.2", "greeting 1.0", "xmltodict 0.13.0"} {
		require.Contains(t, made.stderr, "pip: building "+built+" from source\n")
	}

	require.Equal(t, []string{"carol settings-secret-1"}, index.logins())
	require.Equal(t, []string{"bob file-secret-2"}, extraIndex.logins())
	config, err := made.image.RawConfigFile()
	require.NoError(t, err)
	for _, secret := range secrets {
		require.Empty(t, made.traces[secret])
		require.NotContains(t, made.stderr, secret)
		require.NotContains(t, string(config), secret)
	}
	require.NoError(t, lookBelow(made.dir, nil, secrets))
	require.NoError(t, lookBelow(s.cache, nil, secrets))
	locked := checkPipLock(t, made)
	checkPipAgain(t, s, b, made, []*privateIndex{index, extraIndex}, locked)
	checkPipHash(t, s, b, locked)
}

// pipEnvironment is the example's environment with an index more, a constraint, a project's folder, and a package that is only there
// as source.
func pipEnvironment(t *testing.T) string {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("..", "..", "examples", "pip", "environment.yml"))
	require.NoError(t, err)
	const section, own = "  - pip:\n", "      - docopt  #"
	require.Contains(t, string(body), section)
	require.Contains(t, string(body), own)
	text := strings.Replace(string(body), section, section+"      - --extra-index-url http://bob:${PIP_PASSWORD}@${PIP_HOST}/simple\n"+
		"      - -c limits.txt\n      - ./greeting\n      - xmltodict\n", 1)
	text = strings.Replace(text, own, "      #", 1) // the project asks for it
	dir := t.TempDir()
	for name, content := range map[string]string{
		"environment.yml": text, "limits.txt": "docopt <1\n",
		"greeting/setup.py":    "from setuptools import setup\nsetup(name='greeting', version='1.0', py_modules=['greeting'], install_requires=['docopt'])\n",
		"greeting/greeting.py": "def main():\n    return 'hello'\n",
	} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	return filepath.Join(dir, "environment.yml")
}

// runInside runs a program of python's in the image, on a read-only root and without a network, and returns its sorted output.
func runInside(t *testing.T, made exampleImage, program string) string {
	t.Helper()
	bundle := filepath.Join(t.TempDir(), "bundle")
	require.NoError(t, container.Unpack(made.image, bundle))
	cmd, err := container.Command(t.Context(), bundle, made.config.Config, container.Options{
		Name: fmt.Sprintf("pip-%d", os.Getpid()), Args: []string{"python", "-c", program},
	})
	require.NoError(t, err)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	lines := slices.Sorted(strings.Lines(string(out)))
	return strings.Join(lines, "")
}

// checkPipLock holds what the lock has of pip's packages, and returns its text.
func checkPipLock(t *testing.T, made exampleImage) string {
	t.Helper()
	file := filepath.Join(made.dir, "conda-lock.yml")
	l, err := lock.ReadFile(file, lock.Options{})
	require.NoError(t, err)
	packages, err := l.PipPackages(conda.Linux64)
	require.NoError(t, err)
	var got []string
	for _, k := range packages {
		require.Regexp(t, `^[0-9a-f]{64}$`, k.SHA256)
		var with []string
		for _, b := range k.Build {
			require.Regexp(t, `^[0-9a-f]{64}$`, b.SHA256)
			with = append(with, b.Name)
		}
		got = append(got, strings.TrimSpace(k.Name+" "+k.Version+" "+filepath.Base(k.URL)+" "+strings.Join(with, " ")))
	}
	require.Equal(t, []string{
		"docopt 0.6.2 docopt-0.6.2.tar.gz setuptools wheel", "graphviz 0.20.1 graphviz-0.20.1-py3-none-any.whl", "greeting 1.0 greeting setuptools wheel",
		"humanize 4.4.0 humanize-4.4.0-py3-none-any.whl", "markupsafe 2.1.2 markupsafe-2.1.2-cp311-cp311-linux_x86_64.whl",
		"tabulate 0.8.9 tabulate-0.8.9-py3-none-any.whl", "xmltodict 0.13.0 xmltodict-0.13.0.tar.gz setuptools wheel",
	}, got)
	body, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(body)
}

// checkPipAgain builds from the lock, with what was fetched but nothing of what was built: the image is the same, and no index has been
// asked for anything.
func checkPipAgain(t *testing.T, s *exampleRun, b exampleBuild, made exampleImage, indexes []*privateIndex, locked string) {
	t.Helper()
	b.cache = filepath.Join(t.TempDir(), "cache")
	require.NoError(t, os.Mkdir(b.cache, 0o755))
	for _, kept := range []string{"archives", "bases", "segments", "layers", "repodata"} {
		out, err := exec.CommandContext(t.Context(), "cp", "-al", filepath.Join(s.cache, kept), b.cache).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	b.lock = filepath.Join(made.dir, "conda-lock.yml")
	for _, i := range indexes {
		i.forget()
	}
	again := s.build(t, b)
	for _, i := range indexes {
		require.Empty(t, i.logins())
	}
	want, err := made.image.Digest()
	require.NoError(t, err)
	got, err := again.image.Digest()
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Contains(t, again.stderr, "7 packages locked, 3 of them built from source")
	body, err := os.ReadFile(b.lock)
	require.NoError(t, err)
	require.Equal(t, locked, string(body))
}

// checkPipHash holds that a file that is another than the locked one is refused, by its package's name.
func checkPipHash(t *testing.T, s *exampleRun, b exampleBuild, locked string) {
	t.Helper()
	b.lock, b.fails = filepath.Join(t.TempDir(), "conda-lock.yml"), true
	wrong := strings.Repeat("0123456789abcdef", 4)
	sum := regexp.MustCompile(`(?s)(- name: humanize\n.*?sha256: )[0-9a-f]{64}`)
	require.Regexp(t, sum, locked)
	require.NoError(t, os.WriteFile(b.lock, []byte(sum.ReplaceAllString(locked, "${1}"+wrong)), 0o600))
	// Seen from there, the project is elsewhere.
	require.NoError(t, os.CopyFS(filepath.Join(filepath.Dir(b.lock), "greeting"), os.DirFS(filepath.Join(filepath.Dir(b.environment), "greeting"))))
	text, err := os.ReadFile(b.lock)
	require.NoError(t, err)
	text = regexp.MustCompile(`\.\.?/\S*greeting`).ReplaceAll(text, []byte("./greeting"))
	require.NoError(t, os.WriteFile(b.lock, text, 0o600))
	failed := s.build(t, b)
	require.Regexp(t, `conda2docker: downloading pip's humanize 4.4.0: sha256 is [0-9a-f]{64}, want `+wrong, failed.stderr)
}

// privateIndex is an index of Python packages that wants credentials.
type privateIndex struct {
	host string
	mu   sync.Mutex
	seen []string
}

func newPrivateIndex(t *testing.T, behind string) *privateIndex {
	t.Helper()
	to, err := url.Parse(behind)
	require.NoError(t, err)
	to.Path = ""
	p := &privateIndex{}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, ok := r.BasicAuth()
		if !ok {
			w.Header().Set("WWW-Authenticate", `Basic realm="index"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		p.mu.Lock()
		p.seen = append(p.seen, user+" "+password)
		p.mu.Unlock()
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	p.host = strings.TrimPrefix(server.URL, "http://")
	return p
}

// logins are the credentials that were used, each once, sorted.
func (p *privateIndex) logins() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Compact(slices.Sorted(slices.Values(p.seen)))
}

func (p *privateIndex) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = nil
}
