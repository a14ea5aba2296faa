package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// bench is a run of some measurements.
type bench struct {
	dir     string
	program string // the whole program, as users have it
	runs    int
	out     io.Writer
}

// heading begins a part of the report, with what it was measured on.
func (b *bench) heading(title, text string) {
	fmt.Fprintf(b.out, "## %s\n\n%s\n\n%s, %d cores, %s, %s.\n\n", title, text, processor(), runtime.NumCPU(), runtime.Version(),
		time.Now().UTC().Format(time.DateOnly))
}

// table writes rows below their heads; the first row is the head.
func (b *bench) table(rows [][]string) {
	for i, row := range rows {
		fmt.Fprintf(b.out, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			fmt.Fprintln(b.out, "|"+strings.Repeat("---|", len(row)))
		}
	}
	fmt.Fprintln(b.out)
}

// say tells on standard error what is being done.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...) }

// processor is the name of this machine's processor.
func processor() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if key, value, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// median of values that there are.
func median[T int64 | float64 | time.Duration](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

func mean(values []time.Duration) time.Duration {
	var sum time.Duration
	for _, v := range values {
		sum += v
	}
	return sum / time.Duration(len(values))
}

// shown is a duration as the tables have it.
func shown(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", d.Seconds()*1000)
	case d < 10*time.Second:
		return fmt.Sprintf("%.0f ms", d.Seconds()*1000)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

func megabytes(n int64) string { return fmt.Sprintf("%d MB", n/1e6) }

// times says how many times longer a is than b.
func times(a, b time.Duration) string { return fmt.Sprintf("%.1f", a.Seconds()/b.Seconds()) }
