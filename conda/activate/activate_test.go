package activate_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda/activate"
)

func TestVariables(t *testing.T) {
	t.Parallel()
	set, warnings, err := activate.Files{
		EnvVars: map[string][]byte{
			"b.json": []byte(`{"WHO": "b", "ONLY_B": "x y", "GONE": "here"}`),
			"a.json": []byte(`{"WHO": "a", "ONLY_A": "1", "NUMBER": 7, "no name": "x"}`),
		},
		State: []byte(`{"version": 1, "env_vars": {"ONLY_A": "2", "GONE": "***unset***"}}`),
	}.Variables()
	require.NoError(t, err)
	require.Equal(t, map[string]string{"WHO": "b", "ONLY_A": "2", "ONLY_B": "x y"}, set)
	require.Equal(t, []string{
		`etc/conda/env_vars.d/a.json: "NUMBER" is left out: want the name of a variable, and a string`,
		`etc/conda/env_vars.d/a.json: "no name" is left out: want the name of a variable, and a string`,
	}, warnings)
	_, _, err = activate.Files{EnvVars: map[string][]byte{"a.json": []byte(`[]`)}}.Variables()
	require.ErrorContains(t, err, "reading etc/conda/env_vars.d/a.json: ")
	_, _, err = activate.Files{State: []byte(`{"env_vars": 1}`)}.Variables()
	require.ErrorContains(t, err, "reading conda-meta/state: ")
}

// record runs the program in a shell, on a prefix with scripts.
func record(t *testing.T, shell, prefix string, scripts map[string]string, env []string, skip ...string) activate.Recording {
	t.Helper()
	out, program := t.TempDir(), filepath.Join(t.TempDir(), "record.sh")
	env = append([]string{"CONDA_PREFIX=" + prefix, "PATH=/opt/conda/bin:/usr/bin:/bin", "BASED=on the base"}, env...)
	dir := filepath.Join(prefix, "etc/conda/activate.d")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	for name, text := range scripts {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(prefix, "etc/conda/env_vars.d"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(prefix, "etc/conda/env_vars.d/a b.json"), []byte("{}"), 0o644))
	require.NoError(t, os.WriteFile(program, activate.Program(), 0o644))
	cmd := exec.CommandContext(t.Context(), shell, append([]string{program, out}, skip...)...)
	cmd.Env, cmd.Dir = env, "/"
	_ = cmd.Run() // where a script ends the shell, that is its status
	files := map[string][]byte{}
	entries, err := os.ReadDir(out)
	require.NoError(t, err)
	for _, e := range entries {
		files[e.Name()], err = os.ReadFile(filepath.Join(out, e.Name()))
		require.NoError(t, err)
	}
	r, err := activate.ReadRecording(files)
	require.NoError(t, err)
	require.Equal(t, map[string][]byte{"a b.json": []byte("{}")}, r.Files.EnvVars)
	return r
}

// evaluate records twice, as two users.
func evaluate(t *testing.T, shell string, scripts map[string]string) []activate.Finding {
	t.Helper()
	prefix := t.TempDir()
	found, err := activate.Evaluate([]activate.Recording{
		record(t, shell, prefix, scripts, []string{"HOME=/home/someone", "USER=someone", "WHERE=here"}),
		record(t, shell, prefix, scripts, []string{"HOME=/tmp/other", "USER=other", "WHERE=there"}),
	}, func(name string) bool { return name == "BASED" })
	require.NoError(t, err)
	return found
}

func TestEvaluate(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "dash"} {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			found := evaluate(t, shell, map[string]string{
				"10-java.sh":      "export JAVA_HOME_CONDA_BACKUP=\"${JAVA_HOME:-}\"\nexport JAVA_HOME=/opt/jvm JAVA_LD_LIBRARY_PATH=/opt/jvm/lib\nexport PATH=\"/opt/jvm/bin:$PATH\"\n",
				"20-lines.sh":     "# asks nproc nothing\nexport LINES_OF='one\ntwo'\nexport CONDA_BACKUP_X=1\nunexported=3\necho hello >&2\n",
				"30-path.sh":      "export PATH=\"$PATH:/opt/tools\" JAVA_HOME=\"$JAVA_HOME/17\"\nunset JAVA_LD_LIBRARY_PATH\nset -eu\n",
				"40-threads.sh":   "export THREADS=$(nproc)\n",
				"50-threads.sh":   "export MORE=\"$THREADS\"\n",
				"60-differs.sh":   "export PLACE=\"$WHERE\"\n",
				"70-unset.sh":     "unset BASED\n",
				"80-fails.sh":     "echo 'no such thing' >&2\nreturn 3\n",
				"90-path.sh":      "export PATH=\"/last:$PATH\"\n",
				"95-condition.sh": "[ -n \"${NOT_THERE:-}\" ] && export X=1\n",
				"nothing.txt":     "export WRONG=1\n",
				"é after all.sh":  "export LAST=1\n",
			})
			why := map[string]string{}
			var order []string
			for _, f := range found {
				order = append(order, f.Name)
				if f.Dynamic != "" {
					why[f.Name] = f.Dynamic
				}
			}
			require.True(t, slices.IsSorted(order))
			require.Len(t, order, 11)
			require.Equal(t, map[string]string{
				"40-threads.sh": "it asks for the number of processors",
				"50-threads.sh": "it names THREADS, which a script before it sets that depends on the run",
				"60-differs.sh": "what it does to PLACE depends on who runs it, where and when",
				"70-unset.sh":   "it unsets BASED, which an image cannot",
				"80-fails.sh":   "it fails with status 3",
			}, why)
			require.Equal(t, map[string]activate.Change{
				"JAVA_HOME": {Value: "/opt/jvm"}, "JAVA_LD_LIBRARY_PATH": {Value: "/opt/jvm/lib"}, "PATH": {Kept: true, Prefix: "/opt/jvm/bin:"},
			}, found[0].Changes)
			require.Equal(t, map[string]activate.Change{"LINES_OF": {Value: "one\ntwo"}}, found[1].Changes)
			require.Equal(t, "hello", found[1].Said)
			require.Equal(t, map[string]activate.Change{
				"JAVA_HOME": {Value: "/opt/jvm/17"}, "JAVA_LD_LIBRARY_PATH": {Unset: true}, "PATH": {Kept: true, Suffix: ":/opt/tools"},
			}, found[2].Changes)
			require.Equal(t, "/x:y:/z", activate.Change{Kept: true, Prefix: "/x:", Suffix: ":/z"}.Apply("y"))
		})
	}
}

// A script that ends the shell is found, and what comes after it is evaluated without it.
func TestScriptEndsShell(t *testing.T) {
	t.Parallel()
	scripts := map[string]string{"a.sh": "export A=1\n", "b.sh": "exit 0\n", "c.sh": "export C=1\n"}
	found := evaluate(t, "bash", scripts)
	require.Len(t, found, 2)
	require.True(t, found[1].Ended)
	without := record(t, "bash", t.TempDir(), scripts, nil, "b.sh")
	require.Equal(t, []string{"a.sh", "c.sh"}, []string{without.Scripts[0].Name, without.Scripts[1].Name})
	require.Equal(t, "1", without.Scripts[1].After["C"])
}

// What a later script does to a variable of a dynamic one is not known either.
func TestDynamicTaints(t *testing.T) {
	t.Parallel()
	found := evaluate(t, "bash", map[string]string{"a.sh": "export PATH=\"$HOME/bin:$PATH\"\n", "b.sh": "export PATH=\"/b:$PATH\"\n", "c.sh": "export C=1\n"})
	require.Equal(t, "what it does to PATH depends on who runs it, where and when", found[0].Dynamic)
	require.Equal(t, "a script before it, which depends on the run, changes PATH too", found[1].Dynamic)
	require.Empty(t, found[2].Dynamic)
}

func TestTexts(t *testing.T) {
	t.Parallel()
	static := []string{
		"export GDAL_DATA=\"$CONDA_PREFIX/share/gdal\"", "if [ -d \"${CONDA_PREFIX}/share/proj\" ]; then\n  export PROJ_DATA=x\nfi",
		"type foo >/dev/null 2>&1 && export X=1", "echo note >&2", "export WIDTH=30 # the id of $HOME, by date", "export VALID='id'", "export ARROW='a->b'",
		"export UPDATE=date_of_birth", "export PROCESSOR=/opt/process", "[ \"$(uname)\" = Linux ] && export X=1", "export USERS=3", "export NODE_ENV=production",
	}
	for _, text := range static {
		found := evaluate(t, "dash", map[string]string{"a.sh": text + "\n"})
		require.Empty(t, found[0].Dynamic, text)
	}
	// Guarded, so that only their text gives them away.
	dynamic := []string{
		"X=$(date +%s)", "X=`date`", "X=$RANDOM", "X=$$", "X=$(id -u)", "X=$HOME/x", "X=${HOME}", "X=~/x", "X=$USER", "X=$PWD", "X=$(pwd)", "X=$(uname -r)", "X=$(mktemp -d)",
		"cat /proc/cpuinfo", "ls /sys/class", "test -e /dev/nvidia0", "nvidia-smi -L", "X=$(hostname)", "mkdir -p /x", "echo 1 > /x/y", "echo 1 >>\"$F\"", "X=$TMPDIR", "cd /tmp", "true && touch x",
		"X='#' Y=$HOME", "X=${EPOCHSECONDS}", "X=$(curl -s http://x)", "X=$TERM",
	}
	scripts := map[string]string{}
	for i, text := range dynamic {
		scripts[string(rune('A'+i))+".sh"] = "if [ -n \"${NOT_THERE:-}\" ]; then\n" + text + "\nfi\n"
	}
	found := evaluate(t, "bash", scripts)
	require.Len(t, found, len(dynamic))
	for i, f := range found {
		require.NotEmpty(t, f.Dynamic, dynamic[i])
		require.Empty(t, f.Changes)
	}
}

func TestOtherScripts(t *testing.T) {
	t.Parallel()
	_, err := activate.Evaluate([]activate.Recording{
		record(t, "dash", t.TempDir(), map[string]string{"a.sh": "export A=1\n"}, nil), record(t, "dash", t.TempDir(), map[string]string{"b.sh": "export A=1\n"}, nil),
	}, func(string) bool { return false })
	require.ErrorContains(t, err, "there are other ones when they are run again: a.sh, then b.sh")
	_, err = activate.ReadRecording(map[string][]byte{"state": nil})
	require.ErrorContains(t, err, "nothing was recorded")
}
