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
	w     io.Writer
	live  bool
	quiet bool       // stages are not shown; what is said is
	width func() int // of the terminal
	now   func() time.Time

	mu      sync.Mutex // for what is written, and for the stage's text
	current *stage     // the one that runs
}

// checkProgress refuses what is no way of showing the stages.
func checkProgress(mode string) error {
	switch mode {
	case "auto", "tty", "plain", "quiet":
		return nil
	}
	return fmt.Errorf("%q: want auto, tty, plain or quiet", mode)
}

func newConsole(w *os.File, mode string) *console {
	fd := int(w.Fd())
	quiet := mode == "quiet"
	c := &console{w: w, live: term.IsTerminal(fd) && mode != "plain" && !quiet, quiet: quiet, now: time.Now}
	c.width = func() int {
		if columns, _, err := term.GetSize(fd); err == nil {
			return columns
		}
		return 80
	}
	return c
}

// stage runs one stage and prints its name, what it says of itself, and its time.
func (c *console) stage(name string, run func(*stage) (string, error)) error {
	s := &stage{name: name, c: c, start: c.now()}
	c.mu.Lock()
	c.current = s
	c.mu.Unlock()
	stop := s.tick()
	said, err := run(s)
	stop()
	took := seconds(c.now().Sub(s.start))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clear()
	if c.quiet {
		return err
	}
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

// waiting shows on the line of the stage that runs which server does not answer.
func (c *console) waiting(host string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil {
		c.current.text = "waiting for " + host
	}
}

// clear removes the live line; the caller holds the lock.
func (c *console) clear() {
	if c.live {
		_, _ = io.WriteString(c.w, "\r\x1b[2K")
	}
}

// stage is one running stage.
type stage struct {
	name   string
	c      *console
	start  time.Time
	text   string // what the live line says
	paused bool
}

// tick redraws the live line until it is stopped, however often or seldom its text changes.
func (s *stage) tick() (stop func()) {
	if !s.c.live {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		t := time.NewTicker(100 * time.Millisecond)
		defer t.Stop()
		for {
			s.draw()
			select {
			case <-done:
				return
			case <-t.C:
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// draw writes the live line, cut to one line of the terminal.
func (s *stage) draw() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.paused {
		return
	}
	line := []rune(fmt.Sprintf("· %-8s  %8s  %s", s.name, seconds(s.c.now().Sub(s.start)), s.text))
	if width := s.c.width() - 1; len(line) > width && width > 0 {
		line = line[:width]
	}
	s.c.clear()
	_, _ = io.WriteString(s.c.w, string(line))
}

// show replaces what the live line says; it is cheap to call often.
func (s *stage) show(text string) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.text = text
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

// pause removes the live line for good, for a display of its own to take the terminal.
func (s *stage) pause() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.c.clear()
	s.paused = true
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
