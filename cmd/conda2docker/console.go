package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// console shows the stages of a build on stderr: in a terminal a line that lives while its stage runs,
// elsewhere one plain line when the stage is done.
type console struct {
	w    io.Writer
	live bool
	mu   sync.Mutex
	now  func() time.Time
}

func newConsole(w *os.File, mode string) *console {
	live := term.IsTerminal(int(w.Fd())) && mode != "plain" && mode != "quiet"
	var out io.Writer = w
	if mode == "quiet" {
		out = io.Discard
	}
	return &console{w: out, live: live, now: time.Now}
}

// stage runs one stage and prints its name, what it says of itself, and its time.
func (c *console) stage(name string, run func(*stage) (string, error)) error {
	s := &stage{name: name, c: c, start: c.now()}
	s.show("")
	said, err := run(s)
	took := seconds(c.now().Sub(s.start))
	c.mu.Lock()
	defer c.mu.Unlock()
	s.done = true
	c.clear()
	if err != nil {
		_, _ = fmt.Fprintf(c.w, "✗ %-8s  %8s\n", name, took)
		return err
	}
	_, _ = fmt.Fprintf(c.w, "✓ %-8s  %8s  %s\n", name, took, said)
	return nil
}

// say prints a line that stays, such as a warning.
func (c *console) say(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clear()
	_, _ = fmt.Fprintf(c.w, format+"\n", args...)
}

// clear removes the live line; the caller holds the lock.
func (c *console) clear() {
	if c.live {
		_, _ = io.WriteString(c.w, "\r\x1b[2K")
	}
}

// stage is one running stage.
type stage struct {
	name  string
	c     *console
	start time.Time
	last  time.Time
	done  bool
}

// show replaces what the live line says; it is cheap to call often.
func (s *stage) show(text string) {
	c := s.c
	if !c.live {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if s.done || (text != "" && now.Sub(s.last) < 80*time.Millisecond) {
		return
	}
	s.last = now
	c.clear()
	_, _ = fmt.Fprintf(c.w, "· %-8s  %8s  %s", s.name, seconds(now.Sub(s.start)), text)
}

// count returns a function that adds up bytes, for a download of unknown length to show.
func (s *stage) count(total *int64, what string) func(int64) {
	var mu sync.Mutex
	return func(n int64) {
		mu.Lock()
		defer mu.Unlock()
		*total += n
		s.show(what + ", " + bytesize(*total))
	}
}

// pause removes the live line and returns, for a display of its own to take the terminal.
func (s *stage) pause() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.c.clear()
	s.last = s.c.now().Add(24 * time.Hour)
}

func seconds(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return d.Round(time.Second).String()
}

// bytesize writes a number of bytes for people, in powers of ten as registries do.
func bytesize(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%d B", n)
}
