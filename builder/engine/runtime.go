package engine

import (
	"errors"
	"os/exec"

	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// runtimes are the OCI runtimes that BuildKit looks for, in its order.
var runtimes = []string{"buildkit-runc", "runc"}

// NeedRuntime reports, as an error that says how to install it, what this machine lacks to run build steps in
// the engine that o chooses: the OCI runtime, the rights to use it, or a processor, or emulation of one, for programs of the
// platform p, which is the machine's own when it is zero. It is quick and fetches nothing. Of a BuildKit that runs elsewhere
// nothing is known beforehand.
func NeedRuntime(o Options, p ocispecs.Platform) error {
	if o.Address != "" {
		return nil
	}
	if err := needPlatform(); err != nil {
		return err
	}
	if runtimePath() == "" {
		return errors.New("this build runs commands in the image, which needs runc, and there is none on the PATH: " +
			"install it (apt-get install runc), or name a BuildKit that runs elsewhere (--builder)")
	}
	if err := needRights(); err != nil {
		return err
	}
	return needProcessor(p)
}

// runtimePath is where the OCI runtime is, or "".
func runtimePath() string {
	for _, r := range runtimes {
		if p, err := exec.LookPath(r); err == nil {
			return p
		}
	}
	return ""
}
