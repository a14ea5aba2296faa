package fetch_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/datalayer/conda2docker/conda/fetch"
)

// A server that accepts and does not answer is named, and so is each repetition.
func TestWaiting(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	var waits, retries atomic.Int32
	client, err := fetch.New(fetch.Options{
		Retries: 2, Backoff: time.Millisecond, ReadTimeout: 100 * time.Millisecond,
		Waiting: func(host string) {
			if host == strings.TrimPrefix(server.URL, "http://") {
				waits.Add(1)
			}
		},
		Retrying: func(err error, _ time.Duration) {
			if strings.Contains(err.Error(), "the server has stopped sending") {
				retries.Add(1)
			}
		},
	})
	require.NoError(t, err)
	_, err = client.Get(t.Context(), fetch.Request{URL: server.URL + "/a"})
	require.Error(t, err)
	require.EqualValues(t, 3, waits.Load())
	require.EqualValues(t, 2, retries.Load())
}
