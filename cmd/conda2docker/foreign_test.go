package main

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda"
	condaversion "github.com/datalayer/conda2docker/conda/version"
)

// shelf is an index of records by name.
type shelf map[conda.PackageName][]*conda.Record

func (s shelf) Records(_ context.Context, name conda.PackageName) ([]*conda.Record, error) {
	if name == "broken" {
		return nil, errors.New("broken index")
	}
	return s[name], nil
}

func newShelf(t *testing.T, packages ...[3]string) shelf {
	t.Helper()
	s := shelf{}
	for _, p := range packages {
		v, err := condaversion.Parse(p[1])
		require.NoError(t, err)
		name := conda.PackageName(p[0])
		s[name] = append(s[name], &conda.Record{Name: name, Version: v, Build: p[2], Subdir: conda.Linux64})
	}
	return s
}

func TestForeignEnvironments(t *testing.T) {
	t.Parallel()
	index := newShelf(t, [3]string{"zlib", "1.2.11", "h7b6447c_3"}, [3]string{"xz", "5.2.5", "h7b6447c_0"}, [3]string{"tk", "8.6.11", "h1ccaba5_0"},
		[3]string{"pywinpty", "2.0", "0"}, [3]string{"tzdata", "2021a", "h52ac0ba_0"})
	for _, test := range []struct{ body, want string }{
		{"  - zlib\n  - pywinpty\n", ""},                              // this channel has it
		{"  - zlib=1.2.11=h62dcd97_4\n  - xz=5.2.5=h62dcd97_0\n", ""}, // so few are for the solver to explain
		{"  - zlib=1.2.11=h7b6447c_3\n  - xz=5.2.5=h7b6447c_0\n  - tk=8.6.11=h1ccaba5_0\n  - numpy=1.2.1=py39_0\n", ""},
		{"  - zlib=1.2.11=*_4\n  - xz>=5.2=h6*\n  - tk=8.6.11=h2bbff1b_0\n", ""},
		{
			"  - zlib=1.2.11=h62dcd97_4\n  - tzdata=2021a=h52ac0ba_0\n  - xz=5.2.5=h62dcd97_0\n  - tk=8.6.11=h2bbff1b_0\n  - absent=1=0\n",
			"environment.yml:2:5: dependencies: of 4 pins of builds, 3 are of builds that the channels do not have for linux-64, such as \"zlib=1.2.11=h62dcd97_4\": " +
				"the file looks as if it was exported on another system, or from other channels: export it with conda env export --from-history, or with --no-builds\n" +
				"    2 |   - zlib=1.2.11=h62dcd97_4\n      |     ^",
		},
		{
			"  - zlib\n  - vs2015_runtime=14.27.29016=h5e58377_2\n",
			"environment.yml:3:5: dependencies: vs2015_runtime is a package for Windows, and the channels have none for linux-64: leave it out, " +
				"mark its line with # [win], or export the environment with conda env export --from-history\n" +
				"    3 |   - vs2015_runtime=14.27.29016=h5e58377_2\n      |     ^",
		},
		{
			"  - pyobjc-core\n  - vc=14.2\n  - clang_osx-64\n",
			"environment.yml:2:5: dependencies: pyobjc-core is a package for macOS (and so are vc, clang_osx-64)",
		},
	} {
		err := checkForeign(t.Context(), index, parseEnvironment(t, "dependencies:\n"+test.body), conda.Linux64)
		if test.want == "" {
			require.NoError(t, err, test.body)
			continue
		}
		require.ErrorContains(t, err, test.want)
		require.Equal(t, exitNoSolution, exitCode(err))
	}
	err := checkForeign(t.Context(), index, parseEnvironment(t, "dependencies: [broken=1=0]"), conda.Linux64)
	require.EqualError(t, err, "broken index")
}
