// Package graph says as LLB what BuildKit has to do: the base, the layers merged onto it, the steps run on that.
package graph

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"

	"github.com/datalayer/conda2docker/builder/base"
	"github.com/datalayer/conda2docker/builder/layer"
)

// Input is all that a graph is made from; equal inputs make equal graphs.
type Input struct {
	Base   base.Image
	Layers []layer.Layer // in the image's order, above the base
	Steps  []Step        // run in order on the merged root; none keeps the build lazy
	// Pull lets BuildKit pull the base from its registry instead of being given the blobs on this disk.
	Pull bool
	// Proxy is for steps with a network. It is no part of what they are recognised by.
	Proxy Proxy
	// Result is what the graph comes to.
	Result Result
}

// Result is what a graph comes to.
type Result int

// The results that a graph can have.
const (
	Root   Result = iota // the root after all steps: an image
	Output               // what the last step wrote to OutputDir; the root is of no account
)

// What the last step of a graph with the result Output writes to OutputDir, which is empty at first and the step's
// user's, is in the folder OutputName of the result.
const (
	OutputDir  = "/run/conda2docker/out"
	OutputName = "out"
)

// Step is a command that runs in the image, and whose changes to it become a layer.
type Step struct {
	Name    string   // what the progress and the image's history show
	Args    []string // the command, with an absolute path or one that is found on Env's PATH
	Env     []string // "KEY=value"; later ones win
	Dir     string   // default "/"
	User    string   // in numbers; default "0:0"
	Network bool     // default: only a loopback of its own
	Files   []File   // are there, read-only, while the step runs
	Secrets []Secret // are there, as files, while the step runs; no part of what a step is recognised by

	// Output gives the step OutputDir also where nobody asks for what it writes there: for who asks later it is the same step.
	Output bool

	ReadOnly bool   // the root cannot be written; /tmp, /root and OutputDir can
	Hostname string // default: BuildKit's
}

// File is given to a step at an absolute path. It is a mount: nothing of it stays in the image.
type File struct {
	Path string
	Mode fs.FileMode // default 0o444
	Body []byte      // of a small file, which is part of the graph
	// Source is a file on this disk that is given instead of Body, of any size; Digest is its sha256, found out where empty.
	Source string
	Digest digest.Digest
}

// Secret is given to a step as a file that only the step's user reads; the solve carries its value.
type Secret struct {
	ID   string
	Path string
}

// Proxy is how steps with a network reach it, as in the environment variables of these names.
type Proxy struct {
	HTTP, HTTPS, FTP, No, All string
}

// Graph is what BuildKit is given.
type Graph struct {
	Definition *llb.Definition
	// Stores hold what the definition's sources name, and are served to BuildKit by the session.
	Stores map[string]content.Store
}

// storeName is how the definition's sources name the store.
const storeName = "conda2docker"

// scratchDirs are the folders that steps write to and that nothing of may stay in the image.
var scratchDirs = []string{"/root", "/tmp"}

// New makes the graph of an input.
func New(ctx context.Context, in Input) (*Graph, error) {
	store := &store{blobs: map[digest.Digest]blob{}}
	platform := llb.Platform(in.Base.Platform)
	inputs, err := baseState(in, store)
	if err != nil {
		return nil, err
	}
	for _, l := range in.Layers {
		d, err := store.addLayer(l, in.Base.Platform)
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, llb.OCILayout("conda2docker/layer@"+d.String(), llb.OCIStore("", storeName),
			llb.WithCustomName("layer "+l.Name)))
	}
	if len(inputs) == 0 {
		return nil, fmt.Errorf("making the build graph: base %s has no layers, and there are none to put on it", in.Base.Ref)
	}
	state := inputs[0]
	if len(inputs) > 1 {
		state = llb.Merge(inputs, llb.WithCustomName("put the layers together"))
	}
	if in.Result != Root && len(in.Steps) == 0 {
		return nil, errors.New("making the build graph: a step's result is wanted, and there is no step")
	}
	for i, s := range in.Steps {
		exec, err := s.run(state, in.Proxy, store)
		if err != nil {
			return nil, fmt.Errorf("making the build graph: step %q: %w", s.Name, err)
		}
		state = exec.Root()
		asked := in.Result == Output && i == len(in.Steps)-1
		if !asked && !s.Output {
			continue
		}
		uid, gid := s.ids()
		empty := llb.Scratch().File(llb.Mkdir("/"+OutputName, 0o755, llb.WithUIDGID(uid, gid)), llb.WithCustomName("a folder for what "+s.Name+" writes"))
		if out := exec.AddMount(OutputDir, empty, llb.SourcePath("/"+OutputName)); asked {
			state = out
		}
	}
	def, err := state.Marshal(ctx, platform)
	if err != nil {
		return nil, fmt.Errorf("making the build graph: %w", err)
	}
	return &Graph{Definition: def, Stores: map[string]content.Store{storeName: store}}, nil
}

// baseState is the base as a source: none for an image without layers.
func baseState(in Input, store *store) ([]llb.State, error) {
	if len(in.Base.Layers) == 0 {
		return nil, nil
	}
	named := llb.WithCustomName("base " + in.Base.Ref)
	if in.Pull && in.Base.Repository != "" {
		return []llb.State{llb.Image(in.Base.Repository+"@"+in.Base.Digest.String(), named)}, nil
	}
	if err := store.addBase(in.Base); err != nil {
		return nil, err
	}
	return []llb.State{llb.OCILayout("conda2docker/base@"+in.Base.Digest.String(), llb.OCIStore("", storeName), named)}, nil
}

// run is a step's execution.
func (s Step) run(root llb.State, proxy Proxy, store *store) (llb.ExecState, error) {
	opts := []llb.RunOption{
		llb.Args(s.Args), llb.WithCustomName(s.Name), llb.Dir(orDefault(s.Dir, "/")), llb.User(orDefault(s.User, "0:0")),
		llb.Network(pb.NetMode_NONE),
	}
	if s.Network {
		opts = append(opts, llb.Network(pb.NetMode_UNSET))
		if proxy != (Proxy{}) {
			opts = append(opts, llb.WithProxy(llb.ProxyEnv{
				HTTPProxy: proxy.HTTP, HTTPSProxy: proxy.HTTPS, FTPProxy: proxy.FTP, NoProxy: proxy.No, AllProxy: proxy.All,
			}))
		}
	}
	for _, e := range s.Env {
		key, value, ok := strings.Cut(e, "=")
		if !ok || key == "" {
			return llb.ExecState{}, fmt.Errorf("environment entry %q: want KEY=value", e)
		}
		opts = append(opts, llb.AddEnv(key, value))
	}
	for _, dir := range scratchDirs {
		opts = append(opts, llb.AddMount(dir, llb.Scratch(), llb.Tmpfs()))
	}
	if s.ReadOnly {
		opts = append(opts, llb.ReadonlyRootFS())
	}
	if s.Hostname != "" {
		root = root.Hostname(s.Hostname)
	}
	mounts, err := s.mounts(store)
	if err != nil {
		return llb.ExecState{}, err
	}
	return root.Run(append(opts, mounts...)...), nil
}

// mounts are a step's files and secrets.
func (s Step) mounts(store *store) ([]llb.RunOption, error) {
	var opts []llb.RunOption
	for _, f := range s.Files {
		if err := checkMount(f.Path); err != nil {
			return nil, err
		}
		source, err := f.state(store, llb.WithCustomName("give "+f.Path+" to "+s.Name))
		if err != nil {
			return nil, err
		}
		opts = append(opts, llb.AddMount(f.Path, source, llb.SourcePath("/"+givenName), llb.Readonly))
	}
	uid, gid := s.ids()
	for _, secret := range s.Secrets {
		if err := checkMount(secret.Path); err != nil {
			return nil, err
		}
		opts = append(opts, llb.AddSecret(secret.Path, llb.SecretID(secret.ID), llb.SecretFileOpt(uid, gid, 0o400)))
	}
	return opts, nil
}

// givenName is what a file that is given to a step is called before it is mounted where the step wants it.
const givenName = "file"

// state is a root that holds the file alone.
func (f File) state(store *store, named llb.ConstraintsOpt) (llb.State, error) {
	mode := f.Mode
	if mode == 0 {
		mode = 0o444
	}
	if f.Source == "" {
		return llb.Scratch().File(llb.Mkfile("/"+givenName, mode, f.Body), named), nil
	}
	d, err := store.addSource(f)
	if err != nil {
		return llb.State{}, err
	}
	return llb.OCILayoutBlob("conda2docker/file@"+d.String(), llb.ImageBlobOCIStore("", storeName), llb.Filename(givenName), llb.Chmod(mode), named), nil
}

// ids are the step's user and group where they are numbers, else root's.
func (s Step) ids() (uid, gid int) {
	user, group, _ := strings.Cut(s.User, ":")
	uid, err := strconv.Atoi(user)
	if err != nil {
		return 0, 0
	}
	if gid, err = strconv.Atoi(group); err != nil {
		return uid, 0
	}
	return uid, gid
}

func checkMount(p string) error {
	if !path.IsAbs(p) || path.Clean(p) != p || p == "/" {
		return fmt.Errorf("file %q: want an absolute, clean path", p)
	}
	return nil
}

func orDefault(s, def string) string {
	if s == "" {
		return def
	}
	return s
}
