// Command examples builds, pushes, scans and runs the example environments, in a sandbox on this machine or, with --online, against the
// real channels and registries.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/datalayer/conda2docker/examples/sandbox"
)

const usage = `usage: examples make|run|clean [flags]

make    makes the sandbox (base images, conda channel, package index, advisories), once
run     builds, pushes, scans and runs every example
clean   removes what make and run made`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "examples:", err)
		os.Exit(1)
	}
}

// options are the flags of all commands.
type options struct {
	cache    string // conda2docker's cache, which everything is below
	examples string // the folder of the examples
	binary   string // conda2docker
	online   bool
}

func (o options) sandbox() string { return filepath.Join(o.cache, "sandbox") }
func (o options) runs() string    { return filepath.Join(o.cache, "examples") }

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	var o options
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.StringVar(&o.cache, "cache", "", "cache `folder`")
	flags.StringVar(&o.examples, "examples", "examples", "`folder` of the examples")
	flags.StringVar(&o.binary, "bin", "bin/conda2docker", "the conda2docker `program`")
	flags.BoolVar(&o.online, "online", false, "use the real conda-forge, Docker Hub and Grype database")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if o.cache == "" {
		var err error
		if o.cache, err = sandbox.Cache(); err != nil {
			return err
		}
	}
	switch args[0] {
	case "make":
		_, err := sandbox.Make(ctx, sandbox.Options{Dir: o.sandbox(), Mirror: os.Getenv("DEBIAN_MIRROR"), Log: say})
		return err
	case "run":
		return runExamples(ctx, o)
	case "clean":
		return clean(o)
	}
	return errors.New(usage)
}

// say prints a line of progress.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}
