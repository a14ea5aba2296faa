package scan

import (
	"fmt"
	"strings"

	"github.com/anchore/grype/grype/match"
	"github.com/anchore/grype/grype/vulnerability"
)

// Severity is how bad a vulnerability is.
type Severity int

// The severities, in order. What has no severity yet, as its advisory is new, is Unknown.
const (
	None Severity = iota // that of a gate that is open
	Unknown
	Negligible
	Low
	Medium
	High
	Critical
)

var severityNames = [...]string{"", "unknown", "negligible", "low", "medium", "high", "critical"} //nolint:gochecknoglobals // the names of the above

// String is the severity's name, in lower case; "" for None.
func (s Severity) String() string {
	if s < None || s > Critical {
		return severityNames[Unknown]
	}
	return severityNames[s]
}

// ParseSeverity reads the severity of a gate, in any case; "" is None.
func ParseSeverity(s string) (Severity, error) {
	if s == "" {
		return None, nil
	}
	if v := severityOf(s); v != Unknown {
		return v, nil
	}
	return None, fmt.Errorf("severity %q: want %s, or nothing for no gate", s, strings.Join(severityNames[Negligible:], ", "))
}

// severityOf reads a severity as the database has it.
func severityOf(s string) Severity {
	for v := Negligible; v <= Critical; v++ {
		if strings.EqualFold(v.String(), s) {
			return v
		}
	}
	return Unknown
}

// Counts is the number of findings of each severity.
type Counts struct {
	Critical, High, Medium, Low, Negligible, Unknown int
}

// String says how many there are of each severity that occurs: "1 critical, 2 medium".
func (c Counts) String() string {
	var parts []string
	for _, n := range []struct {
		count int
		of    Severity
	}{{c.Critical, Critical}, {c.High, High}, {c.Medium, Medium}, {c.Low, Low}, {c.Negligible, Negligible}, {c.Unknown, Unknown}} {
		if n.count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n.count, n.of))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

func count(findings []Finding) Counts {
	var c Counts
	for _, f := range findings {
		switch f.Severity {
		case Critical:
			c.Critical++
		case High:
			c.High++
		case Medium:
			c.Medium++
		case Low:
			c.Low++
		case Negligible:
			c.Negligible++
		default:
			c.Unknown++
		}
	}
	return c
}

// fixedIn are the versions in which a match's vulnerability is fixed.
func fixedIn(m match.Match) []string {
	if m.Vulnerability.Fix.State != vulnerability.FixStateFixed {
		return nil
	}
	return m.Vulnerability.Fix.Versions
}
