// Package rattler asks rattler, which runs in Node, what it would choose.
package rattler

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

// Version is the one of the package @conda-org/rattler that is asked.
const Version = "0.3.5"

//go:embed package.json
var packageJSON []byte

//go:embed package-lock.json
var packageLock []byte

//go:embed solve.mjs
var solveScript []byte

// Options say how rattler is run.
type Options struct {
	Dir string // where it is installed, by npm, if it is not there yet
	// Channels is a URL on loopback; what is below conda.Alias is asked for below it. Default: nothing is asked for elsewhere.
	Channels string
	Virtual  []conda.VirtualPackage // the facts about the target system, in each question
}

// Solver is a Node process that answers one question after the other.
type Solver struct {
	options Options
	virtual *virtualChannel
	log     *os.File
	cmd     *exec.Cmd // nil where none runs
	in      *json.Encoder
	out     *bufio.Reader
}

// Question is what is to be solved.
type Question struct {
	Specs    []string
	Channels []string        // URLs
	Favored  []*conda.Record // are chosen wherever they fit
}

// Answer is the URLs of the chosen archives, sorted, or why there are none.
type Answer struct {
	Records []string
	Error   string
	Took    time.Duration // in the process, with the reading of the channels' indexes
}

// Crashed is the error of an Answer that there is none of.
const Crashed = "rattler crashed"

// New installs and starts rattler. It is an error where Node, npm or the package is missing.
func New(ctx context.Context, o Options) (*Solver, error) {
	if err := install(ctx, o.Dir); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(o.Dir, "node.log"))
	if err != nil {
		return nil, err
	}
	s := &Solver{options: o, log: log}
	if s.virtual, err = serveVirtual(ctx, o.Virtual); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	if err := s.start(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// install puts rattler's package into a folder, where it is not there yet.
func install(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	for name, body := range map[string][]byte{"package.json": packageJSON, "package-lock.json": packageLock, "solve.mjs": solveScript} {
		if err := os.WriteFile(filepath.Join(dir, name), body, 0o600); err != nil {
			return err
		}
	}
	have, err := os.ReadFile(filepath.Join(dir, "node_modules", ".package-lock.json"))
	if err == nil && strings.Contains(string(have), `"version": "`+Version+`"`) {
		return nil
	}
	cmd := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("installing rattler by npm ci in %s: %w", dir, err)
	}
	return nil
}

// start starts a process, which lives until it is stopped.
func (s *Solver) start() error {
	cmd := exec.Command("node", "solve.mjs", conda.Alias, s.options.Channels+"/") //nolint:gosec,noctx // an address of this program; stop ends it
	cmd.Dir, cmd.Stderr = s.options.Dir, s.log
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
	s.cmd, s.in, s.out = cmd, json.NewEncoder(in), bufio.NewReader(out)
	return nil
}

func (s *Solver) stop() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		s.cmd = nil
	}
}

// Close ends the process.
func (s *Solver) Close() {
	s.stop()
	s.virtual.close()
	_ = s.log.Close()
}

// question and answer are what the script reads and writes, one a line.
type question struct {
	Specs     []string  `json:"specs"`
	Channels  []string  `json:"channels"`
	Platforms []string  `json:"platforms"`
	Favored   []favored `json:"favored,omitempty"`
}

type answer struct {
	Records []string `json:"records"`
	Error   string   `json:"error"`
	MS      float64  `json:"ms"`
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

// Solve asks a question, for linux-64. The context's end ends the process, of which a new one is started for the next question.
func (s *Solver) Solve(ctx context.Context, q Question) (Answer, error) {
	if s.cmd == nil {
		if err := s.start(); err != nil {
			return Answer{}, err
		}
	}
	process := s.cmd.Process
	defer context.AfterFunc(ctx, func() { _ = process.Kill() })()
	if err := s.in.Encode(s.written(q)); err != nil {
		return Answer{}, fmt.Errorf("asking rattler: %w", err)
	}
	line, err := s.out.ReadBytes('\n')
	switch {
	case ctx.Err() != nil:
		s.stop()
		return Answer{}, context.Cause(ctx)
	case errors.Is(err, io.EOF):
		s.stop()
		return Answer{Error: Crashed}, nil
	case err != nil:
		return Answer{}, fmt.Errorf("reading rattler's answer (see %s): %w", s.log.Name(), err)
	}
	var a answer
	if err := json.Unmarshal(line, &a); err != nil {
		return Answer{}, fmt.Errorf("rattler's answer: %w", err)
	}
	if strings.Contains(a.Error, "unreachable") { // WebAssembly's word for a panic, after which nothing works
		s.stop()
		a.Error = Crashed
	}
	records := slices.DeleteFunc(a.Records, func(u string) bool { return strings.HasPrefix(u, s.virtual.url) })
	slices.Sort(records)
	return Answer{Records: records, Error: a.Error, Took: time.Duration(a.MS * float64(time.Millisecond))}, nil
}

// written is a question as the script reads it: the binding has no parameter for virtual packages, so that they are asked for, from a
// channel of their own.
func (s *Solver) written(q Question) question {
	out := question{Channels: append([]string{s.virtual.url}, q.Channels...), Platforms: []string{"linux-64", "noarch"}}
	for _, v := range s.options.Virtual {
		out.Specs = append(out.Specs, string(v.Name))
	}
	out.Specs = append(out.Specs, q.Specs...)
	for _, r := range q.Favored {
		out.Favored = append(out.Favored, favored{
			URL: r.URL, PackageName: string(r.Name), Version: r.Version.String(), Build: r.Build, BuildNumber: r.BuildNumber,
			RepoName: r.Channel.URL + "/", FileName: r.FileName, SHA256: r.SHA256, MD5: r.MD5, Depends: r.Depends, Subdir: string(r.Subdir),
		})
	}
	return out
}
