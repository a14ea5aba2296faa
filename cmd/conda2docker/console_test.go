package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestConsoleIsPlainWithoutATerminal(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	at := time.Unix(0, 0)
	c := &console{w: &out, now: func() time.Time { at = at.Add(1500 * time.Millisecond); return at }}
	require.NoError(t, c.stage("fetch", func(s *stage) (string, error) {
		s.show("half of it")
		c.say("warning: %s", "odd")
		return "all of it", nil
	}))
	failed := errors.New("no")
	require.Equal(t, failed, c.stage("scan", func(*stage) (string, error) { return "", failed }))
	require.Equal(t, "warning: odd\n✓ fetch         1.5s  all of it\n✗ scan          1.5s\n", out.String())
}

func TestConsoleLineFitsTheTerminal(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := &console{w: &out, live: true, now: time.Now, width: func() int { return 30 }}
	s := &stage{name: "fetch", c: c, start: time.Now(), text: strings.Repeat("ä", 100)}
	s.draw()
	require.Len(t, []rune(strings.TrimPrefix(out.String(), "\r\x1b[2K")), 29)
	s.pause()
	out.Reset()
	s.draw()
	require.Empty(t, out.String())
}

func TestSizes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{"10GB": 1e10, "512MiB": 512 << 20, "7": 7, "1.5 kB": 1500, "2T": 2e12} {
		got, err := parseSize(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "GB", "-1", "10 XB", "ten"} {
		_, err := parseSize(text)
		require.Error(t, err, text)
	}
	require.Equal(t, "84.9 MB", bytesize(84_900_000))
	require.Equal(t, "1m30s", seconds(90*time.Second))
}

func TestSettingsNeedAHome(t *testing.T) {
	t.Parallel()
	none := func(string) string { return "" }
	_, err := loadSettings(none)
	require.ErrorContains(t, err, "CONDA2DOCKER_CACHE")
	s, err := loadSettings(func(name string) string { return map[string]string{"HOME": "/home/x"}[name] })
	require.NoError(t, err)
	require.Equal(t, "/home/x/.cache/conda2docker", s.Cache.Dir)
	require.Equal(t, defaultCPUBase, s.Bases.CPU)
}

func TestConsoleWaiting(t *testing.T) {
	var out bytes.Buffer
	c := &console{w: &out, width: func() int { return 80 }, now: time.Now}
	c.waiting("early.example")
	require.NoError(t, c.stage("resolve", func(s *stage) (string, error) {
		c.waiting("slow.example")
		s.draw()
		return "done", nil
	}))
	require.Contains(t, out.String(), "waiting for slow.example")
}
