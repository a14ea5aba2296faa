package link

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEncodings(t *testing.T) {
	want := map[string]string{
		"utf-8": "/é", "utf-16-le": "/\x00\xe9\x00", "utf-16-be": "\x00/\x00\xe9",
		"utf-32-le": "/\x00\x00\x00\xe9\x00\x00\x00", "utf-32-be": "\x00\x00\x00/\x00\x00\x00\xe9",
	}
	for _, e := range encodings {
		require.Equal(t, want[e.name], string(e.encode("/é")), e.name)
		require.Equal(t, make([]byte, e.width), e.encode("\x00"), e.name)
	}
}
