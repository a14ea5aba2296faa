package sandbox

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// basesID changes when other bases are to be made.
const basesID = "1"

// epoch is the time of everything in the bases: that of bookworm's first release.
func epoch() time.Time { return time.Date(2023, 6, 10, 0, 0, 0, 0, time.UTC) }

// makeBases makes both base images: Debian's minimal system, and the same with the environment that makes NVIDIA's
// container runtime mount a driver.
func (s *Sandbox) makeBases(ctx context.Context, d debian, log func(string, ...any)) error {
	bases := filepath.Dir(s.Base())
	if done(bases, basesID) {
		return nil
	}
	tmp := bases + ".part"
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return err
	}
	root := filepath.Join(tmp, "root.tar")
	log("bootstrapping Debian bookworm for the base images")
	cmd := exec.CommandContext(ctx, "mmdebstrap", "--quiet", "--variant=minbase", "--architectures=amd64", "--aptopt=APT::Sandbox::User \"root\"",
		"--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-include=/usr/share/doc/*/copyright", "--dpkgopt=path-exclude=/usr/share/man/*",
		"--dpkgopt=path-exclude=/usr/share/locale/*", "bookworm", root, d.source("main"))
	cmd.Env = append(os.Environ(), fmt.Sprintf("SOURCE_DATE_EPOCH=%d", epoch().Unix()), "TMPDIR="+tmp)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it unmounts what it mounted
	cmd.WaitDelay = 20 * time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("mmdebstrap: %w: %s", err, lastLines(stderr.String(), 4))
	}
	cuda := []string{"NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_DRIVER_CAPABILITIES=compute,utility", "NVIDIA_REQUIRE_CUDA=cuda>=11.8", "CUDA_VERSION=11.8.0"}
	layer, err := tarball.LayerFromFile(root, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return err
	}
	for name, env := range map[string][]string{"cpu": nil, "cuda": cuda} {
		if err := writeBase(filepath.Join(tmp, name), layer, env); err != nil {
			return fmt.Errorf("base image %s: %w", name, err)
		}
	}
	if err := os.Remove(root); err != nil {
		return err
	}
	return finish(tmp, bases, basesID)
}

// writeBase writes an image of one layer as an OCI layout.
func writeBase(dir string, layer v1.Layer, env []string) error {
	img, err := mutate.Append(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), mutate.Addendum{
		Layer: layer, History: v1.History{Created: v1.Time{Time: epoch()}, CreatedBy: "mmdebstrap --variant=minbase bookworm"},
	})
	if err != nil {
		return err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = "linux", "amd64", v1.Time{Time: epoch()}
	config.Config.Env = append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, env...)
	config.Config.Cmd = []string{"bash"}
	if img, err = mutate.ConfigFile(img, config); err != nil {
		return err
	}
	l, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	return l.AppendImage(img, layout.WithPlatform(v1.Platform{OS: "linux", Architecture: "amd64"}))
}
