package main

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/datalayer/conda2docker/envspec"
)

// publish gives the image its names: the outputs', the tags', and the manifest's. It comes after the gate. The result is what
// belongs on standard output.
func (b *build) publish(ctx context.Context, in input, env resolved, img built, ev evidence) (result []byte, said string, err error) {
	if b.options.Manifest != "-" && len(img.pushed) == 0 {
		b.console.say("note: %s is not written: a manifest pins an image in a registry, and this one was not pushed (--push)", b.options.Manifest)
	}
	if len(b.options.Tags) > 0 && len(img.pushed) == 0 && len(b.options.Outputs) == 0 {
		b.console.say("note: %s is not moved: the image was not pushed (--push)", b.options.Tags[0])
	}
	for _, out := range b.options.Outputs {
		if len(in.targets) > 0 {
			out.Name = in.targets[0].Name()
		}
		if err := img.ExportTo(ctx, out); err != nil {
			return nil, "", err
		}
	}
	if len(img.pushed) == 0 {
		return b.places(img), "no manifest, as the image is in no registry (--push); evidence in " + ev.dir, nil
	}
	manifest, err := b.manifest(in, env, img, ev)
	if err != nil {
		return nil, "", err
	}
	if b.options.Manifest == "-" {
		return manifest, img.pushed[0].Name(), b.moveTags(ctx, in, img)
	}
	file, err := stageFile(b.options.Manifest, manifest)
	if err != nil {
		return nil, "", err
	}
	defer file.discard()
	if err := b.moveTags(ctx, in, img); err != nil {
		return nil, "", err
	}
	return nil, img.pushed[0].Name() + ", " + b.options.Manifest, file.commit()
}

// places are where the image is on this machine, one a line.
func (b *build) places(img built) []byte {
	if len(b.options.Outputs) == 0 {
		return fmt.Appendln(nil, img.Layout)
	}
	var out []byte
	for _, o := range b.options.Outputs {
		if toStdout(o) {
			continue // the image itself is there
		}
		out = fmt.Appendln(out, o.Path)
	}
	return out
}

// moveTags makes the tags point at the image, and asks the registries whether they do.
func (b *build) moveTags(ctx context.Context, in input, img built) error {
	registries := b.settings.Registries
	for _, tag := range in.targets {
		pinned := tag.Digest(img.Digest.String())
		if err := registries.Tag(ctx, pinned, tag); err != nil {
			return err
		}
		now, err := registries.Resolve(ctx, tag)
		if err != nil {
			return err
		}
		if now.DigestStr() != pinned.DigestStr() {
			return fmt.Errorf("tag %s was moved to %s and resolves to %s: somebody else moves it too", tag.Name(), pinned.DigestStr(), now.DigestStr())
		}
	}
	return nil
}

// manifest is the final RuntimeEnvironment: the overlay, or a minimal one, with the image's digest.
func (b *build) manifest(in input, env resolved, img built, ev evidence) ([]byte, error) {
	overlay := in.overlay
	if overlay == nil {
		var err error
		overlay, err = envspec.New(in.env, envspec.NewOptions{DockerImage: in.targets[0].Name(), GPU: env.target.accelerator == acceleratorCUDA})
		if err != nil {
			return nil, err
		}
	}
	return overlay.Pin(img.pushed[0], annotations(in.targets[0], env, ev))
}

// annotations say of the image what its digest does not.
func annotations(tag name.Tag, env resolved, ev evidence) map[string]string {
	const at = "conda2docker.datalayer.io/"
	c := ev.report.Counts
	return map[string]string{
		at + "image":           tag.Name(),
		at + "base":            env.target.base.Digest.String(),
		at + "platform":        string(env.subdir),
		at + "accelerator":     string(env.target.accelerator),
		at + "vulnerabilities": fmt.Sprintf("critical=%d,high=%d,medium=%d,low=%d", c.Critical, c.High, c.Medium, c.Low),
	}
}
