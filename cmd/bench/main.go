// Command bench measures conda2docker beside its rivals, on the same machine, in the same run, and prints tables of
// medians and ratios in Markdown. RESULTS.md holds what was measured last.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/urfave/cli/v2"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := app().RunContext(ctx, os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has been called
	}
}

func app() *cli.App {
	dir := &cli.StringFlag{
		Name: "dir", Usage: "where channels, rivals and caches are put", EnvVars: []string{"CONDA2DOCKER_CACHE"}, Required: true,
	}
	runs := &cli.IntFlag{Name: "runs", Usage: "how often each is measured", Value: 5}
	program := &cli.StringFlag{Name: "bin", Usage: "the program, as users have it", Value: "bin/conda2docker"}
	part := func(name, usage string, run func(context.Context, *bench) error) *cli.Command {
		return &cli.Command{Name: name, Usage: usage, Flags: []cli.Flag{dir, program, runs}, Action: func(c *cli.Context) error {
			b := &bench{
				dir: filepath.Join(c.String("dir"), "bench"), program: c.String("bin"), runs: max(1, c.Int("runs")), out: c.App.Writer,
			}
			if err := os.MkdirAll(b.dir, 0o755); err != nil {
				return err
			}
			return run(c.Context, b)
		}}
	}
	return &cli.App{
		Name: "bench", Usage: "measure conda2docker beside its rivals", HideHelpCommand: true,
		Commands: []*cli.Command{
			part("resolve", "requests on 26,381 records, beside rattler", benchResolve),
			part("scale", "requests on up to 840,000 records, through each form of index", benchScale),
			part("adversarial", "requests that are made to be hard, beside rattler", benchAdversarial),
			part("layers", "packages to layer segments, beside cph extract", benchLayers),
			part("bytecode", "what compiling noarch python packages takes, beside compileall", benchBytecode),
			onceCommand(), segmentsCommand(),
		},
	}
}
