package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/datalayer/conda2docker/builder/layer"
	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/archive"
	"github.com/datalayer/conda2docker/conda/link"
	"github.com/datalayer/conda2docker/conda/version"
)

// segments is what a process that makes layer segments says of itself.
type segments struct {
	Took    time.Duration `json:"took"` // of making them; the process knows the packages' records before, as the program does
	TarSize int64         `json:"tar_size"`
	Peak    int64         `json:"peak"` // bytes that were resident at most
}

// segmentsCommand is the process that is measured.
func segmentsCommand() *cli.Command {
	return &cli.Command{
		Name: "segments", Usage: "make the layer segments of packages, and say what it took (the process that is measured)", Hidden: true,
		Flags: []cli.Flag{&cli.StringFlag{Name: "dir", Required: true}, &cli.IntFlag{Name: "parallel", Required: true}},
		Action: func(c *cli.Context) error {
			out, err := makeSegments(c.Context, c.String("dir"), c.Args().Slice(), c.Int("parallel"))
			if err != nil {
				return err
			}
			return json.NewEncoder(c.App.Writer).Encode(out)
		},
	}
}

// runSegments makes the packages' segments in a new process, on so many cores.
func runSegments(ctx context.Context, dir string, paths []string, cores int) (segments, error) {
	self, err := os.Executable()
	if err != nil {
		return segments{}, err
	}
	cmd := pinned(ctx, cores, append([]string{self, "segments", "--dir", dir, "--parallel", strconv.Itoa(cores), "--"}, paths...)...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS="+strconv.Itoa(cores))
	var s segments
	out, _, err := timed(cmd)
	if err == nil {
		err = json.Unmarshal(out, &s)
	}
	if err != nil {
		return segments{}, fmt.Errorf("making layer segments: %w", err)
	}
	return s, nil
}

// pinned is a command that may use the first so many cores only.
func pinned(ctx context.Context, cores int, command ...string) *exec.Cmd {
	args := append([]string{"-c", fmt.Sprintf("0-%d", cores-1)}, command...)
	return exec.CommandContext(ctx, "taskset", args...) //nolint:gosec // this program and its rival
}

// makeSegments makes the packages' segments in a folder, and measures that.
func makeSegments(ctx context.Context, dir string, paths []string, parallel int) (segments, error) {
	inputs := make([]layer.Input, len(paths))
	for i, path := range paths {
		var err error
		if inputs[i], err = segmentInput(ctx, path); err != nil {
			return segments{}, err
		}
	}
	cache, err := layer.Open(layer.Options{Dir: dir})
	if err != nil {
		return segments{}, err
	}
	start := time.Now()
	made, err := cache.Segments(ctx, inputs, parallel, nil)
	s := segments{Took: time.Since(start)}
	if err != nil {
		return segments{}, err
	}
	for _, m := range made {
		s.TarSize += m.TarSize
	}
	s.Peak, err = peak()
	return s, err
}

// segmentInput is a package of a channel's folder, as it says itself what it is.
func segmentInput(ctx context.Context, path string) (layer.Input, error) {
	r, err := archive.Open(path, archive.Options{})
	if err != nil {
		return layer.Input{}, err
	}
	defer r.Close()
	var index struct {
		Name, Version, Build string
		NoArch               any
		Timestamp            int64
	}
	err = r.Info(ctx, func(e archive.Entry, body io.Reader) error {
		if e.Path != "info/index.json" {
			return nil
		}
		return json.NewDecoder(body).Decode(&index)
	})
	if err != nil {
		return layer.Input{}, err
	}
	v, err := version.Parse(index.Version)
	if err != nil {
		return layer.Input{}, fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	kind, _ := index.NoArch.(string) // older packages have true
	rec := &conda.Record{
		Name: conda.PackageName(strings.ToLower(index.Name)), Version: v, Build: index.Build, NoArch: conda.NoArch(kind),
		Subdir: conda.Subdir(filepath.Base(filepath.Dir(path))), Timestamp: index.Timestamp, FileName: filepath.Base(path),
	}
	sum := sha256.Sum256([]byte(path)) // it only names the segment
	return layer.Input{
		Record: rec, ArchivePath: path, ArchiveSHA256: hex.EncodeToString(sum[:]),
		Target: link.Target{Prefix: "/opt/conda", Subdir: conda.Linux64, Python: &link.Python{Version: "3.11"}},
	}, nil
}
