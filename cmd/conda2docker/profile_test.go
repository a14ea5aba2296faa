package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/builder/base"
	"github.com/datalayer/conda2docker/examples/container"
)

// launched says what a launched container finds: who it is, where it may write, and whether PID 1 reaps what nobody waits for.
const launched = `
import getpass, os, pathlib, sys, tempfile, time
home = pathlib.Path.home()
print("user", getpass.getuser(), os.getuid(), os.getgid(), home, os.environ["TZ"], sys.getfilesystemencoding())
(home / "written").write_text("x")
try:
    (pathlib.Path(sys.prefix) / "written").write_text("x")
except OSError as e:
    print("prefix:", e.strerror)
import ipykernel, jupyter_client
print("first", pathlib.Path("/proc/1/cmdline").read_bytes().split(b"\0")[0].decode())
if os.fork() == 0:
    if os.fork() == 0:
        os._exit(0)  # its parent is gone, or will be: PID 1 is to reap it
    os._exit(0)
os.wait()
def zombies():
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            found += [stat] if stat.read_text().rsplit(")", 1)[1].split()[0] == "Z" else []
        except FileNotFoundError:
            pass
    return found
while zombies():
    time.sleep(0.01)
print("no zombies")
`

// checkProfile builds an example for a service that launches kernels, and launches it.
func checkProfile(t *testing.T, s *exampleRun) {
	example := filepath.Join("..", "..", "examples", "python-simple")
	made := s.build(t, exampleBuild{
		environment: filepath.Join(example, "environment.yml"), overlay: filepath.Join(example, "runtime.yaml"), index: s.served.IndexURL,
		args: []string{"--profile", "datalayer"},
	})
	require.NotContains(t, made.stderr, "warning: profile")
	require.Equal(t, []string{prefix + "/bin/tini", "--"}, made.config.Config.Entrypoint)
	require.Equal(t, []string{"sleep", "infinity"}, made.config.Config.Cmd)
	require.Contains(t, made.config.Config.Env, "SSL_CERT_FILE="+prefix+"/ssl/cacert.pem")
	bundle := filepath.Join(t.TempDir(), "bundle")
	require.NoError(t, container.Unpack(made.image, bundle))
	run := func(o container.Options) *exec.Cmd {
		o.Name = fmt.Sprintf("profile-%d", os.Getpid())
		cmd, err := container.Command(t.Context(), bundle, made.config.Config, o)
		require.NoError(t, err)
		return cmd
	}
	for user, want := range map[string]string{"1000:100": "1000 100", "123456:0": "123456 0"} {
		cmd := run(container.Options{User: user, Args: []string{"python", "-c", launched}, Writable: []string{"/home/datalayer"}})
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		require.NoError(t, err, "%s%s", out, &stderr)
		require.Equal(t, "user datalayer "+want+" /home/datalayer UTC utf-8\nprefix: Read-only file system\nfirst /opt/conda/bin/tini\nno zombies\n", string(out))
	}

	// The image's own command stays, and ends when it is asked to.
	stays := run(container.Options{})
	stays.Stdout, stays.Stderr = os.Stderr, os.Stderr
	require.NoError(t, stays.Start())
	name := stays.Args[len(stays.Args)-1]
	for {
		out, err := exec.CommandContext(t.Context(), "runc", "exec", name, "sh", "-c", "cat /proc/[0-9]*/comm").Output()
		if err == nil && strings.Contains(string(out), "sleep\n") {
			break
		}
		require.Nil(t, stays.ProcessState)
		require.NoError(t, t.Context().Err())
	}
	require.NoError(t, exec.CommandContext(t.Context(), "runc", "kill", name, "TERM").Run())
	err := stays.Wait()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, 143, exit.ExitCode())
}

// A named account takes the place of those that the base has of its number or name; without a name, the base's own is taken.
func TestUserOf(t *testing.T) {
	t.Parallel()
	const ubuntu = "root:x:0:0::/root:/bin/bash\nubuntu:x:1000:1000::/home/ubuntu:/bin/bash\njovyan:x:7:7::/srv:/bin/sh\n"
	img := base.Image{Facts: base.Facts{Passwd: ubuntu, Group: "users:x:100:\n", Bash: true}}
	generic, err := parseProfile("")
	require.NoError(t, err)
	require.Equal(t, user{Name: "ubuntu", Home: "/home/ubuntu", Shell: "/bin/bash", known: true}, userOf(img, generic))
	jovyan, err := parseProfile("jovyan")
	require.NoError(t, err)
	u := userOf(img, jovyan)
	files := u.files(img)
	require.Len(t, files, 2)
	require.Equal(t, "root:x:0:0::/root:/bin/bash\njovyan:x:1000:100::/home/jovyan:/bin/bash\n", string(files[0].Body))
	img.Facts.Passwd = string(files[0].Body)
	require.Empty(t, userOf(img, jovyan).files(img))
}
