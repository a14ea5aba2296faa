package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// environment is what the program sees of the process it runs in.
type environment struct {
	LookupEnv func(string) (string, bool)
	Stdout    io.Writer // carries results only
	Stderr    *os.File  // progress, warnings
}

// Getenv is a variable's value, "" where it is not set.
func (e environment) Getenv(name string) string {
	v, _ := e.LookupEnv(name)
	return v
}

// newApp is the command line: every command is flags, a struct, one call.
func newApp(env environment) *cli.App {
	commands := []*cli.Command{buildCommand(env), lockCommand(env), cacheCommand(env)}
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

// environmentFiles are the positional arguments.
func environmentFiles(c *cli.Context) ([]string, error) {
	files := c.Args().Slice()
	if len(files) == 0 {
		return nil, usageError{fmt.Errorf("%s needs an environment file, for example: conda2docker %s environment.yml", c.Command.Name, c.Command.Name)}
	}
	if slices.Contains(files, "-") {
		return nil, usageError{errors.New("the environment is read from a file, not from standard input")}
	}
	return files, nil
}

// flagsFirst moves the flags of a command before its arguments, where the library wants them and few people write them. What
// follows "--" is left alone.
func flagsFirst(app *cli.App, args []string) []string {
	if len(args) < 2 {
		return args
	}
	command, head := app.Command(args[1]), 2
	if command == nil {
		return args
	}
	for len(args) > head && command.Command(args[head]) != nil {
		command, head = command.Command(args[head]), head+1
	}
	takesValue := map[string]bool{}
	for _, f := range command.Flags {
		_, isBool := f.(*cli.BoolFlag)
		for _, name := range f.Names() {
			takesValue[name] = !isBool
		}
	}
	var flags, rest []string
	for words := args[head:]; len(words) > 0; words = words[1:] {
		word := words[0]
		if word == "--" {
			rest = append(rest, words...)
			break
		}
		if !strings.HasPrefix(word, "-") || word == "-" {
			rest = append(rest, word)
			continue
		}
		flags = append(flags, word)
		if !takesValue[strings.TrimLeft(word, "-")] {
			continue
		}
		if words = words[1:]; len(words) == 0 {
			return slices.Concat(args[:head], flags) // for the library to complain that the value is missing
		}
		flags = append(flags, words[0])
	}
	return slices.Concat(args[:head], flags, rest)
}
