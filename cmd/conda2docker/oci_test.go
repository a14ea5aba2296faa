package main

import (
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/datalayer/conda2docker/conda/condatest"
)

// mirrorChannel copies a channel into a registry, below a repository, as conda-oci-mirror does.
func mirrorChannel(t testing.TB, c *condatest.Channel, repository string) error {
	dir := t.TempDir()
	c.Write(t, dir)
	push := func(ref, media, file string) error {
		body, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			return err
		}
		tag, err := name.NewTag(repository + "/" + ref)
		if err != nil {
			return err
		}
		img, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), static.NewLayer(body, types.MediaType(media)))
		if err != nil {
			return err
		}
		return remote.Write(tag, img)
	}
	for _, r := range c.Records() {
		repo, media := string(r.Name), "application/vnd.conda.package.v2"
		if strings.HasPrefix(repo, "_") {
			repo = "zzz" + repo
		}
		if path.Ext(r.FileName) == ".bz2" {
			media = "application/vnd.conda.package.v1"
		}
		subdir := string(r.Subdir) + "/"
		if err := push(subdir+repo+":"+r.Version.String()+"-"+r.Build, media, subdir+r.FileName); err != nil {
			return err
		}
	}
	for _, subdir := range []string{"linux-64/", "noarch/"} {
		if err := push(subdir+"repodata.json:latest", "application/vnd.conda.repodata.v1+json+zst", subdir+"repodata.json.zst"); err != nil {
			return err
		}
	}
	return nil
}
