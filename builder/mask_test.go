package builder

import (
	"testing"

	"github.com/moby/buildkit/client"
	"github.com/stretchr/testify/require"
)

func TestHide(t *testing.T) {
	t.Parallel()
	r := Request{Secrets: map[string][]byte{"requirements": []byte("--index-url https://carol:abc@index.example/simple\nx @ http://bob:s3cr%33t@host/x.whl\n")}}
	for said, want := range map[string]string{
		"Collecting x@ http://bob:s3cr%33t@host/x.whl": "Collecting x@ http://***@host/x.whl",
		"401 for s3cr3t": "401 for ***",
		"https://carol:abc@index.example/simple of abc, abcdef": "https://***@index.example/simple of abc, abcdef",
		"nothing": "nothing",
	} {
		given := &client.VertexLog{Data: []byte(said)}
		s := &client.SolveStatus{Logs: []*client.VertexLog{given}}
		r.hide()(s)
		require.Equal(t, want, string(s.Logs[0].Data))
		require.Equal(t, said, string(given.Data))
	}
}
