package builder

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// config is the image's configuration, for BuildKit to complete with the layers, and what of it BuildKit is to
// leave as it is: it takes that for the base's, and rewrites no times in it. BuildKit inherits nothing by itself.
func (r Request) config() (config, untouched []byte, err error) {
	img := r.Base.Config
	img.Platform = r.Base.Platform
	img.Created = &r.Epoch
	img.RootFS = ocispecs.RootFS{Type: "layers"}
	img.Config = r.Config.over(r.Base.Config.Config)
	img.History = r.baseHistory()
	var diffIDs []digest.Digest
	for _, l := range r.Base.Layers {
		diffIDs = append(diffIDs, l.DiffID)
	}
	for _, l := range r.Layers {
		diffIDs = append(diffIDs, l.DiffID)
		img.History = append(img.History, r.history(l.Name))
	}

	kept := img
	kept.RootFS.DiffIDs = diffIDs
	if untouched, err = json.Marshal(kept); err != nil {
		return nil, nil, err
	}
	img.History = slices.Clone(img.History)
	for _, s := range r.Steps {
		img.History = append(img.History, r.history(s.Name))
	}
	config, err = json.Marshal(img)
	return config, untouched, err
}

// history is the entry of one layer of ours.
func (r Request) history(name string) ocispecs.History {
	return ocispecs.History{Created: &r.Epoch, CreatedBy: "conda2docker: " + name}
}

// baseHistory is the base's own history, where it has one entry for each of its layers.
func (r Request) baseHistory() []ocispecs.History {
	layers := 0
	for _, h := range r.Base.Config.History {
		if !h.EmptyLayer {
			layers++
		}
	}
	if layers == len(r.Base.Layers) {
		return slices.Clone(r.Base.Config.History)
	}
	var made []ocispecs.History
	for i := range r.Base.Layers {
		made = append(made, r.history(fmt.Sprintf("layer %d of base %s", i+1, r.Base.Digest)))
	}
	return made
}

// over puts the configuration on top of the base's.
func (c Config) over(base ocispecs.ImageConfig) ocispecs.ImageConfig {
	out := base
	out.Env = slices.Clone(base.Env)
	for _, v := range c.Env {
		entry := v.Name + "=" + v.Value
		at := slices.IndexFunc(out.Env, func(e string) bool { return strings.HasPrefix(e, v.Name+"=") })
		if at < 0 {
			out.Env = append(out.Env, entry)
		} else {
			out.Env[at] = entry
		}
	}
	if c.Plain {
		out.Volumes, out.StopSignal = nil, ""
	}
	if c.User != "" {
		out.User = c.User
	}
	if c.WorkingDir != "" {
		out.WorkingDir = c.WorkingDir
	}
	if c.Entrypoint != nil {
		out.Entrypoint, out.Cmd = c.Entrypoint, nil
	}
	if c.Cmd != nil {
		out.Cmd = c.Cmd
	}
	if len(c.Labels) > 0 {
		out.Labels = maps.Clone(base.Labels)
		if out.Labels == nil {
			out.Labels = map[string]string{}
		}
		maps.Copy(out.Labels, c.Labels)
	}
	return out
}
