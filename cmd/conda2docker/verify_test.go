package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestVerify builds small environments of genuine packages, and looks at them from inside: python is there to do it.
func TestVerify(t *testing.T) {
	t.Parallel()
	made := makeSandbox(t)
	served, err := made.Serve(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, served.Close()) })
	dir := t.TempDir()
	settings := settingsFile{
		CPU: made.Base(), CUDA: made.CUDABase(), DB: made.Advisories(), Mirrors: map[string][]string{"https://conda.anaconda.org/conda-forge": {served.ChannelURL}},
	}
	require.NoError(t, settings.write(filepath.Join(dir, "settings.yaml")))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "condarc"), []byte("{}\n"), 0o600))
	build := func(environment string, args ...string) (int, string) {
		file := filepath.Join(dir, "environment.yml")
		require.NoError(t, os.WriteFile(file, []byte("channels: [conda-forge]\ndependencies: ["+environment+"]\n"), 0o600))
		cmd := exec.CommandContext(t.Context(), "conda2docker", append([]string{"build", "--progress", "plain", file}, args...)...)
		cmd.Env = []string{
			"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "CONDARC=" + filepath.Join(dir, "condarc"), "CONDA2DOCKER_CONFIG=" + filepath.Join(dir, "settings.yaml"),
			"CONDA2DOCKER_CACHE=" + filepath.Join(dir, "cache"),
		}
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		err := cmd.Run()
		var exit *exec.ExitError
		if err != nil {
			require.ErrorAs(t, err, &exit)
			return exit.ExitCode(), stderr.String()
		}
		return 0, stderr.String()
	}

	code, said := build("python=3.11, six, unsound", "--verify")
	require.Equal(t, exitError, code, said)
	require.Regexp(t, `\n  unsound-\S+: module unsound: ModuleNotFoundError: No module named 'no_such_module_anywhere'\n`, said)
	require.Contains(t, said, "(--verify): 1 of its files and modules fail:")
	code, said = build("python=3.11, six, unsound", "--verify", "--verify-except", "unsound")
	require.Zero(t, code, said)
	require.Regexp(t, `verified: \d{2,} ELF files, [23] modules\n`, said, "six, sound and perhaps one more")

	code, said = build("quits-when-linked")
	require.Equal(t, exitError, code, said)
	require.Contains(t, said, "no licence was found for quits-when-linked", "its message is shown")
	require.Regexp(t, `conda2docker: .*post-link script of quits-when-linked-6\.4-\S+: `, said)
	code, said = build("quits-when-linked", "--post-link", "skip")
	require.Zero(t, code, said)
	require.Regexp(t, `warning: the post-link script of quits-when-linked-\S+ is skipped`, said)
}
