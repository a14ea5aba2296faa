package main

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMirrorThatDoesNotAnswerIsNamed(t *testing.T) {
	mirror := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/debian/dists/bookworm/Release" {
			http.NotFound(w, r)
		}
	}))
	t.Setenv("DEBIAN_MIRROR", mirror.URL+"/debian")
	require.NoError(t, mirrorAnswers(t.Context()))
	t.Setenv("DEBIAN_MIRROR", mirror.URL+"/other")
	require.ErrorContains(t, mirrorAnswers(t.Context()), "404")
	mirror.Close()
	require.ErrorContains(t, mirrorAnswers(t.Context()), "DEBIAN_MIRROR")
}

func TestDiskOfAFolderThatIsNotThereYet(t *testing.T) {
	require.ErrorContains(t, enoughDisk("/proc/1/none"), "make room")
	require.False(t, exists(filepath.Join(t.TempDir(), "no")))
}
