package engine

import (
	"errors"
	"os/exec"
)

// runtimes are the OCI runtimes that BuildKit looks for, in its order.
var runtimes = []string{"buildkit-runc", "runc"}

// NeedRuntime reports, as an error that says how to install it, what this machine lacks to run build steps in
// the engine that o chooses: the OCI runtime, or the rights to use it. It is quick and fetches nothing. Of a
// BuildKit that runs elsewhere nothing is known beforehand.
func NeedRuntime(o Options) error {
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
	return needRights()
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
