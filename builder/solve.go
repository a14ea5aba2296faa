package builder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	dockerconfig "github.com/docker/cli/cli/config"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth/authprovider"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"github.com/moby/buildkit/util/progress/progressui"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/datalayer/conda2docker/builder/engine"
	"github.com/datalayer/conda2docker/builder/graph"
)

// graph is what the engine has to do for the request.
func (r Request) graph(ctx context.Context, eng *engine.Engine, result graph.Result) (*graph.Graph, error) {
	return graph.New(ctx, graph.Input{
		Base: r.Base, Layers: r.Layers, Steps: r.steps(), Proxy: r.Proxy, Pull: eng.Remote(), Result: result,
	})
}

// solve has the engine work a graph off into exports, and returns what it answers of those.
func (r Request) solve(ctx context.Context, eng *engine.Engine, g *graph.Graph, exports ...client.ExportEntry) (map[string]string, error) {
	display, err := r.Progress.display()
	if err != nil {
		return nil, err
	}
	opt := client.SolveOpt{
		Exports:   exports,
		OCIStores: g.Stores,
		Session: []session.Attachable{
			secretsprovider.FromMap(r.Secrets),
			authprovider.NewDockerAuthProvider(authprovider.DockerAuthProviderConfig{
				AuthConfigProvider: authprovider.LoadAuthConfig(dockerconfig.LoadDefaultConfigFile(io.Discard)),
			}),
		},
	}

	var group errgroup.Group
	seen, shown := make(chan *client.SolveStatus), make(chan *client.SolveStatus)
	said, hide := &outputs{}, r.hide()
	group.Go(func() error {
		defer close(shown)
		for s := range seen {
			hide(s)
			said.keep(s)
			shown <- s
		}
		return nil
	})
	group.Go(func() error { // sees the end of a cancelled build too
		_, err := display.UpdateFrom(context.WithoutCancel(ctx), shown)
		return err
	})
	res, err := eng.Client().Solve(ctx, g.Definition, opt, seen)
	displayErr := group.Wait()
	if err != nil {
		return nil, said.explain(err)
	}
	return res.ExporterResponse, displayErr
}

// imageDigest is the digest of the image that the engine says it made.
func imageDigest(answer map[string]string) (digest.Digest, error) {
	d := digest.Digest(answer[exptypes.ExporterImageDigestKey])
	if err := d.Validate(); err != nil {
		return "", fmt.Errorf("the engine does not say what it made (%q): %w", d, err)
	}
	return d, nil
}

// steps are the request's, told the time. Python then byte-compiles to files that stay valid when the times of
// the step's files are set to the epoch.
func (r Request) steps() []graph.Step {
	epoch := "SOURCE_DATE_EPOCH=" + strconv.FormatInt(r.Epoch.Unix(), 10)
	out := slices.Clone(r.Steps)
	for i := range out {
		out[i].Env = append([]string{epoch}, out[i].Env...)
	}
	return out
}

// exports are the layout and, with the very same attributes, the push.
func (r Request) exports(out *layout) ([]client.ExportEntry, error) {
	config, untouched, err := r.config()
	if err != nil {
		return nil, err
	}
	attrs := map[string]string{
		exptypes.ExporterImageConfigKey:                string(config),
		exptypes.ExporterImageBaseConfigKey:            string(untouched),
		string(exptypes.OptKeyOCITypes):                "true",
		string(exptypes.OptKeySourceDateEpoch):         strconv.FormatInt(r.Epoch.Unix(), 10),
		string(exptypes.OptKeyLayerCompression):        "gzip",
		string(exptypes.OptKeyPreferNondistLayers):     "false",
		string(exptypes.OptKeyForceInlineAttestations): "false",
	}
	if len(r.Steps) > 0 {
		attrs[string(exptypes.OptKeyRewriteTimestamp)] = "true"
	}
	for key, value := range r.Config.Annotations {
		attrs[exptypes.AnnotationManifestKey(nil, key)] = value
	}
	local := maps.Clone(attrs)
	local["tar"] = "false"
	entries := []client.ExportEntry{{Type: client.ExporterOCI, Attrs: local, OutputStore: out}}
	if r.Push == nil {
		return entries, nil
	}
	push := maps.Clone(attrs)
	push[string(exptypes.OptKeyName)] = r.Push.Repository.Name()
	push[string(exptypes.OptKeyPush)] = "true"
	push[string(exptypes.OptKeyPushByDigest)] = "true"
	if r.Push.Registries.Insecure(r.Push.Repository.RegistryStr()) {
		push[string(exptypes.OptKeyInsecure)] = "true"
	}
	return append(entries, client.ExportEntry{Type: client.ExporterImage, Attrs: push}), nil
}

// display is BuildKit's own.
func (p Progress) display() (progressui.Display, error) {
	out, mode := p.Out, progressui.DisplayMode(p.Mode)
	if out == nil {
		out, mode = io.Discard, progressui.QuietMode
	}
	return progressui.NewDisplay(out, mode)
}

// outputs keeps the end of what each running step writes, for the error of one that fails.
type outputs struct {
	logs   map[digest.Digest][]byte
	failed []*client.Vertex
}

const outputBytes = 2 << 10

func (o *outputs) keep(s *client.SolveStatus) {
	if o.logs == nil {
		o.logs = map[digest.Digest][]byte{}
	}
	for _, l := range s.Logs {
		b := slices.Concat(o.logs[l.Vertex], l.Data)
		if len(b) > outputBytes {
			b = b[len(b)-outputBytes:]
		}
		o.logs[l.Vertex] = b
	}
	for _, v := range s.Vertexes {
		if v.Error != "" {
			o.failed = append(o.failed, v)
		}
	}
}

// explain adds what the failed steps wrote last.
func (o *outputs) explain(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	for _, v := range o.failed {
		if said := strings.TrimSpace(string(o.logs[v.Digest])); said != "" {
			return fmt.Errorf("%s: %w; it wrote:\n%s", v.Name, err, said)
		}
	}
	return err
}
