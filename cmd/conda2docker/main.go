// Command conda2docker turns a Conda environment.yml and a RuntimeEnvironment overlay into a verified container image and
// a RuntimeEnvironment that is pinned to its digest.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/datalayer/conda2docker/builder/engine"
)

// version is set by the linker.
var version = "dev"

func main() {
	engine.ChildMain() // does not return in the process that is the embedded engine
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	err := newApp(environment{Getenv: os.Getenv, Stdout: os.Stdout, Stderr: os.Stderr}).RunContext(ctx, os.Args)
	interrupted := ctx.Err() != nil
	stop()
	if err == nil {
		return
	}
	if interrupted {
		fmt.Fprintln(os.Stderr, "conda2docker: interrupted; what was fetched and built so far is kept for the next run")
		os.Exit(exitError)
	}
	fmt.Fprintf(os.Stderr, "conda2docker: %v\n", err)
	os.Exit(exitCode(err))
}
