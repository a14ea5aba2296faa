package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/solve"
	"github.com/datalayer/conda2docker/envspec"
)

// foreignError is an environment that was exported on another system than the image's: there is no solution.
type foreignError struct{ error }

func (e foreignError) Unwrap() error { return e.error }

// fewestForeign is how many builds must be missing before the whole file is called foreign.
const fewestForeign = 3

// checkForeign finds what can only be for another system: packages that are known to be, where the channels have none of that name, and
// pins of builds, where most are of builds that the channels do not have. Whatever else cannot be had is for the solver to explain.
func checkForeign(ctx context.Context, index solve.Index, env envspec.Environment, subdir conda.Subdir) error {
	suspects := slices.DeleteFunc(slices.Clone(env.Dependencies), func(d envspec.Dependency) bool {
		return !d.Spec.IsExact() || d.OnlyFor() == "" && !d.PinsBuild()
	})
	if len(suspects) == 0 {
		return nil
	}
	if p, ok := index.(solve.Prefetcher); ok {
		names := make([]conda.PackageName, len(suspects))
		for i, d := range suspects {
			names[i] = d.Spec.Name
		}
		if err := p.Prefetch(ctx, names); err != nil {
			return err
		}
	}
	var unknown, missing []envspec.Dependency
	pins := 0
	for _, d := range suspects {
		records, err := index.Records(ctx, d.Spec.Name)
		if err != nil {
			return err
		}
		if len(records) == 0 {
			if d.OnlyFor() != "" {
				unknown = append(unknown, d)
			}
			continue
		}
		if d.PinsBuild() {
			pins++
			if !slices.ContainsFunc(records, d.Spec.Match) {
				missing = append(missing, d)
			}
		}
	}
	switch {
	case len(unknown) > 0:
		return foreignError{unknown[0].Fault(foreignNames(unknown, subdir))}
	case len(missing) >= fewestForeign && 2*len(missing) > pins:
		return foreignError{missing[0].Fault(fmt.Errorf("of %d pins of builds, %d are of builds that the channels do not have for %s, such as %q: "+
			"the file looks as if it was exported on another system, or from other channels: export it with conda env export --from-history, or with --no-builds",
			pins, len(missing), subdir, missing[0].Text))}
	}
	return nil
}

// foreignNames says which packages are for another system only, and what to do.
func foreignNames(unknown []envspec.Dependency, subdir conda.Subdir) error {
	first := unknown[0]
	selector := map[string]string{"Windows": "win", "macOS": "osx"}[first.OnlyFor()]
	more := ""
	if len(unknown) > 1 {
		var names []string
		for _, d := range unknown[1:] {
			names = append(names, string(d.Spec.Name))
		}
		more = fmt.Sprintf(" (and so are %s)", strings.Join(names, ", "))
		if len(names) == 1 {
			more = fmt.Sprintf(" (and so is %s)", names[0])
		}
	}
	return fmt.Errorf("%s is a package for %s%s, and the channels have none for %s: leave it out, mark its line with # [%s], "+
		"or export the environment with conda env export --from-history", first.Spec.Name, first.OnlyFor(), more, subdir, selector)
}
