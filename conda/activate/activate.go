// Package activate says which variables activating an environment sets, so that an image can have them without being activated: those
// that files name, and those that scripts set, from what they did when they were run as different users in different places (CEP 32).
package activate

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// unsetValue is how conda writes in a file that a variable is to be unset.
const unsetValue = "***unset***"

// Files are the files that name variables: etc/conda/env_vars.d/*.json by file name, and conda-meta/state.
type Files struct {
	EnvVars map[string][]byte
	State   []byte // nil where there is none
}

// Variables are those that the files set: the files of packages in the order of their names, then the environment's own state, of which
// the last one that names a variable counts. What is no string is left out, with a warning.
func (f Files) Variables() (set map[string]string, warnings []string, err error) {
	set = map[string]string{}
	put := func(file string, values map[string]any) {
		for _, name := range slices.Sorted(maps.Keys(values)) {
			value, ok := values[name].(string)
			switch {
			case !validName(name) || !ok || strings.ContainsRune(value, 0):
				warnings = append(warnings, fmt.Sprintf("%s: %q is left out: want the name of a variable, and a string", file, name))
			case value == unsetValue:
				delete(set, name)
			default:
				set[name] = value
			}
		}
	}
	for _, file := range slices.Sorted(maps.Keys(f.EnvVars)) {
		var values map[string]any
		if err := json.Unmarshal(f.EnvVars[file], &values); err != nil {
			return nil, nil, fmt.Errorf("reading etc/conda/env_vars.d/%s: %w", file, err)
		}
		put("etc/conda/env_vars.d/"+file, values)
	}
	if f.State != nil {
		var state struct {
			EnvVars map[string]any `json:"env_vars"`
		}
		if err := json.Unmarshal(f.State, &state); err != nil {
			return nil, nil, fmt.Errorf("reading conda-meta/state: %w", err)
		}
		put("conda-meta/state", state.EnvVars)
	}
	return set, warnings, nil
}

func validName(s string) bool {
	if s == "" || s[0] >= '0' && s[0] <= '9' {
		return false
	}
	return strings.Trim(s, "_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") == ""
}
