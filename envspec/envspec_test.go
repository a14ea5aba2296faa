package envspec

import (
	"encoding/json"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/datalayer/conda2docker/conda"
)

func TestSelectorValues(t *testing.T) {
	t.Parallel()
	tests := []struct {
		expr, subdirs string // the platforms for which it holds
	}{
		{"linux", "linux-64 linux-aarch64 linux-ppc64le"},
		{"unix", "linux-64 linux-aarch64 linux-ppc64le osx-64 osx-arm64"},
		{"linux64", "linux-64"},
		{"osx64", "osx-64"},
		{"win64", "win-64"},
		{"x86_64", "linux-64 osx-64 win-64"},
		{"x86", "linux-64 osx-64 win-64 win-32"},
		{"aarch64", "linux-aarch64"},
		{"arm64", "osx-arm64"},
		{"ppc64le", "linux-ppc64le"},
		{"not win", "linux-64 linux-aarch64 linux-ppc64le osx-64 osx-arm64"},
		{"linux and not x86_64", "linux-aarch64 linux-ppc64le"},
		{"win or osx and arm64", "win-64 win-32 osx-arm64"},
		{"(win or osx) and x86_64", "win-64 osx-64"},
		{"not (win or osx)", "linux-64 linux-aarch64 linux-ppc64le"},
	}
	for _, tt := range tests {
		t.Run(tt.expr, func(t *testing.T) {
			t.Parallel()
			for _, subdir := range []string{"linux-64", "linux-aarch64", "linux-ppc64le", "osx-64", "osx-arm64", "win-64", "win-32"} {
				got, err := evalSelector(tt.expr, func(n string) (bool, bool) { return selectorValue(n, conda.Subdir(subdir)) })
				require.NoError(t, err)
				require.Equal(t, strings.Contains(" "+tt.subdirs+" ", " "+subdir+" "), got, subdir)
			}
		})
	}
	for _, bad := range []string{"", "linux and", "py", "linux win", "(linux", "linux)", "np == 1", strings.Repeat("not ", 200) + "win"} {
		_, err := evalSelector(bad, func(n string) (bool, bool) { return selectorValue(n, conda.Linux64) })
		require.Error(t, err, bad)
	}
}

func TestCommentStart(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"  - a  # [win]":           "# [win]",
		"  - a#b":                  "",
		"  - \"a # [win]\"  # b":   "# b",
		"  - 'it''s # x'":          "",
		"  - it's # [linux]":       "# [linux]",
		`  - "a\" # b" # c`:        "# c",
		"# all":                    "# all",
		"key: 'open # until later": "",
	} {
		got := ""
		if i := commentStart(line); i >= 0 {
			got = line[i:]
		}
		require.Equal(t, want, got, line)
	}
}

func TestRedact(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"https://user:pass@host/x":              "https://***@host/x",
		"https://host/t/TOKEN/chan":             "https://host/t/***/chan",
		"https://host/t/${TOKEN}/chan":          "https://host/t/${TOKEN}/chan",
		"https://${USER}:${PASS}@host/chan":     "https://${USER}:${PASS}@host/chan",
		"https://u:p@host/t/a/x, https://b@c/":  "https://***@host/t/***/x, https://***@c/",
		"https://host/it/works, mail a@b.c":     "https://host/it/works, mail a@b.c",
		"https://user:${PASS}word@host/t/a/x/t": "https://***@host/t/***/x/t",
	} {
		require.Equal(t, want, redact(in))
	}
}

// No error and no warning shows a secret, wherever it is.
func TestSecretsAreNeverShown(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	vars := func(name string) string { return map[string]string{"TOKEN": secret}[name] }
	for _, text := range []string{
		"channels: ['https://u:hunter2@h/c', 7]\n",
		"channels: [https://h/t/hunter2/c, 7]\n",
		"channels: ['https://h/t/${TOKEN}/c', 7]\n",
		"channels: [https://h/t/${TOKEN}/${MISSING}]\n",
		"channels: 'https://u:hunter2@h/c'\n",
		"dependencies: [pip: [--index-url https://u:hunter2@h/simple, --bogus https://u:hunter2@h]]\n",
		"channels: ['http://us er:hunter2@h/c']\n",
		"channels: ['//user:hunter2@h/c']\n",
		"channels: ['https://u:p@ss@hunter2@h/c', 7]\n",
		"dependencies: ['//user:hunter2@h/c::a']\n",
		"dependencies: ['http://us er:hunter2@h/c::[']\n",
		"dependencies: ['http://h/linux-64/a-1.0-0.conda?X-Amz=hunter2']\n",
		"dependencies: ['http://h/linux-64/a-1.0-0.conda?hunter2=x&y=hunter2']\n",
		"dependencies: [pip: [--proxy https://u:hunter2@h]]\n",
		"dependencies: [pip: ['https://u:hunter2@h/x.whl']]\n",
		"dependencies: [pip: ['--index-url https://${TOKEN}:${MISSING}@h']]\n",
		"dependencies: ['https://u:hunter2@h/t/hunter2/c::x[']\n",
		"dependencies: {a: 'https://u:hunter2@h'}\n",
		"'https://u:hunter2@h': 1\n",
		"a: \"https://u:hunter2@h\n",
	} {
		_, warnings, err := ParseEnvironment([]File{{Path: "e.yml", Data: []byte(text)}}, Options{Getenv: vars})
		require.Error(t, err, text)
		require.NotContains(t, err.Error(), secret, text)
		if strings.Contains(text, ".conda?") {
			require.ErrorContains(t, err, "the URL of a package may have no query")
		}
		for _, w := range warnings {
			require.NotContains(t, w.String(), secret, text)
		}
	}
}

func TestErrorsHaveTheirPlace(t *testing.T) {
	t.Parallel()
	_, _, err := ParseEnvironment([]File{{Path: "dir/e.yml", Data: []byte("dependencies:\n  - pip: [-e .]\n")}}, Options{})
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, Position{File: "dir/e.yml", Line: 2, Column: 11}, e.Position)

	_, _, err = ParseEnvironment([]File{{Path: "e.yml", Data: []byte("dependencies:\n  - pip: [-r gone.txt]\n")}},
		Options{ReadFile: func(string) ([]byte, error) { return nil, fs.ErrNotExist }})
	require.ErrorIs(t, err, fs.ErrNotExist)

	_, _, err = ParseEnvironment(nil, Options{})
	require.EqualError(t, err, "no environment file is given")

	_, err = ReadFile(filepath.Join(t.TempDir(), "none.yml"))
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// The caret is below the place, whatever is before it on the line.
func TestCaret(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"dependencies: [a, {npm: []}]",
		"dependencies: ['häßlich', {npm: []}]",
		"dependencies: [a,\t{npm: []}]",
		"dependencies: [a, {npm: []}] # https://user:password@host",
		"\uFEFFdependencies: [a, {npm: []}]",
	} {
		_, _, err := ParseEnvironment([]File{{Path: "e.yml", Data: []byte(text)}}, Options{})
		require.Error(t, err, text)
		if !strings.Contains(err.Error(), "npm") || strings.Contains(text, "ß") {
			continue // a name that is refused before
		}
		lines := strings.Split(err.Error(), "\n")
		require.Len(t, lines, 3)
		require.Equal(t, strings.Index(lines[1], "npm"), strings.Index(lines[2], "^"), err.Error())
	}
}

func TestCharactersThatAreNotYAML(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"name: caf\xe9\n":                   "e.yml:1:10: this byte (0xe9) is not UTF-8: save the file as UTF-8",
		"a: b\nname: \x1b[0m\n":             "e.yml:2:7: the control character U+001B is not allowed in YAML",
		"\xff\xfen\x00a\x00m\x00e\x00:\x00": "e.yml:1:1: the file is UTF-16, as PowerShell writes it: save it as UTF-8",
	} {
		_, _, err := ParseEnvironment([]File{{Path: "e.yml", Data: []byte(text)}}, Options{})
		require.Error(t, err)
		require.Equal(t, want, strings.SplitN(err.Error(), "\n", 2)[0])
		require.NotContains(t, err.Error(), "\x1b")
	}
}

func TestExcerpt(t *testing.T) {
	t.Parallel()
	long := "dependencies: [" + strings.Repeat("a, ", 1000) + "{npm: []}" + strings.Repeat(", b", 1000) + "]"
	_, _, err := ParseEnvironment([]File{{Path: "e.yml", Data: []byte(long)}}, Options{})
	require.Error(t, err)
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 3)
	require.Len(t, []rune(lines[1]), len("    1 | ")+excerptWidth)
	at := strings.IndexByte(lines[2], '^')
	require.Equal(t, "npm", string([]rune(lines[1])[at:at+3]), err.Error())
}

// What is asked for twice is asked for once.
func TestDependencyRepeated(t *testing.T) {
	t.Parallel()
	files := []File{
		{Path: "a.yml", Data: []byte("dependencies: [numpy >=1.2, python, numpy>=1.2]")},
		{Path: "b.yml", Data: []byte("dependencies: [python, numpy]")},
	}
	env, _, err := ParseEnvironment(files, Options{})
	require.NoError(t, err)
	var got []string
	for _, d := range env.Dependencies {
		got = append(got, d.Text)
	}
	require.Equal(t, []string{"numpy >=1.2", "python", "numpy"}, got)
}

func TestRequirements(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"requests":                                "requests",
		"Ruamel.YAML_x":                           "ruamel-yaml-x",
		"a[b,c-d]>=1,<2":                          "a",
		"a (>=1)":                                 "a",
		"a ~= 1.4.2 ; python_version < '3.9'":     "a",
		"a ; sys_platform == 'win32'":             "a",
		"a @ https://host/a-1.0-py3-none-any.whl": "a",
		"a==1.0.*,!=1.0.3+local":                  "a",
	} {
		name, _, err := parseRequirement(text)
		require.NoError(t, err, text)
		require.Equal(t, want, name)
	}
	for _, text := range []string{
		"", "=1", "a=1", "a >", "a b", ".", "./a", "/a", "~/a", "a/b", "file:///a", "https://h/a.whl",
		"git+https://h/a", "a @ git+ssh://h/a", "a @ file:///a", "a @", "-a",
	} {
		_, _, err := parseRequirement(text)
		require.Error(t, err, text)
	}
}

// TestLocalRequirements holds what is a path, as pip tells it from a name, and that an absolute one is written as a relative one.
func TestLocalRequirements(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		".": true, "./a": true, "/a": true, "a/b": true, "a.whl": true, "a-1.tar.gz": true, "a.zip[x]": true, "file:///a": true, "a @ file:///a": true,
		"a": false, "a @ https://h/a.whl": false, "https://h/a.whl": false, "git+https://h/a": false, "a>=1 ; x == 'b/c'": false,
	} {
		require.Equal(t, want, isLocal(text), text)
	}
	dir := t.TempDir()
	for line, want := range map[string]Requirement{
		dir + "/a":                    {Text: "a", Local: dir + "/a", after: ""},
		"file://" + dir + "/b%20c":    {Text: "b c", Local: dir + "/b c"},
		"d[x] @ file://" + dir + "/d": {Name: "d", Text: "d[x] @ file:d", Local: dir + "/d", before: "d[x] @ file://"},
		dir + "/e-1-py3-none-any.whl[y] --hash=sha256:01": {
			Name: "e", Text: "e-1-py3-none-any.whl[y]", Local: dir + "/e-1-py3-none-any.whl", after: "[y]", Hashes: []string{"sha256:01"},
		},
	} {
		body, err := yaml.Marshal(map[string]any{"dependencies": []any{"pip", map[string]any{"pip": []string{line}}}})
		require.NoError(t, err)
		env, _, err := ParseEnvironment([]File{{Path: dir + "/environment.yml", Data: body}}, Options{})
		require.NoError(t, err, line)
		require.Len(t, env.Pip, 1)
		got := env.Pip[0]
		got.Position, got.line = Position{}, ""
		want.Direct = true
		require.Equal(t, want, got, line)
		require.NotContains(t, strings.Join(env.Request(RequestInput{}), "\n"), dir)
	}
}

func TestWantsCUDA(t *testing.T) {
	t.Parallel()
	tests := []struct{ yml, text string }{
		{"dependencies: [python, numpy]", ""},
		{"dependencies: [python, 'cuda-cudart=12']", "cuda-cudart=12"},
		{"dependencies: [cudatoolkit=11.8]", "cudatoolkit=11.8"},
		{"dependencies: ['cudatoolkit >=11,<12']", "cudatoolkit >=11,<12"},
		{"dependencies: [pytorch-gpu]", "pytorch-gpu"},
		{"dependencies: [pytorch-cuda=12.1]", "pytorch-cuda=12.1"},
		{"dependencies: [tensorflow-gpu]", "tensorflow-gpu"},
		{"dependencies: [faiss-gpu]", "faiss-gpu"},
		{"dependencies: [cupy]", "cupy"},
		{"dependencies: [libcublas-dev]", "libcublas-dev"},
		{"dependencies: ['jaxlib=*=*cuda*']", "jaxlib=*=*cuda*"},
		{"dependencies: ['pytorch=2.1=*_cuda118*']", "pytorch=2.1=*_cuda118*"},
		{"dependencies: ['pytorch=*=*cpu*']", ""},
		{"dependencies: [pytorch, cpuonly]", ""},
		{"dependencies: [cudf]", "cudf"},
		{"dependencies: [barracuda, libcurl, cudaless]", ""},
		{"dependencies: ['nvidia::nsight']", "nvidia::nsight"},
		{"channels: [nvidia, conda-forge]\ndependencies: [python]", "nvidia"},
		{"channels: [nvidia/label/cuda-12.1.0]\ndependencies: [python]", "nvidia/label/cuda-12.1.0"},
		{"channels: ['https://conda.anaconda.org/nvidia/']\ndependencies: [python]", "https://conda.anaconda.org/nvidia/"},
		{"dependencies: [pip, {pip: ['jax[cuda12]']}]", "jax[cuda12]"},
		{"dependencies: [pip, {pip: ['torch==2.1+cu118']}]", "torch==2.1+cu118"},
		{"dependencies: [pip, {pip: [onnxruntime-gpu]}]", "onnxruntime-gpu"},
		{
			"dependencies: [pip, {pip: [torch, --extra-index-url https://download.pytorch.org/whl/cu121]}]",
			"--extra-index-url https://download.pytorch.org/whl/cu121",
		},
		{"dependencies: [pip, {pip: [torch, --extra-index-url https://download.pytorch.org/whl/cpu]}]", ""},
	}
	for _, tt := range tests {
		t.Run(tt.yml, func(t *testing.T) {
			t.Parallel()
			env, _, err := ParseEnvironment([]File{{Path: "e.yml", Data: []byte(tt.yml)}}, Options{})
			require.NoError(t, err)
			hint, ok := env.WantsCUDA()
			require.Equal(t, tt.text != "", ok)
			require.Equal(t, tt.text, hint.Text)
			if ok {
				require.NotZero(t, hint.Position.Line)
				require.NotEmpty(t, hint.Reason)
			}
		})
	}
}

func parse(t *testing.T, yml string) Environment {
	t.Helper()
	env, _, err := ParseEnvironment([]File{{Path: "e.yml", Data: []byte(yml)}}, Options{Getenv: func(string) string { return "s3cret" }})
	require.NoError(t, err)
	return env
}

func TestRequest(t *testing.T) {
	t.Parallel()
	forge := conda.Channel{Name: "conda-forge", URL: "https://conda.anaconda.org/conda-forge"}
	bio := conda.Channel{Name: "bioconda", URL: "https://conda.anaconda.org/bioconda"}
	in := RequestInput{Channels: []conda.Channel{forge, bio}, Subdir: conda.Linux64, Priority: "strict"}
	const yml = "name: a\ndependencies: [python=3.11, numpy, pip, {pip: ['-i https://me:open-sesame@h/simple', '-f https://${TOKEN}@h', b, a]}]\n"
	want := []string{
		"subdir linux-64", "priority strict", "channel https://conda.anaconda.org/conda-forge", "channel https://conda.anaconda.org/bioconda",
		"spec numpy", "spec pip", "spec python=3.11", "pip a", "pip b", "option --index-url https://***@h/simple", "option --find-links https://${TOKEN}@h",
	}
	require.Equal(t, want, parse(t, yml).Request(in))

	same := map[string]string{
		"order, comments, quotes": "dependencies: # c\n  - numpy\n  - pip\n  - 'python=3.11'\n  - pip:\n    - a\n    - --index-url=https://me:other@h/simple\n    - -f https://${TOKEN}@h\n    - b\n    - b\n",
		"name and variables":      "name: other\nvariables: {A: b}\ncategory: c\n" + yml[len("name: a\n"):],
	}
	for name, text := range same {
		require.Equal(t, want, parse(t, text).Request(in), name)
	}
	env, _, err := ParseEnvironment([]File{{Data: []byte(yml)}}, Options{Getenv: func(string) string { return "another" }})
	require.NoError(t, err)
	require.Equal(t, want, env.Request(in), "another token")

	different := map[string]func(*RequestInput){
		"channel order": func(i *RequestInput) { i.Channels = []conda.Channel{bio, forge} },
		"channels":      func(i *RequestInput) { i.Channels = i.Channels[:1] },
		"platform":      func(i *RequestInput) { i.Subdir = conda.LinuxAarch64 },
		"priority":      func(i *RequestInput) { i.Priority = "flexible" },
	}
	for name, change := range different {
		other := in
		change(&other)
		require.NotEqual(t, want, parse(t, yml).Request(other), name)
	}
	for old, fresh := range map[string]string{"3.11": "3.12", "numpy": "pandas", " b, a": " b", "/simple": "/other", "-i ": "--extra-index-url "} {
		require.NotEqual(t, want, parse(t, strings.Replace(yml, old, fresh, 1)).Request(in), fresh)
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	ref, err := name.NewDigest("localhost:5000/demo@" + testDigest)
	require.NoError(t, err)
	tests := []struct {
		name, yml                    string
		opts                         NewOptions
		wantName, wantTitle, wantLng string
	}{
		{"named by its file", "name: My_Env\ndependencies: [python]", NewOptions{DockerImage: "localhost:5000/demo:1", GPU: true}, "my-env", "My_Env", "python"},
		{"named by option", "name: e\ndependencies: [r-base, r-dplyr]", NewOptions{Name: "R: 4", DockerImage: "demo"}, "r-4", "R: 4", "r"},
		{"not named", "dependencies: [r-base, python]", NewOptions{DockerImage: "demo"}, "environment", "environment", "python"},
		{"yaml's own words", "name: 'true'\ndependencies: []", NewOptions{DockerImage: "demo"}, "true", "true", "python"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o, err := New(parse(t, tt.yml), tt.opts)
			require.NoError(t, err)
			require.Equal(t, tt.wantName, o.Name())
			require.Equal(t, tt.wantTitle, o.Title())
			require.Equal(t, tt.wantLng, o.Language())
			require.Equal(t, tt.opts.GPU, o.GPUs())
			require.Equal(t, tt.opts.DockerImage, o.DockerImage())
			require.Empty(t, o.Warnings())
			pinned, err := o.Pin(ref, nil)
			require.NoError(t, err)
			again, err := ParseOverlay(File{Path: "p.yaml", Data: pinned}, nil)
			require.NoError(t, err)
			require.Equal(t, "localhost:5000/demo@"+testDigest, again.DockerImage())
		})
	}
	_, err = New(Environment{}, NewOptions{Name: "a"})
	require.ErrorContains(t, err, "spec.dockerImage is empty")
	require.Equal(t, strings.Repeat("a", 63), resourceName(strings.Repeat("a", 70)))
}

func TestPinNeedsADigest(t *testing.T) {
	t.Parallel()
	o, err := New(Environment{Name: "a"}, NewOptions{DockerImage: "demo"})
	require.NoError(t, err)
	_, err = o.Pin(name.Digest{}, nil)
	require.ErrorContains(t, err, "no digest")

	// A digest that was written with a tag is pinned without it.
	ref, err := name.NewDigest("registry.example.org/demo:1.0@" + testDigest)
	require.NoError(t, err)
	pinned, err := o.Pin(ref, nil)
	require.NoError(t, err)
	require.Contains(t, string(pinned), "dockerImage: registry.example.org/demo@sha256:")
}

func TestAnnotationValues(t *testing.T) {
	t.Parallel()
	o, err := New(Environment{Name: "a"}, NewOptions{DockerImage: "demo"})
	require.NoError(t, err)
	ref, err := name.NewDigest("demo@" + testDigest)
	require.NoError(t, err)
	annotations := map[string]string{
		"json": `{"a":"b\\c"}`, "lines": "a\nb\n", "empty": "", "number": "007", "bool": "true", "odd: key": "é\u2028\x00\t", "y": "# no comment",
	}
	pinned, err := o.Pin(ref, annotations)
	require.NoError(t, err)
	docs, err := parseYAML(string(pinned))
	require.NoError(t, err)
	got := map[string]string{}
	require.NoError(t, child(child(docs[0], "metadata"), "annotations").Decode(&got))
	require.Equal(t, annotations, got)
}

func TestPlainWord(t *testing.T) {
	t.Parallel()
	for _, v := range []string{"demo", "a/b:1.0", "a@" + testDigest, "localhost:5000/x", "two words"} {
		require.True(t, plainWord(v), v)
	}
	for _, v := range []string{"", "true", "1", "1.5", "null", "~", "-a", "a: b", "a #b", "a:", " a", "a ", "@a", "*a", "2024-01-01", "é", "---"} {
		require.False(t, plainWord(v), v)
	}
}

func TestOverlayIsNotChanged(t *testing.T) {
	t.Parallel()
	o, err := New(Environment{Name: "a"}, NewOptions{DockerImage: "demo"})
	require.NoError(t, err)
	ref, err := name.NewDigest("demo@" + testDigest)
	require.NoError(t, err)
	first, err := o.Pin(ref, map[string]string{"a": "b"})
	require.NoError(t, err)
	second, err := o.Pin(ref, map[string]string{"a": "b"})
	require.NoError(t, err)
	require.Equal(t, string(first), string(second))
	require.Equal(t, "demo", o.DockerImage())
}

func TestPinKeepsJSON(t *testing.T) {
	t.Parallel()
	const text = `{"apiVersion": "datalayer.io/v1", "kind": "RuntimeEnvironment", "metadata": {"name": "a", "annotations": null},
		"spec": {"title": "A", "language": "python", "dockerImage": "${R}/a", "resourcesRanges": {"default": {"limits": {}}}}}`
	ref, err := name.NewDigest("r.example.org/a@" + testDigest)
	require.NoError(t, err)
	for _, in := range []string{text, strings.Replace(text, "null", "{}", 1), strings.Replace(text, `, "annotations": null`, "", 1)} {
		o, err := ParseOverlay(File{Path: "a.json", Data: []byte(strings.ReplaceAll(in, "\t", " "))}, getenv("R=r.example.org"))
		require.NoError(t, err)
		pinned, err := o.Pin(ref, map[string]string{"k": "v"})
		require.NoError(t, err)
		if !strings.Contains(in, "null") { // that one is written anew
			require.True(t, json.Valid(pinned), string(pinned))
		}
	}
}

// The parts of the text that edits touch are found whatever ends the file, and whatever the last value is.
func TestPinAtTheEndOfTheFile(t *testing.T) {
	t.Parallel()
	const head = "apiVersion: datalayer.io/v1\nkind: RuntimeEnvironment\n" +
		"spec: {title: A, language: r, dockerImage: a, resourcesRanges: {default: {limits: {}}}}\nmetadata:\n  name: a"
	ref, err := name.NewDigest("r.example.org/a@" + testDigest)
	require.NoError(t, err)
	for tail, want := range map[string]string{
		"":                                      "\n  annotations:\n    k: \"v\"\n",
		"\n":                                    "\n  annotations:\n    k: \"v\"\n",
		"\n\n# end\n":                           "\n  annotations:\n    k: \"v\"\n\n# end\n",
		"\n  annotations:":                      "\n  annotations:\n    k: \"v\"\n",
		"\n  annotations: ~":                    "\n  annotations:\n    k: \"v\"\n",
		"\n  annotations: {}":                   "\n  annotations: {\"k\": \"v\"}",
		"\n  annotations: {k: 'it''s', b: c}":   "\n  annotations: {k: 'v', b: c}",
		"\n  annotations:\n    k: |\n      x\n": "",
		"\n  annotations:\n    b: c":            "\n  annotations:\n    b: c\n    k: \"v\"\n",
		"\n  annotations:\n    b: |+\n      c\n\n\n...\n": "\n  annotations:\n    k: \"v\"\n    b: |+\n      c\n\n\n...\n",
	} {
		o, err := ParseOverlay(File{Path: "o.yaml", Data: []byte(head + tail)}, nil)
		require.NoError(t, err, tail)
		pinned, err := o.Pin(ref, map[string]string{"k": "v"})
		require.NoError(t, err, tail)
		if want == "" { // written anew
			require.Contains(t, string(pinned), "k: |-\n      v\n", tail)
			continue
		}
		require.Equal(t, strings.Replace(head, "dockerImage: a", "dockerImage: "+ref.Name(), 1)+want, string(pinned), tail)
	}
}

func TestSpecs(t *testing.T) {
	t.Parallel()
	var got []string
	for _, s := range parse(t, "dependencies: [b, 'a >=1', b]").Specs() {
		got = append(got, s.String())
	}
	require.Equal(t, []string{"b", "a[version='>=1']"}, got)
}
