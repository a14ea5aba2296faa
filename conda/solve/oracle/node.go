package main

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/datalayer/conda2docker/conda"
)

//go:embed package.json
var packageJSON []byte

//go:embed package-lock.json
var packageLock []byte

//go:embed solve.mjs
var solveScript []byte

// rattler is the other solver, in a Node process that answers one question after the other.
type rattler struct {
	ctx      context.Context //nolint:containedctx // of the process, for restarting it
	dir      string
	loopback string // the URL below which channels are
	log      *os.File
	cmd      *exec.Cmd
	in       *json.Encoder
	out      *bufio.Reader
	spent    time.Duration
	counts   int
}

// question is what rattler is asked.
type question struct {
	Specs     []string  `json:"specs"`
	Channels  []string  `json:"channels"`
	Platforms []string  `json:"platforms"`
	Favored   []favored `json:"favored,omitempty"`
}

// favored is a package in the form that rattler's binding returns and takes.
type favored struct {
	URL         string   `json:"url"`
	PackageName string   `json:"packageName"`
	Version     string   `json:"version"`
	Build       string   `json:"build"`
	BuildNumber int64    `json:"buildNumber"`
	RepoName    string   `json:"repoName"`
	FileName    string   `json:"filename"`
	SHA256      string   `json:"sha256"`
	MD5         string   `json:"md5"`
	Depends     []string `json:"depends"`
	Subdir      string   `json:"subdir"`
}

// answer is the URLs of the chosen archives, sorted, or why there are none.
type answer struct {
	Records []string `json:"records"`
	Error   string   `json:"error"`
	MS      float64  `json:"ms"`
}

// install puts rattler's package into a folder, where it is not there yet.
func install(ctx context.Context, dir string) error {
	for name, body := range map[string][]byte{"package.json": packageJSON, "package-lock.json": packageLock, "solve.mjs": solveScript} {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), body, 0o600); err != nil {
			return err
		}
	}
	if have, err := os.ReadFile(filepath.Join(dir, "node_modules", ".package-lock.json")); err == nil && strings.Contains(string(have), `"version": "0.3.5"`) {
		return nil
	}
	cmd := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("installing rattler by npm ci in %s: %w", dir, err)
	}
	return nil
}

// startRattler starts Node. It is an error where Node or the package is missing.
func startRattler(ctx context.Context, dir, loopback string) (*rattler, error) {
	if err := install(ctx, dir); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "node.log"))
	if err != nil {
		return nil, err
	}
	r := &rattler{ctx: ctx, dir: dir, loopback: loopback, log: log}
	if err := r.start(); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *rattler) start() error {
	cmd := exec.CommandContext(r.ctx, "node", "solve.mjs", conda.Alias, r.loopback+"/") //nolint:gosec // addresses of this program
	cmd.Dir, cmd.Stderr = r.dir, r.log
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting node: %w", err)
	}
	r.cmd, r.in, r.out = cmd, json.NewEncoder(in), bufio.NewReader(out)
	return nil
}

// crashed is the error of an answer that there is none of.
const crashed = "rattler crashed"

// solve asks a question. rattler may crash in explaining that there is no solution; it is then started anew.
func (r *rattler) solve(q question) (answer, error) {
	var a answer
	if err := r.in.Encode(q); err != nil {
		return a, fmt.Errorf("asking rattler: %w", err)
	}
	line, err := r.out.ReadBytes('\n')
	if errors.Is(err, io.EOF) {
		_ = r.cmd.Wait()
		return answer{Error: crashed}, r.start()
	}
	if err != nil {
		return a, errors.Join(fmt.Errorf("reading rattler's answer (see %s): %w", r.log.Name(), err), r.cmd.Wait())
	}
	if err := json.Unmarshal(line, &a); err != nil {
		return a, fmt.Errorf("rattler's answer: %w", err)
	}
	r.spent += time.Duration(a.MS * float64(time.Millisecond))
	r.counts++
	a.Records = slices.DeleteFunc(a.Records, func(u string) bool { return strings.Contains(u, "/"+virtualChannel+"/") })
	slices.Sort(a.Records)
	if strings.Contains(a.Error, "unreachable") {
		_ = r.cmd.Process.Kill()
		_ = r.cmd.Wait()
		a.Error = crashed
		return a, r.start()
	}
	return a, nil
}

func (r *rattler) stop() {
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
	_ = r.log.Close()
}
