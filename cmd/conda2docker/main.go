// Command conda2docker turns a Conda environment.yml and a RuntimeEnvironment overlay into a verified container image and
// a RuntimeEnvironment that is pinned to its digest.
package main

import (
	"context"
	"errors"
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
	// What is in the cache and in the images is nobody's to change, whatever the caller's mask allows.
	syscall.Umask(syscall.Umask(0o022) | 0o022)
	ctx, received := untilSignal()
	app := newApp(environment{LookupEnv: os.LookupEnv, Stdout: os.Stdout, Stderr: os.Stderr})
	err := app.RunContext(ctx, flagsFirst(app, os.Args))
	switch sig := received(); {
	case err == nil:
	case sig != 0:
		fmt.Fprintln(os.Stderr, "conda2docker: interrupted; what was fetched and built so far is kept for the next run")
		os.Exit(128 + int(sig))
	default:
		fmt.Fprintf(os.Stderr, "conda2docker: %v%s\n", err, remedy(err, cacheDir(os.Getenv)))
		os.Exit(exitCode(err))
	}
}

// untilSignal is a context that ends with the first signal to stop; a second one ends the program at once. Received is that
// signal, 0 while there was none. A signal that the caller had ignored, as nohup does, stays so.
func untilSignal() (ctx context.Context, received func() syscall.Signal) {
	signals := make(chan os.Signal, 1)
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() {
		sig, _ := (<-signals).(syscall.Signal)
		signal.Stop(signals)
		cancel(signalError{sig})
	}()
	return ctx, func() syscall.Signal {
		var sig signalError
		errors.As(context.Cause(ctx), &sig)
		return sig.Signal
	}
}

// signalError is a signal as the cause of a context's end.
type signalError struct{ syscall.Signal }

func (e signalError) Error() string { return e.String() }
