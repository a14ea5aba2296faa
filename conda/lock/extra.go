package lock

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/datalayer/conda2docker/conda"
)

// Keys of a conda-lock file's custom_metadata under which this program keeps what the format has no place for.
const (
	recordKey  = "conda2docker/record/"  // + the archive's URL: an extra
	pipKey     = "conda2docker/pip/"     // + the file's URL: a pipExtra
	virtualKey = "conda2docker/virtual/" // + the platform: virtual packages that were taken for granted
	requestKey = "conda2docker/request/" // + the platform: what was asked for

	pipVersionKey = "conda2docker/pip-version/" // + the platform: of the pip that chose its packages of pip's
)

// extra is what a conda-lock file does not say of a record. It makes that a build from a lock and one from
// the channels' index are the same.
type extra struct {
	Channel                string   `json:"channel,omitempty"` // its name, where that does not follow from its URL
	Build                  string   `json:"build,omitempty"`   // where it does not follow from the file's name
	BuildNumber            int64    `json:"build_number,omitempty"`
	Constrains             []string `json:"constrains,omitempty"`
	Depends                []string `json:"depends,omitempty"` // where a map from name to constraint cannot say it
	Features               string   `json:"features,omitempty"`
	License                string   `json:"license,omitempty"`
	LicenseFamily          string   `json:"license_family,omitempty"`
	NoArch                 string   `json:"noarch,omitempty"`
	PythonSitePackagesPath string   `json:"python_site_packages_path,omitempty"`
	Size                   int64    `json:"size,omitempty"`
	Timestamp              int64    `json:"timestamp,omitempty"`
	TrackFeatures          []string `json:"track_features,omitempty"`

	Extras map[string][]string `json:"extra_depends,omitempty"`
	Flags  []string            `json:"flags,omitempty"`

	Other json.RawMessage `json:"other,omitempty"`
}

// pipExtra is what a conda-lock file does not say of a package of pip's.
type pipExtra struct {
	Depends        []string        `json:"depends,omitempty"` // where a map from name to constraint cannot say it
	Index          string          `json:"index,omitempty"`
	RequiresPython string          `json:"requires_python,omitempty"`
	Implied        bool            `json:"implied,omitempty"`
	Build          []BuildPackage  `json:"build,omitempty"`
	Other          json.RawMessage `json:"other,omitempty"`
}

func pipExtraOf(k PipPackage) pipExtra {
	e := pipExtra{Index: k.Index, RequiresPython: k.RequiresPython, Implied: k.Implied, Build: k.Build, Other: rawJSON(k.Other)}
	if !slices.Equal(k.Depends, dependTexts(dependMap(k.Depends))) {
		e.Depends = k.Depends
	}
	return e
}

func (e pipExtra) apply(k *PipPackage) {
	k.Index, k.RequiresPython, k.Other, k.Implied, k.Build = e.Index, e.RequiresPython, string(e.Other), e.Implied, e.Build
	if e.Depends != nil {
		k.Depends = e.Depends
	}
}

// extraOf is what has to be added to plain, the record that the file's own fields make.
func extraOf(k Package, plain *conda.Record) extra {
	r := k.Record
	e := extra{
		Other:       rawJSON(k.Other),
		BuildNumber: r.BuildNumber, Constrains: r.Constrains, Features: r.Features, License: r.License,
		LicenseFamily: r.LicenseFamily, NoArch: string(r.NoArch), PythonSitePackagesPath: r.PythonSitePackagesPath,
		Size: r.Size, Timestamp: r.Timestamp, TrackFeatures: r.TrackFeatures, Extras: r.Extras, Flags: r.Flags,
	}
	if r.Channel.Name != plain.Channel.Name {
		e.Channel = r.Channel.Name
	}
	if r.Build != plain.Build {
		e.Build = r.Build
	}
	if !slices.Equal(r.Depends, plain.Depends) {
		e.Depends = r.Depends
	}
	return e
}

// rawJSON is a text that is JSON already.
func rawJSON(s string) json.RawMessage {
	if s == "" {
		return nil
	}
	return json.RawMessage(s)
}

// jsonText is a value as JSON in one line; "" where it is zero.
func jsonText(v any) (string, error) {
	if reflect.ValueOf(v).IsZero() {
		return "", nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "", err
	}
	return strings.TrimSpace(b.String()), nil
}

// apply adds the extra to a record that is being read.
func (e extra) apply(k *Package) {
	r := k.Record
	k.Other = string(e.Other)
	r.BuildNumber, r.Constrains, r.Features, r.License = e.BuildNumber, e.Constrains, e.Features, e.License
	r.LicenseFamily, r.NoArch, r.PythonSitePackagesPath = e.LicenseFamily, conda.NoArch(e.NoArch), e.PythonSitePackagesPath
	r.Size, r.Timestamp, r.TrackFeatures, r.Extras, r.Flags = e.Size, e.Timestamp, e.TrackFeatures, e.Extras, e.Flags
	if e.Channel != "" {
		r.Channel.Name = e.Channel
	}
	if e.Build != "" {
		r.Build = e.Build
	}
	if e.Depends != nil {
		r.Depends = e.Depends
	}
}

func byVirtual(a, b conda.VirtualPackage) int { return strings.Compare(a.String(), b.String()) }

func virtualTexts(virtual []conda.VirtualPackage) []string {
	out := make([]string, len(virtual))
	for i, v := range virtual {
		out[i] = v.String()
	}
	slices.Sort(out)
	return out
}

func parseVirtual(s string) ([]conda.VirtualPackage, error) {
	var out []conda.VirtualPackage
	for _, f := range strings.Fields(s) {
		v, err := conda.ParseVirtualPackage(f)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// dependMap says dependencies as a map from name to constraint, in their order; those on one name are
// joined as well as they can be.
func dependMap(depends []string) []pair {
	var out []pair
	for _, d := range depends {
		name, constraint := conda.CutDependency(d)
		i := slices.IndexFunc(out, func(o pair) bool { return o.key == name })
		switch {
		case i < 0:
			out = append(out, pair{name, constraint})
		case out[i].value == "" || out[i].value == "*":
			out[i].value = constraint
		case constraint != "" && constraint != "*":
			out[i].value += "," + constraint
		}
	}
	return out
}

func dependTexts(depends []pair) []string {
	var out []string
	for _, d := range depends {
		out = append(out, strings.TrimSpace(d.key+" "+d.value))
	}
	return out
}

// parseJSON reads what jsonText has written.
func parseJSON(s string, v any) error {
	dec := json.NewDecoder(strings.NewReader(s))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("reading %q: %w", s, err)
	}
	return nil
}
