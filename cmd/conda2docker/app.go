package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"
)

// environment is what the program sees of the process it runs in.
type environment struct {
	Getenv func(string) string
	Stdout io.Writer // carries results only
	Stderr *os.File  // progress, warnings
}

// newApp is the command line: every command is flags, a struct, one call.
func newApp(env environment) *cli.App {
	commands := []*cli.Command{buildCommand(env), cacheCommand(env)}
	refuseUsage(commands)
	return &cli.App{
		Name:      "conda2docker",
		Usage:     "from a Conda environment.yml to a verified image and a pinned RuntimeEnvironment",
		Version:   version,
		Writer:    env.Stdout,
		ErrWriter: env.Stderr,
		// main prints errors and chooses the exit code.
		ExitErrHandler: func(*cli.Context, error) {},
		OnUsageError:   wrongUsage,
		// Commas belong to the values, as in type=oci-dir,dest=FOLDER.
		DisableSliceFlagSeparator: true,
		Commands:                  commands,
		Action:                    noCommand,
	}
}

// noCommand is what a command that has subcommands does without one.
func noCommand(c *cli.Context) error {
	if c.Args().Present() {
		return usageError{fmt.Errorf("no command %q; see %s --help", c.Args().First(), c.Command.HelpName)}
	}
	if c.Command.Name == c.App.Name {
		return cli.ShowAppHelp(c)
	}
	return cli.ShowSubcommandHelp(c)
}

// wrongUsage makes the library's complaints about flags errors of usage, without its printing the whole help to stdout.
func wrongUsage(c *cli.Context, err error, _ bool) error {
	return usageError{fmt.Errorf("%w; see %s --help", err, c.Command.HelpName)}
}

func refuseUsage(commands []*cli.Command) {
	for _, c := range commands {
		c.OnUsageError = wrongUsage
		refuseUsage(c.Subcommands)
	}
}

// environmentFiles are the positional arguments; flags after them are a mistake that is easily made, so
// they are named and not taken for files.
func environmentFiles(c *cli.Context) ([]string, error) {
	files := c.Args().Slice()
	if len(files) == 0 {
		return nil, usageError{fmt.Errorf("%s needs an environment file, for example: conda2docker %s environment.yml", c.Command.Name, c.Command.Name)}
	}
	for _, f := range files {
		if f == "-" {
			return nil, usageError{errors.New("the environment is read from a file, not from standard input")}
		}
		if strings.HasPrefix(f, "-") {
			return nil, usageError{fmt.Errorf("flag %s stands after the environment file: put flags first", f)}
		}
	}
	return files, nil
}
