package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/anchore/packageurl-go"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/archive"
	"github.com/datalayer/conda2docker/conda/lock"
	"github.com/datalayer/conda2docker/examples/sandbox"
)

// makeSandbox is the sandbox that the examples run in; where "make sandbox" has made it already, this is quick.
func makeSandbox(t *testing.T) *sandbox.Sandbox {
	t.Helper()
	cache, err := sandbox.Cache()
	require.NoError(t, err)
	made, err := sandbox.Make(t.Context(), sandbox.Options{Dir: filepath.Join(cache, "sandbox"), Mirror: os.Getenv("DEBIAN_MIRROR"), Log: t.Logf})
	require.NoError(t, err)
	return made
}

// TestSandboxScript runs the scripts that execute something in the image: their packages are generated, and their base is Debian.
func TestSandboxScript(t *testing.T) {
	t.Parallel()
	made := makeSandbox(t)
	db := t.TempDir()
	writeAdvisories(t, db)
	testscript.Run(t, testscript.Params{
		Dir:                "testdata/sandbox",
		UpdateScripts:      *update,
		RequireUniqueNames: true,
		Cmds:               scriptCommands(),
		Setup: func(env *testscript.Env) error {
			return newWorld(env, settingsFile{CPU: made.Base(), CUDA: made.CUDABase(), DB: db})
		},
	})
}

// TestExamples builds examples as they are, and looks into what is pushed. They share what they have in common.
func TestExamples(t *testing.T) {
	t.Parallel()
	made := makeSandbox(t)
	served, err := made.Serve(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, served.Close()) })
	s := &exampleRun{cache: t.TempDir(), sandbox: made, served: served}
	t.Run("xarray", func(t *testing.T) { checkXarray(t, s) })
	t.Run("pip", func(t *testing.T) { checkPip(t, s) })
	t.Run("profile", func(t *testing.T) { checkProfile(t, s) })
}

// exampleRun is what the builds of examples share.
type exampleRun struct {
	cache   string
	sandbox *sandbox.Sandbox
	served  *sandbox.Server
}

// exampleBuild is one build of an example.
type exampleBuild struct {
	environment, overlay string   // files
	index                string   // of Python packages, in the settings
	env                  []string // variables of the program's environment
	texts                []string // to be looked for in the image
	args                 []string // flags, besides those that all builds have
	lock, cache          string   // other than those of all
	fails                bool     // so that there is nothing but what it says
}

// exampleImage is what a build of an example has made.
type exampleImage struct {
	image  v1.Image
	config *v1.ConfigFile
	imageContent
	records  []*conda.Record // of the lock
	dir      string          // with manifest, lock and evidence
	stderr   string
	manifest string
}

// build runs the program on an environment as a user would, pulls what its manifest names, and looks for texts in it.
func (s *exampleRun) build(t *testing.T, b exampleBuild) exampleImage {
	t.Helper()
	out := exampleImage{dir: t.TempDir()}
	registry := newRegistry(t)
	settings := settingsFile{
		CPU: s.sandbox.Base(), CUDA: s.sandbox.CUDABase(), DB: s.sandbox.Advisories(), Index: b.index, Bytecode: true,
		Mirrors: map[string][]string{"https://conda.anaconda.org/conda-forge": {s.served.ChannelURL}},
	}
	config, condarc := filepath.Join(t.TempDir(), "settings.yaml"), filepath.Join(t.TempDir(), "condarc")
	require.NoError(t, settings.write(config))
	require.NoError(t, os.WriteFile(condarc, []byte("{}\n"), 0o600))
	manifest, locked := filepath.Join(out.dir, "final.yaml"), cmp.Or(b.lock, filepath.Join(out.dir, "conda-lock.yml"))
	cmd := exec.CommandContext(t.Context(), "conda2docker", "build", "--progress", "plain", "--push", "--overlay", b.overlay,
		"--manifest", manifest, "--lock", locked, "--evidence", filepath.Join(out.dir, "evidence"), b.environment)
	cmd.Args = append(cmd.Args, b.args...)
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "CONDARC=" + condarc,
		"CONDA2DOCKER_CONFIG=" + config, "CONDA2DOCKER_CACHE=" + cmp.Or(b.cache, s.cache), "DATALAYER_DOCKER_REGISTRY=" + registry.host,
	}, b.env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	out.stderr = stderr.String()
	if b.fails {
		require.Error(t, err)
		return out
	}
	require.NoError(t, err, "%s", &stderr)
	require.Empty(t, stdout.String())

	body, err := os.ReadFile(manifest)
	require.NoError(t, err)
	out.manifest = string(body)
	pinned := regexp.MustCompile(`(?m)^  dockerImage: (\S+@sha256:\S+)$`).FindStringSubmatch(out.manifest)
	require.NotNil(t, pinned, out.manifest)
	ref, err := name.NewDigest(pinned[1])
	require.NoError(t, err)
	out.image, err = remote.Image(ref)
	require.NoError(t, err)
	require.NoError(t, validate.Image(out.image))
	inspected, err := exec.CommandContext(t.Context(), "skopeo", "inspect", "--tls-verify=false", "docker://"+ref.Name()).CombinedOutput()
	require.NoError(t, err, "%s", inspected)
	require.Contains(t, string(inspected), ref.DigestStr())
	out.config, err = out.image.ConfigFile()
	require.NoError(t, err)
	l, err := lock.ReadFile(locked, lock.Options{})
	require.NoError(t, err)
	out.records, err = l.Records(conda.Linux64)
	require.NoError(t, err)
	out.imageContent = readImage(t, out.image, append(b.texts, prefix, placeholderBegins)...)
	return out
}

func checkXarray(t *testing.T, s *exampleRun) {
	example := filepath.Join("..", "..", "examples", "xarray")
	made := s.build(t, exampleBuild{environment: filepath.Join(example, "environment.yml"), overlay: filepath.Join(example, "runtime.yaml"), index: s.served.IndexURL})
	require.Greater(t, len(made.records), 50)
	checkListed(t, made)
	checkInhabitants(t, made)
	checkAdditions(t, s, made)
	checkPrefixes(t, s, made)
	require.NotContains(t, made.stderr, "pip section")
}

// checkListed holds that each SBOM has every package of the lock exactly once, with its PURL, and no other conda package.
func checkListed(t *testing.T, made exampleImage) {
	t.Helper()
	var want []string
	for _, r := range made.records {
		kind := "conda"
		if strings.HasSuffix(r.FileName, ".tar.bz2") {
			kind = "tar.bz2"
		}
		want = append(want, strings.Join([]string{string(r.Name), r.Version.String(), r.Build, "conda-forge", string(r.Subdir), kind}, " "))
	}
	slices.Sort(want)
	documents := purlsOf(t, made)
	require.Len(t, documents, 3)
	for file, purls := range documents {
		var got []string
		for _, p := range purls {
			if !strings.HasPrefix(p, "pkg:conda/") {
				continue
			}
			parsed, err := packageurl.FromString(p)
			require.NoError(t, err)
			q := parsed.Qualifiers.Map()
			got = append(got, strings.Join([]string{parsed.Name, parsed.Version, q["build"], q["channel"], q["subdir"], q["type"]}, " "))
		}
		slices.Sort(got)
		require.Equal(t, want, got, file)
	}
}

// purlsOf are the PURLs of the packages in each SBOM, by the SBOM's file.
func purlsOf(t *testing.T, made exampleImage) map[string][]string {
	t.Helper()
	read := func(file string, into any) {
		b, err := os.ReadFile(filepath.Join(made.dir, "evidence", file))
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(b, into))
	}
	var spdx struct {
		SPDXVersion string `json:"spdxVersion"`
		Packages    []struct {
			ExternalRefs []struct {
				Type    string `json:"referenceType"`
				Locator string `json:"referenceLocator"`
			} `json:"externalRefs"`
		} `json:"packages"`
	}
	var cyclonedx struct {
		Format     string `json:"bomFormat"`
		Components []struct {
			PURL string `json:"purl"`
		} `json:"components"`
	}
	var syft struct {
		Artifacts []struct {
			PURL string `json:"purl"`
		} `json:"artifacts"`
	}
	read("sbom.spdx.json", &spdx)
	read("sbom.cdx.json", &cyclonedx)
	read("sbom.syft.json", &syft)
	require.Equal(t, "SPDX-2.3", spdx.SPDXVersion)
	require.Equal(t, "CycloneDX", cyclonedx.Format)
	out := map[string][]string{}
	for _, p := range spdx.Packages {
		for _, r := range p.ExternalRefs {
			if r.Type == "purl" {
				out["sbom.spdx.json"] = append(out["sbom.spdx.json"], r.Locator)
			}
		}
	}
	for _, c := range cyclonedx.Components {
		out["sbom.cdx.json"] = append(out["sbom.cdx.json"], c.PURL)
	}
	for _, a := range syft.Artifacts {
		out["sbom.syft.json"] = append(out["sbom.syft.json"], a.PURL)
	}
	return out
}

// checkInhabitants holds who the image runs as, and that this user cannot change the environment.
func checkInhabitants(t *testing.T, made exampleImage) {
	t.Helper()
	c := made.config.Config
	require.Equal(t, "1000:100", c.User)
	require.Equal(t, "/home/conda", c.WorkingDir)
	require.Contains(t, c.Env, "PATH=/opt/conda/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	require.Contains(t, c.Env, "CONDA_PREFIX=/opt/conda")
	require.Contains(t, c.Env, "HOME=/home/conda")
	require.Contains(t, "\n"+made.body(t, "/etc/passwd"), "\nconda:x:1000:100::/home/conda:/bin/bash\n")
	require.Contains(t, made.body(t, "/etc/group"), ":100:")
	home := made.files["/home/conda"]
	require.NotNil(t, home)
	require.Equal(t, []int64{1000, 0, 0o775}, []int64{int64(home.header.Uid), int64(home.header.Gid), home.header.Mode})

	prefixed := 0
	for at, f := range made.files {
		if at != prefix && !strings.HasPrefix(at, prefix+"/") {
			continue
		}
		prefixed++
		require.Equal(t, []int{0, 0}, []int{f.header.Uid, f.header.Gid}, at)
		if !f.isSymlink() {
			require.Zero(t, f.header.Mode&0o6022, "%s has mode %o", at, f.header.Mode)
		}
	}
	require.Greater(t, prefixed, 5000)
	for _, r := range made.records {
		require.NotNil(t, made.files[prefix+"/conda-meta/"+r.Dist()+".json"], r.Dist())
	}
}

// checkAdditions holds that outside the prefix nothing is in the image but what its base has, and the user.
func checkAdditions(t *testing.T, s *exampleRun, made exampleImage) {
	t.Helper()
	index, err := layout.ImageIndexFromPath(s.sandbox.Base())
	require.NoError(t, err)
	manifest, err := index.IndexManifest()
	require.NoError(t, err)
	base, err := index.Image(manifest.Manifests[0].Digest)
	require.NoError(t, err)
	before := readImage(t, base).files
	var added, changed []string
	for at, f := range made.files {
		old, ok := before[at]
		switch {
		case strings.HasPrefix(at, prefix):
		case !ok:
			added = append(added, at)
		case old.sum != f.sum:
			changed = append(changed, at)
		}
	}
	slices.Sort(added)
	slices.Sort(changed)
	require.Equal(t, []string{"/home/conda"}, added)
	require.Equal(t, []string{"/etc/passwd"}, changed)
	for at := range before {
		require.NotNil(t, made.files[at], "%s is gone", at)
	}
}

// placeholderBegins is how the prefixes begin that the sandbox's packages say to have been built in.
const placeholderBegins = "/home/builder/conda-bld/"

// checkPrefixes holds that every file that a package says to hold the prefix that it was built in holds the image's in its place, and
// that no file of the image has a trace of the former.
func checkPrefixes(t *testing.T, s *exampleRun, made exampleImage) {
	t.Helper()
	replaced := map[string]int{}
	for _, r := range made.records {
		for _, p := range pathsOf(t, filepath.Join(s.cache, "archives", r.SHA256+"-"+r.FileName)) {
			if p.Placeholder == "" {
				continue
			}
			require.True(t, strings.HasPrefix(p.Placeholder, placeholderBegins), p.Placeholder)
			at := prefix + "/" + p.Path
			if rest, ok := strings.CutPrefix(p.Path, "site-packages/"); ok && r.NoArch == conda.NoArchPython {
				at = prefix + "/lib/python3.11/site-packages/" + rest
			}
			f := made.files[at]
			require.NotNil(t, f, at)
			require.True(t, f.holds[prefix], "%s of %s does not name the prefix", at, r.Dist())
			if p.Mode == "binary" {
				require.Equal(t, p.Size, f.header.Size, at)
			}
			replaced[string(r.Name)+" "+p.Mode]++
		}
	}
	require.NotZero(t, replaced["openssl binary"], replaced)
	require.NotZero(t, replaced["python text"], replaced)
	for at, f := range made.files {
		if path.Dir(at) != prefix+"/conda-meta" { // conda's records say what was replaced
			require.False(t, f.holds[placeholderBegins], at)
		}
	}
}

// packagePath is an entry of a package's info/paths.json (CEP 34).
type packagePath struct {
	Path        string `json:"_path"`
	Placeholder string `json:"prefix_placeholder"`
	Mode        string `json:"file_mode"`
	Size        int64  `json:"size_in_bytes"`
}

func pathsOf(t *testing.T, file string) []packagePath {
	t.Helper()
	r, err := archive.Open(file, archive.Options{})
	require.NoError(t, err)
	defer r.Close()
	var out struct {
		Paths []packagePath `json:"paths"`
	}
	require.NoError(t, r.Info(t.Context(), func(e archive.Entry, body io.Reader) error {
		if e.Path != "info/paths.json" {
			return nil
		}
		return json.NewDecoder(body).Decode(&out)
	}))
	return out.Paths
}
