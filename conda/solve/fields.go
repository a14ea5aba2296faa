package solve

import (
	"slices"
	"strconv"
	"strings"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/matchspec"
)

// field is a part of a spec that is neither its name, channel, version nor build.
type field struct {
	name, wanted string
	only         matchspec.Spec             // asks for nothing else
	has          func(*conda.Record) string // what people would want to know a record has of it; nil where that helps no one
}

// fields are those by which a spec can select none of the versions that it allows.
func fields(s matchspec.Spec) []field {
	all := []field{
		{"subdir", s.Subdir, matchspec.Spec{Subdir: s.Subdir}, func(r *conda.Record) string { return string(r.Subdir) }},
		{"build_number", s.BuildNumber.String(), matchspec.Spec{BuildNumber: s.BuildNumber}, func(r *conda.Record) string {
			return strconv.FormatInt(r.BuildNumber, 10)
		}},
		{"md5", s.MD5, matchspec.Spec{MD5: s.MD5}, nil},
		{"sha256", s.SHA256, matchspec.Spec{SHA256: s.SHA256}, nil},
		{"url", s.URL, matchspec.Spec{URL: s.URL}, nil},
		{"fn", s.FileName, matchspec.Spec{FileName: s.FileName}, nil},
		{"license", s.License.String(), matchspec.Spec{License: s.License}, func(r *conda.Record) string { return r.License }},
		{"license_family", s.LicenseFamily.String(), matchspec.Spec{LicenseFamily: s.LicenseFamily}, func(r *conda.Record) string { return r.LicenseFamily }},
		{"features", strings.Join(s.Features, " "), matchspec.Spec{Features: s.Features}, nil},
		{"track_features", strings.Join(s.TrackFeatures, " "), matchspec.Spec{TrackFeatures: s.TrackFeatures}, nil},
	}
	return slices.DeleteFunc(all, func(f field) bool { return f.wanted == "" })
}

// excluding is which fields of a spec exclude all of these records: the first that does so alone, or else all that exclude any. It is
// empty where the version or the build excludes them already.
func excluding(s matchspec.Spec, seen []*conda.Record) (records []*conda.Record, by []field) {
	of := matchspec.Spec{Version: s.Version, Build: s.Build}
	for _, r := range seen {
		if of.Match(r) {
			records = append(records, r)
		}
	}
	if len(records) == 0 {
		return seen, nil
	}
	for _, f := range fields(s) {
		n := 0
		for _, r := range records {
			if f.only.Match(r) {
				n++
			}
		}
		switch n {
		case 0:
			return records, []field{f}
		case len(records):
		default:
			by = append(by, f)
		}
	}
	return records, by
}

// excluded says which fields exclude records, and what these have instead.
func excluded(records []*conda.Record, by []field) string {
	if len(by) == 0 {
		return ""
	}
	if f := by[0]; len(by) == 1 && f.has != nil {
		var have []string
		for _, r := range records {
			if v := f.has(r); v != "" && !slices.Contains(have, v) {
				have = append(have, v)
			}
		}
		if len(have) > 0 {
			return ", with " + f.name + " " + or(shorten(have, 3)) + " instead of " + f.wanted
		}
	}
	var wanted []string
	for _, f := range by {
		wanted = append(wanted, f.name+" "+f.wanted)
	}
	if len(records) == 1 {
		return ", which does not have " + and(wanted)
	}
	return ", none of which has " + and(wanted)
}
