package engine

import (
	"fmt"
	"os"
	"runtime"
	"slices"

	"github.com/moby/buildkit/util/archutil"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// needProcessor reports whether this machine lacks what runs programs of a platform: it tries one. Only root can.
func needProcessor(p ocispecs.Platform) error {
	if p.Architecture == "" || p.Architecture == runtime.GOARCH || os.Geteuid() != 0 {
		return nil
	}
	if slices.ContainsFunc(archutil.SupportedPlatforms(false), func(s ocispecs.Platform) bool { return s.Architecture == p.Architecture }) {
		return nil
	}
	return fmt.Errorf("this build runs commands in the image, which is for %s, and this machine for %s cannot run its programs: "+
		"install an emulator (apt-get install qemu-user-static), or name a BuildKit that runs elsewhere (--builder)", p.Architecture, runtime.GOARCH)
}
