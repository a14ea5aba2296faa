package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// process is what one process took, from its start to its end.
type process struct {
	once

	wall time.Duration
}

// runOnce resolves one request in a new process.
func runOnce(ctx context.Context, channels []string, cache string, specs []string) (process, error) {
	self, err := os.Executable()
	if err != nil {
		return process{}, err
	}
	args := []string{"once", "--cache", cache}
	for _, c := range channels {
		args = append(args, "--channel", c)
	}
	out, wall, err := timed(exec.CommandContext(ctx, self, append(append(args, "--"), specs...)...)) //nolint:gosec // this program itself
	if err != nil {
		return process{}, fmt.Errorf("resolving %s: %w", joined(specs), err)
	}
	p := process{wall: wall}
	if err := json.Unmarshal(out, &p.once); err != nil {
		return process{}, fmt.Errorf("resolving %s: %w", joined(specs), err)
	}
	return p, nil
}

// timed runs a process, and says what it wrote and how long it took.
func timed(cmd *exec.Cmd) (out []byte, wall time.Duration, err error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return nil, 0, fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return stdout.Bytes(), time.Since(start), nil
}

// runProgram has the whole program resolve one request, with an empty cache; it writes the list of URLs to standard output.
func (b *bench) runProgram(ctx context.Context, channel string, specs []string) (time.Duration, error) {
	dir, err := os.MkdirTemp(b.dir, "program-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	environment := filepath.Join(dir, "environment.yml")
	text := "channels: [\"file://" + channel + "\", nodefaults]\ndependencies: [\"" + strings.Join(specs, `", "`) + "\"]\n"
	if err := os.WriteFile(environment, []byte(text), 0o600); err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, b.program, "lock", environment, "--platform", "linux-64", "--format", "explicit", "--output", "-", "--glibc", "2.36") //nolint:gosec // the program under test
	cmd.Env = append(os.Environ(), "CONDA2DOCKER_CACHE="+filepath.Join(dir, "cache"), "CONDA_OVERRIDE_LINUX=6.1", "CONDA_OVERRIDE_ARCHSPEC=x86_64_v3")
	out, wall, err := timed(cmd)
	if err == nil && !bytes.Contains(out, []byte("@EXPLICIT")) {
		err = errors.New("it wrote no list")
	}
	if err != nil {
		return 0, fmt.Errorf("%s lock: %w", b.program, err)
	}
	return wall, nil
}

func joined(specs []string) string { return strings.Join(specs, " ") }
