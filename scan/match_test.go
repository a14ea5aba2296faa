package scan

import (
	"errors"
	"testing"

	"github.com/anchore/grype/grype/match"
	"github.com/anchore/grype/grype/pkg"
	"github.com/anchore/grype/grype/vulnerability"
	syftpkg "github.com/anchore/syft/syft/pkg"
	"github.com/stretchr/testify/require"
)

type failing struct{ match.Matcher }

func (failing) Match(vulnerability.Provider, pkg.Package) ([]match.Match, []match.IgnoreFilter, error) {
	return nil, nil, errors.New("no such table")
}

func TestWhatCannotBeLookedUpIsSaid(t *testing.T) {
	f := &failures{}
	m := f.watch([]match.Matcher{failing{}})[0]
	for _, name := range []string{"b", "a", "a"} {
		_, _, err := m.Match(nil, pkg.Package{Name: name, Version: "1", Type: syftpkg.CondaPkg})
		require.Error(t, err)
	}
	require.Equal(t, []string{
		"a 1 (conda) could not be looked up: no such table",
		"b 1 (conda) could not be looked up: no such table",
	}, f.list())
}
