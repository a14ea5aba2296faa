package main

import (
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	fakeregistry "github.com/google/go-containerregistry/pkg/registry"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/datalayer/conda2docker/builder/base/basetest"
	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/condatest"
	"github.com/datalayer/conda2docker/scan/scantest"
)

// world is what a script has around it.
type world struct {
	t        testing.TB
	channel  *condatest.Channel
	registry *registryServer
	files    map[string]string // what the script's folder held, by path
	debian   *debianMirror     // where the script has asked for it
}

// cacheName is the program's cache in a script's folder; what is in it does not count as written.
const cacheName = ".cache"

// newWorld serves what the script needs and tells it, by variables, where that is.
func newWorld(env *testscript.Env, s settingsFile) error {
	t, ok := env.T().(testing.TB)
	if !ok {
		return fmt.Errorf("%T is no testing.TB", env.T())
	}
	w := &world{t: t, channel: condatest.NewChannel(t, packages()...), registry: newRegistry(t)}
	// Every channel that files of the scripts can name is this one: nothing asks the world outside.
	host := strings.TrimSuffix(w.channel.URL, "/channel")
	s.Mirrors = map[string][]string{"https://conda.example": {host}, "https://conda.anaconda.org": {host}}
	program, err := exec.LookPath("conda2docker")
	if err != nil {
		return err
	}
	for name, value := range map[string]string{
		"CHANNEL": w.channel.URL, "CHANNEL_HOST": strings.TrimPrefix(host, "http://"), "REGISTRY": w.registry.host,
		"BASE": "oci-layout:" + s.CPU, "CUDA_BASE": "oci-layout:" + s.CUDA,
		"CACHE": filepath.Join(env.WorkDir, cacheName), "PROGRAM": program,
		"CONDA2DOCKER_CACHE":  filepath.Join(env.WorkDir, cacheName),
		"CONDA2DOCKER_CONFIG": filepath.Join(env.WorkDir, "settings.yaml"),
		"CONDARC":             filepath.Join(env.WorkDir, ".condarc"),
	} {
		env.Setenv(name, value)
	}
	if err := s.write(filepath.Join(env.WorkDir, "settings.yaml")); err != nil {
		return err
	}
	if err := writeMissing(filepath.Join(env.WorkDir, ".condarc"), "channels: [https://conda.example/channel]\n"); err != nil {
		return err
	}
	if w.files, err = filesBelow(env.WorkDir); err != nil {
		return err
	}
	env.Values[worldKey{}] = w
	return nil
}

type worldKey struct{}

// settingsFile is the program's settings file.
type settingsFile struct {
	CPU, CUDA string // folders of base images
	DB        string // folder of the advisories
	Mirrors   map[string][]string
	Index     string // of Python packages
	Bytecode  bool   // whether python packages are compiled: the generated channel's python is none
}

func (s settingsFile) write(path string) error {
	b, err := yaml.Marshal(map[string]any{
		"bases":   map[string]string{"cpu": "oci-layout:" + s.CPU, "cuda": "oci-layout:" + s.CUDA},
		"mirrors": s.Mirrors,
		"scan":    map[string]any{"db": s.DB, "update": false},
		"pip":     map[string]string{"index": s.Index}, "bytecode": s.Bytecode,
	})
	if err != nil {
		return err
	}
	return writeMissing(path, string(b))
}

// writeMissing writes a file that the script has not brought itself.
func writeMissing(path, body string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	return os.WriteFile(path, []byte(body), 0o644)
}

// filesBelow reads the files of a folder, without the program's cache.
func filesBelow(dir string) (map[string]string, error) {
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && e.Name() == cacheName:
			return fs.SkipDir
		case e.IsDir():
			files[path] = "folder"
			return nil
		}
		b, err := os.ReadFile(path)
		files[path] = "file " + string(b)
		return err
	})
	return files, err
}

// registryServer is an image registry in memory that remembers what it was asked.
type registryServer struct {
	host     string
	mu       sync.Mutex
	requests []string // "METHOD /path"
}

func newRegistry(t testing.TB) *registryServer {
	t.Helper()
	r := &registryServer{}
	h := fakeregistry.New(fakeregistry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		r.requests = append(r.requests, req.Method+" "+req.URL.Path)
		r.mu.Unlock()
		h.ServeHTTP(w, req)
	}))
	t.Cleanup(server.Close)
	r.host = strings.TrimPrefix(server.URL, "http://")
	return r
}

// log is what the registry was asked, a line for each request.
func (r *registryServer) log() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return lines(r.requests)
}

func (r *registryServer) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = nil
}

func lines(s []string) string {
	if len(s) == 0 {
		return ""
	}
	return strings.Join(s, "\n") + "\n"
}

// writeBases makes the base images cpu and cuda below dir: all that packages and users need to
// know, and no program. It returns the first one's digest.
func writeBases(t testing.TB, dir string) (digest string) {
	t.Helper()
	files := []basetest.File{
		{Path: "usr", Dir: true},
		{Path: "bin", Link: "usr/bin"},
		{Path: "lib", Link: "usr/lib"},
		{Path: "usr/lib/x86_64-linux-gnu/libc.so.6", Body: "\x7fELF…GNU C Library (Debian GLIBC 2.36-9+deb12u10) stable release version 2.36.\nCopyright…"},
		{Path: "etc/os-release", Body: "PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\nVERSION_ID=12\n"},
		{Path: "etc/passwd", Body: "root:x:0:0::/root:/bin/sh\n"},
		{Path: "etc/group", Body: "root:x:0:\n"},
		{Path: "home", Dir: true},
	}
	env := []string{"PATH=/usr/bin:/bin"}
	cpu := basetest.Write(t, dir+"/cpu", basetest.Image{Layers: [][]basetest.File{files}, Config: ocispecs.ImageConfig{Env: env}})
	basetest.Write(t, dir+"/cuda", basetest.Image{
		Layers: [][]basetest.File{files},
		Config: ocispecs.ImageConfig{Env: append(env, "NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_DRIVER_CAPABILITIES=compute,utility", "NVIDIA_REQUIRE_CUDA=cuda>=12.2")},
	})
	return cpu[0].String()
}

// writeAdvisories makes a database of published advisories.
func writeAdvisories(t testing.TB, dir string) {
	t.Helper()
	require.NoError(t, scantest.Write(t.Context(), dir))
}

// site is where python's packages are in the generated prefix; those of noarch packages are below site-packages.
const site = "site-packages/"

// linkerScript says what it was told and where it runs. Where there is no network, only lo is up.
const linkerScript = `test "$(cat "$PREFIX/share/linker.txt")" = before
interfaces=$(ls /sys/class/net 2>/dev/null || sed -n 's/^ *\\([^: ]*\\):.*/\\1/p' /proc/net/dev)
[ "$interfaces" = lo ] || [ -z "$interfaces" ] && network=none || network=$interfaces
echo "linked $PKG_NAME $PKG_VERSION in $PREFIX as $(id -u), network: $network" > "$PREFIX/share/linked.txt"
`

// packages are those of the generated channel. None is one of the sandbox's.
func packages() []condatest.Package {
	day := func(n int64) int64 { return 1_700_000_000_000 + n*86_400_000 }
	all := []condatest.Package{
		{
			Name: "python", Version: "3.11.9", Build: "h1_cpython", Timestamp: day(1), License: "Python-2.0", Depends: []string{"libnumber"},
			Files: []condatest.File{
				{Path: "bin/python3.11", Body: "\x7fELF, as good as python"},
				{Path: "bin/python", Link: "python3.11"},
				{Path: "lib/python3.11/os.py", Body: "name = 'posix'\n"},
				{Path: "lib/python3.11/_sysconfigdata.py", Body: "prefix = '" + condatest.Placeholder + "'\n", Prefix: condatest.Text},
			},
		},
		{
			Name: "libnumber", Build: "h0", Timestamp: day(2), License: "MIT",
			Files: []condatest.File{
				{Path: "lib/libnumber.so.1", Body: "\x7fELF\x00" + condatest.Placeholder + "/share/number\x00end\x00", Mode: 0o755, Prefix: condatest.Binary},
				{Path: "lib/libnumber.so", Link: "libnumber.so.1"},
				{Path: "bin/number-config", Body: "#!" + condatest.Placeholder + "/bin/python\nprint(1)\n", Prefix: condatest.Text},
			},
		},
		{Name: "libnumber", Version: "2.0", Build: "h0", Timestamp: day(3), License: "MIT", Files: []condatest.File{{Path: "lib/libnumber.so.2", Body: "\x7fELF"}}},
		{
			Name: "greeter", NoArch: conda.NoArchPython, Build: "py_0", Timestamp: day(4), License: "MIT", Format: condatest.TarBz2,
			Depends: []string{"python >=3.8"}, EntryPoints: []string{"greet = greeter:main"},
			Files: []condatest.File{{Path: site + "greeter/__init__.py", Body: "def main():\n    print('hello')\n"}},
		},
		{
			Name: "linker", Timestamp: day(5), License: "MIT", PostLink: linkerScript,
			Files: []condatest.File{{Path: "share/linker.txt", Body: "before\n"}},
		},
		{
			Name: "quitter", Timestamp: day(5), License: "MIT", PostLink: "echo 'I cannot go on' >&2\nexit 3\n",
			Files: []condatest.File{{Path: "share/quitter.txt", Body: "x\n"}},
		},
		{
			Name: "speaker", Timestamp: day(5), License: "MIT", PostLink: "echo 'Run speaker --setup first.' >> \"$PREFIX/.messages.txt\"\necho x > \"$PREFIX/share/spoken.txt\"\n",
			Files: []condatest.File{{Path: "share/speaker.txt", Body: "x\n"}},
		},
		{
			Name: "meddler", Timestamp: day(5), License: "MIT", PostLink: "echo 2 > \"$PREFIX/share/speaker.txt\"\nrm \"$PREFIX/share/meddler.txt\"\necho hi > /etc/motd\n", Depends: []string{"speaker"},
			PreLink: "exit 1\n", Files: []condatest.File{{Path: "share/meddler.txt", Body: "x\n"}},
		},
		{Name: "orphan", Timestamp: day(5), License: "MIT", Files: []condatest.File{
			{Path: "lib/liborphan.so.1", Body: sharedLibrary("libparent.so.1"), Mode: 0o755},
			{Path: "lib/libgpu.so", Body: sharedLibrary("libcuda.so.1"), Mode: 0o755},
			{Path: "lib/libwhole.so", Body: sharedLibrary("libc.so.6"), Mode: 0o755},
		}},
		{
			Name: "eraser", Timestamp: day(6), License: "MIT", PostLink: "rm \"$PREFIX\"/conda-meta/libnumber-*.json\n", Depends: []string{"libnumber"},
			Files: []condatest.File{{Path: "share/eraser.txt", Body: "x\n"}},
		},
		{
			Name: "forger", Timestamp: day(6), License: "MIT",
			PostLink: "echo '{\"name\":\"ghost\",\"version\":\"1.0\",\"build\":\"0\",\"build_number\":0,\"channel\":\"https://conda.example/channel\",\"subdir\":\"linux-64\",\"files\":[],\"depends\":[]}' > \"$PREFIX/conda-meta/ghost-1.0-0.json\"\n",
			Files:    []condatest.File{{Path: "share/forger.txt", Body: "x\n"}},
		},
		{Name: "libnumber", Version: "2.0", Build: "h1", Subdir: conda.LinuxAarch64, Timestamp: day(3), License: "MIT", Files: []condatest.File{{Path: "lib/libnumber.so.2", Body: "\x7fELF"}}},
		{Name: "pip", NoArch: conda.NoArchPython, Build: "py_0", Timestamp: day(4), License: "MIT", Depends: []string{"python"}},
		{
			Name: "jdk", Version: "17.0", Timestamp: day(7), License: "MIT", Files: []condatest.File{
				{Path: "lib/jvm/bin/java", Body: "#!/bin/sh\necho java of $JAVA_HOME\n", Mode: 0o755},
				{Path: "etc/conda/activate.d/jdk.sh", Body: "export JAVA_HOME_CONDA_BACKUP=\"${JAVA_HOME:-}\"\nexport JAVA_HOME=\"$CONDA_PREFIX/lib/jvm\"\nexport PATH=\"$JAVA_HOME/bin:$PATH\"\necho \"Java is $JAVA_HOME, for $GREETING\"\n"},
				{Path: "etc/conda/env_vars.d/jdk.json", Body: `{"JDK_FLAVOUR": "vanilla", "GREETING": "from a file"}`},
			},
		},
		{
			Name: "threads", Timestamp: day(7), License: "MIT", Files: []condatest.File{
				{Path: "etc/conda/activate.d/threads.sh", Body: "export THREADS=\"$(nproc) of $(id -u)\"\n"},
			},
		},
		{
			Name: "leaver", Timestamp: day(7), License: "MIT", Files: []condatest.File{
				{Path: "etc/conda/activate.d/leaver.sh", Body: "export LEFT=1\nexit 3\n"},
			},
		},
		{Name: "tini", Timestamp: day(7), License: "MIT", Files: []condatest.File{{Path: "bin/tini", Body: "#!/bin/sh\n# as good as tini\nshift\nexec \"$@\"\n", Mode: 0o755}}},
		{Name: "old-number", Timestamp: day(7), Depends: []string{"libnumber 1.*"}},
		{Name: "new-number", Timestamp: day(7), Depends: []string{"libnumber 2.*"}},
		{Name: "from-the-future", Timestamp: day(7), Depends: []string{"__glibc >=9"}},
		{Name: "matrix", Build: "cuda12_0", BuildNumber: 1, Timestamp: day(8), License: "MIT", Depends: []string{"__cuda >=12.0"}, Files: []condatest.File{{Path: "lib/libmatrix.so", Body: "cuda"}}},
		{Name: "matrix", Build: "cpu_0", Timestamp: day(8), License: "MIT", Files: []condatest.File{{Path: "lib/libmatrix.so", Body: "cpu"}}},
		{Name: "fast-tool", Build: "cuda12_0", Timestamp: day(8), License: "MIT", Files: []condatest.File{{Path: "bin/fast-tool", Body: "tool"}}},
		{Name: "newest-driver", Build: "cuda13_0", Timestamp: day(8), License: "MIT", Depends: []string{"__cuda >=13.0"}},
	}
	for _, v := range []string{"2.28.1", "2.31.0"} {
		all = append(all, condatest.Package{
			Name: "requests", Version: v, NoArch: conda.NoArchPython, Build: "pyhd_0", Timestamp: day(9), License: "Apache-2.0", Depends: []string{"python >=3.7"},
			Files: []condatest.File{
				{Path: site + "requests/__init__.py", Body: "__version__ = '" + v + "'\n"},
				{Path: site + "requests-" + v + ".dist-info/METADATA", Body: "Metadata-Version: 2.1\nName: requests\nVersion: " + v + "\nLicense: Apache 2.0\n"},
				{Path: site + "requests-" + v + ".dist-info/RECORD", Body: "requests/__init__.py,,\n"},
				{Path: site + "requests-" + v + ".dist-info/INSTALLER", Body: "conda\n"},
			},
		})
	}
	return all
}
