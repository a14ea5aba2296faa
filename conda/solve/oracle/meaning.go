package main

import (
	"context"
	"regexp"
	"strings"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/solve"
)

// meaningIndex has the records of another index, with their dependencies written so that conda's meaning of them is the one that
// rattler gives to what stands in the channel.
type meaningIndex struct{ index solve.Index }

// Records implements solve.Index.
func (x meaningIndex) Records(ctx context.Context, n conda.PackageName) ([]*conda.Record, error) {
	records, err := x.index.Records(ctx, n)
	out := make([]*conda.Record, len(records))
	for i, r := range records {
		c := *r
		c.Depends, c.Constrains = rattlersMeanings(r.Depends), rattlersMeanings(r.Constrains)
		out[i] = &c
	}
	return out, err
}

func rattlersMeanings(specs []string) []string {
	out := make([]string, len(specs))
	for i, s := range specs {
		out[i] = rattlersMeaning(s)
	}
	return out
}

var (
	nameAndRest = regexp.MustCompile(`^((?:\S+::)?[A-Za-z0-9_.-]+)\s*(.*)$`)
	term        = regexp.MustCompile(`[,|]|[^,|]+`)
	prefixTerm  = regexp.MustCompile(`^(?:=([^=*]+?)(?:\.?\*)?|([^=<>!~*]+?)\.?\*)$`)
)

// rattlersMeaning rewrites "=1.8", "1.8.*" and "1.8*" to versions that have the components 1 and 8 first. To conda they are the
// versions whose text begins so, of which 1.8rc1 is one and 1.8w another.
func rattlersMeaning(spec string) string {
	m := nameAndRest.FindStringSubmatch(spec)
	if m == nil || m[2] == "" {
		return spec
	}
	version, build, _ := strings.Cut(m[2], " ")
	if strings.HasPrefix(version, "=") && !strings.HasPrefix(version, "==") && build == "" {
		if v, b, ok := strings.Cut(version[1:], "="); ok { // name=version=build is exact to both
			version, build = "=="+v, b
			if v == "*" {
				return spec
			}
		}
	}
	terms := term.FindAllString(version, -1)
	changed := false
	for i, t := range terms {
		if p := prefixTerm.FindStringSubmatch(t); p != nil {
			stem := strings.TrimSuffix(p[1]+p[2], ".")
			terms[i] = `^` + regexp.QuoteMeta(stem) + `([._+-].*)?$`
			changed = true
		}
	}
	if !changed {
		return spec
	}
	out := m[1] + "[version='" + strings.Join(terms, "") + "'"
	if build != "" {
		out += ",build='" + build + "'"
	}
	return out + "]"
}
