package envspec

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A fault in a file that is far too long is found where the parser finds it, rather than by parsing all of the file's beginnings.
func TestLargeFilesAreRefusedNearTheFault(t *testing.T) {
	t.Parallel()
	const lines = 60_000
	data := []byte("dependencies:\n" + strings.Repeat("  - a\n", lines) + "  b\n")
	_, _, err := ParseEnvironment([]File{{Path: "e.yml", Data: data}}, Options{})
	var e *Error
	require.ErrorAs(t, err, &e)
	require.InDelta(t, lines+2, e.Line, 2)
	require.ErrorContains(t, err, "this is not YAML: could not find expected ':'")
}
