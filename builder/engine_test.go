package builder_test

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/builder"
	"github.com/datalayer/conda2docker/builder/base"
	"github.com/datalayer/conda2docker/builder/engine"
	"github.com/datalayer/conda2docker/builder/graph"
)

// killedEnv makes TestKilled's process the one that is killed: "ROOT LAYOUT ADDRESS".
const killedEnv = "BUILDER_TEST_KILLED"

// A build that is killed with SIGKILL while a step runs leaves neither processes nor mounts, and the next build
// on the same state folder works.
func TestKilled(t *testing.T) {
	if args := strings.Fields(os.Getenv(killedEnv)); len(args) == 3 {
		buildUntilKilled(t, args[0], args[1], args[2])
		return
	}
	needRuntime(t)
	root, baseDir := t.TempDir(), t.TempDir()
	img := newBase(t, baseDir)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })

	for range 2 {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestKilled$", "-test.v")
		cmd.Env = append(os.Environ(), killedEnv+"="+root+" "+baseDir+" "+listener.Addr().String(), "TMPDIR="+t.TempDir())
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		require.NoError(t, cmd.Start())
		ended := make(chan struct{})
		go func() {
			_ = cmd.Wait()
			close(ended)
			listener.Close() // a child that ends early must not leave Accept waiting
		}()
		conn, err := listener.Accept() // the step runs
		require.NoError(t, err, out.String())
		conn.Close()
		children := engineProcesses(t, root)
		require.NotEmpty(t, children)
		require.NoError(t, cmd.Process.Signal(syscall.SIGKILL))
		<-ended
		require.Eventually(t, func() bool { return len(engineProcesses(t, root)) == 0 }, 10*time.Second, 20*time.Millisecond)
		mounts, err := os.ReadFile("/proc/self/mountinfo")
		require.NoError(t, err)
		require.NotContains(t, string(mounts), root)
		listener, err = net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
	}

	req := request(t, img)
	req.Steps = []graph.Step{{Name: "works", Args: []string{toolPath, "write", "/made", "x"}}}
	eng, err := engine.Open(t.Context(), engine.Options{Root: root})
	require.NoError(t, err)
	_, err = builder.Build(t.Context(), eng, req)
	require.NoError(t, err)
	require.NoError(t, eng.Close())
	for _, pattern := range []string{"/sys/fs/cgroup/conda2docker-*", "/sys/fs/cgroup/*/conda2docker-*"} {
		groups, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotContains(t, strings.Join(groups, " "), digest.FromString(root).Encoded()[:12])
	}
}

func buildUntilKilled(t *testing.T, root, baseDir, address string) {
	t.Helper()
	img, err := base.Open(t.Context(), "oci-layout:"+baseDir, base.Options{Dir: t.TempDir()})
	require.NoError(t, err)
	req := request(t, img)
	req.Steps = []graph.Step{{Name: "hang", Args: []string{toolPath, "hang", address}, Network: true}}
	_, err = builder.Build(t.Context(), openEngine(t, engine.Options{Root: root}), req)
	t.Fatal("it was not killed: ", err)
}

// engineProcesses are the processes that have something below a state folder open or as their root.
func engineProcesses(t *testing.T, root string) []int {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	require.NoError(t, err)
	var pids []int
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		require.NoError(t, err)
		if pid == os.Getpid() {
			continue
		}
		links, _ := filepath.Glob(dir + "/fd/*") // of a process that ends meanwhile: none
		for _, l := range append(links, dir+"/root") {
			if target, err := os.Readlink(l); err == nil && strings.HasPrefix(target, root+"/") {
				pids = append(pids, pid)
				break
			}
		}
	}
	return pids
}

// Two builds on one state folder take turns.
func TestEngineTakesTurns(t *testing.T) {
	root := t.TempDir()
	first, err := engine.Open(t.Context(), engine.Options{Root: root})
	require.NoError(t, err)

	said := make(chan string, 1)
	opened := make(chan error, 1)
	go func() {
		second, err := engine.Open(context.Background(), engine.Options{Root: root, Say: func(s string) { said <- s }})
		if err == nil {
			err = second.Close()
		}
		opened <- err
	}()
	require.Equal(t, "waiting for another build that uses "+root, <-said)
	require.Empty(t, opened)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = engine.Open(ctx, engine.Options{Root: root})
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "another build uses it")

	require.NoError(t, first.Close())
	require.NoError(t, <-opened)
	require.Empty(t, engineProcesses(t, root))
}

// What an engine keeps can be listed and pruned.
func TestEnginePrune(t *testing.T) {
	eng := openEngine(t, engine.Options{})
	_, err := builder.Build(t.Context(), eng, request(t, newBase(t, t.TempDir())))
	require.NoError(t, err)
	usage, err := eng.DiskUsage(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, usage)
	freed, err := eng.Prune(t.Context(), 0)
	require.NoError(t, err)
	require.Positive(t, freed)
	usage, err = eng.DiskUsage(t.Context())
	require.NoError(t, err)
	require.Empty(t, usage)
}

// An engine that ends while it is needed says how it ended.
func TestEngineDies(t *testing.T) {
	root := t.TempDir()
	eng, err := engine.Open(t.Context(), engine.Options{Root: root})
	require.NoError(t, err)
	for _, pid := range engineProcesses(t, root) {
		require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	}
	_, err = eng.DiskUsage(t.Context())
	require.ErrorContains(t, err, "the embedded BuildKit ended with signal: killed")
	require.Error(t, eng.Close())
}

// A program that is no runc is not needed for a build without steps, and its lack is named for one with steps.
func TestWithoutRuntime(t *testing.T) {
	img := newBase(t, t.TempDir())
	t.Setenv("PATH", t.TempDir())
	require.ErrorContains(t, engine.NeedRuntime(engine.Options{}, ocispecs.Platform{}), "apt-get install runc")
	require.NoError(t, engine.NeedRuntime(engine.Options{Address: "tcp://elsewhere:1234"}, ocispecs.Platform{}))
	built, err := builder.Build(t.Context(), openEngine(t, engine.Options{}), request(t, img))
	require.NoError(t, err)
	validateLayout(t, built.Layout, built.Digest)
}

// An address is spoken to as what it says; here, an engine of this program on a unix socket.
func TestConnect(t *testing.T) {
	_, err := engine.Open(t.Context(), engine.Options{Address: "localhost:1234"})
	require.ErrorContains(t, err, `BuildKit address "localhost:1234"`)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err = engine.Open(ctx, engine.Options{Address: "unix://" + filepath.Join(t.TempDir(), "none.sock")})
	require.ErrorContains(t, err, "is buildkitd running there?")
}
