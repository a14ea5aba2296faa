package matchspec_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda/condatest"
	"github.com/datalayer/conda2docker/conda/matchspec"
)

// differences are the vectors that are answered otherwise than by conda, on purpose.
var differences = map[string]string{
	// conda takes "pkgs/main" for one of its own configured "defaults", and then any of those will do. Here
	// it is the channel that was asked for.
	"pkgs/main::python": "pkgs/main::python",
	"pkgs/main::*":      "pkgs/main::*",
	"pkgs/main::numpy==1.21.0=py39h1234567_0": "pkgs/main::numpy==1.21.0=py39h1234567_0",
	`conda-forge::somepkg=1.2.3=py39h456789a_0 [name="another" channel='pkgs/main',version=">=1.3,<2|!=1.4", build='=*gpu*_5']`: "pkgs/main::somepkg[version='>=1.3,<2|!=1.4',build==*gpu*_5]",

	// Lists (CEP 44, CEP 45), which conda does not read yet. Who cannot honour them refuses them by name.
	"package[extras=[a, b]]":       "package[extras=['a', 'b']]",
	"pkg[extras=[a, b]]":           "pkg[extras=['a', 'b']]",
	"pkg[extras=[b,a]]":            "pkg[extras=['b', 'a']]",
	"pkg[flags=[cpu]]":             "pkg[flags=['cpu']]",
	"pkg[flags=[cpu, gpu:cuda]]":   "pkg[flags=['cpu', 'gpu:cuda']]",
	"pkg[flags=[cpu, gpu:cuda12]]": "pkg[flags=['cpu', 'gpu:cuda12']]",

	// conda drops the condition, and so installs what was not asked for.
	"foo if python>=3.6": "foo[when='python>=3.6']",
}

// Every spec is read to conda's fields and canonical form, or refused where conda refuses it.
func TestCorpusVectors(t *testing.T) {
	data, err := os.ReadFile(condatest.Corpus(t, "vectors/conda_matchspec_vectors.json"))
	require.NoError(t, err)
	var vectors []struct {
		In, Canonical, Error string
		Fields               map[string]string
	}
	require.NoError(t, json.Unmarshal(data, &vectors))
	same, met := 0, map[string]bool{}
	for _, v := range vectors {
		got := "refused"
		spec, err := matchspec.ParseIn(v.In, "/opt/conda")
		if err == nil {
			got = spec.String()
		}
		want := v.Canonical
		if v.Error != "" {
			want = "refused"
		}
		if want, ok := differences[v.In]; ok {
			met[v.In] = true
			require.Equal(t, want, got, v.In)
			continue
		}
		if want != got || err == nil && !sameFields(t, v.Fields, spec) {
			t.Errorf("%q:\n got %s (%v)\nwant %s", v.In, got, err, want)
			continue
		}
		same++
	}
	require.Len(t, met, len(differences), "a difference is not in the vectors any more")
	t.Logf("MatchSpecs: %d of %d as conda reads them, %d different on purpose", same, len(vectors), len(met))
}

// sameFields compares the fields that the vectors record.
func sameFields(t *testing.T, want map[string]string, s matchspec.Spec) bool {
	t.Helper()
	version := s.Version.String()
	if _, ok := want["version"]; !ok && s.Version.IsAny() {
		version = ""
	}
	got := map[string]string{
		"name": string(s.Name), "version": version, "build": s.Build.String(),
		"subdir": s.Subdir, "build_number": s.BuildNumber.String(), "fn": s.FileName, "url": s.URL,
		"md5": s.MD5, "sha256": s.SHA256, "license": s.License.String(),
	}
	for key, value := range got {
		if want[key] != value {
			t.Errorf("%s: got %q, want %q", key, value, want[key])
			return false
		}
	}
	for key, value := range map[string][]string{"track_features": s.TrackFeatures, "features": s.Features} {
		if !slices.Equal(features(want[key]), value) {
			t.Errorf("%s: got %q, want %q", key, value, want[key])
			return false
		}
	}
	channel := s.Channel
	if channel != "" && channel != "defaults" && !strings.Contains(channel, "*") && !strings.Contains(channel, "://") {
		channel = "https://conda.anaconda.org/" + channel
	}
	if want["channel"] != channel {
		t.Errorf("channel: got %q, want %q", channel, want["channel"])
		return false
	}
	return true
}

// features reads how the vectors write a set: frozenset({'mkl', 'debug'}).
func features(s string) []string {
	if s == "" {
		return nil
	}
	var list []string
	for f := range strings.SplitSeq(strings.TrimSuffix(strings.TrimPrefix(s, "frozenset({"), "})"), ", ") {
		list = append(list, strings.Trim(f, "'"))
	}
	slices.Sort(list)
	return list
}
