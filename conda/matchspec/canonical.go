package matchspec

import "strings"

// canonical writes a spec: what stands before the brackets, and what stands in them.
type canonical struct{ head, brackets strings.Builder }

// String is the spec in conda's canonical form (CEP 29, appendix A).
func (s Spec) String() string {
	var c canonical
	c.place(&s)
	if s.Name == "" {
		c.head.WriteByte('*')
	}
	c.head.WriteString(string(s.Name))
	c.version(&s)
	c.rest(&s)
	if c.brackets.Len() == 0 {
		return c.head.String()
	}
	return c.head.String() + "[" + c.brackets.String() + "]"
}

// place writes the channel and subdir.
func (c *canonical) place(s *Spec) {
	if s.Channel == "" || strings.Contains(s.Channel, "*") {
		if s.Channel != "*" {
			c.pair("channel", s.Channel, ", =")
		}
		c.pair("subdir", s.Subdir, ", ")
		return
	}
	c.head.WriteString(s.Channel)
	if s.Subdir != "" {
		c.head.WriteString("/" + s.Subdir)
	}
	c.head.WriteString("::")
}

// version writes the version and build. A build stands before the brackets only after a single version.
func (c *canonical) version(s *Spec) {
	const special = "><$^|,"
	version, build := s.Version.String(), s.Build.String()
	single := false
	switch {
	case s.Version.IsAny():
	case strings.ContainsAny(version, special),
		build != "" && (strings.HasPrefix(version, "!=") || strings.HasPrefix(version, "~=")):
		c.pair("version", version, special+"=")
	case strings.HasPrefix(version, "!="), strings.HasPrefix(version, "~="):
		c.head.WriteString(version)
	case strings.HasSuffix(version, "*"):
		c.head.WriteString("=" + strings.TrimSuffix(strings.TrimSuffix(version, "*"), "."))
	default:
		single = true
		c.head.WriteString("==" + strings.TrimPrefix(version, "=="))
	}
	if single && build != "" && !strings.ContainsAny(build, special+"*") {
		c.head.WriteString("=" + build)
	} else {
		c.pair("build", build, special+" ")
	}
}

// rest writes what can stand in brackets only.
func (c *canonical) rest(s *Spec) {
	const special = ", ="
	c.pair("build_number", s.BuildNumber.String(), special)
	c.pair("track_features", strings.Join(s.TrackFeatures, " "), special)
	c.pair("features", strings.Join(s.Features, " "), special)
	if s.Channel == "" { // else the channel and the file's name already say it
		c.pair("url", s.URL, special)
	}
	c.pair("md5", s.MD5, special)
	c.pair("sha256", s.SHA256, special)
	c.pair("license", s.License.String(), special)
	c.pair("license_family", s.LicenseFamily.String(), special)
	if s.URL == "" {
		c.pair("fn", s.FileName, special)
	}
	c.pair("when", s.When, special)
	c.list("extras", s.Extras)
	c.list("flags", s.Flags)
}

// pair writes key=value, with quotes where the value has any of these characters or one that would end it.
func (c *canonical) pair(key, value, special string) {
	switch {
	case value == "":
		return
	case strings.Contains(value, "'"):
		value = `"` + value + `"`
	case strings.ContainsAny(value, special+`[]"`):
		value = "'" + value + "'"
	}
	c.raw(key, value)
}

func (c *canonical) list(key string, values []string) {
	if len(values) > 0 {
		c.raw(key, "['"+strings.Join(values, "', '")+"']")
	}
}

func (c *canonical) raw(key, value string) {
	if c.brackets.Len() > 0 {
		c.brackets.WriteByte(',')
	}
	c.brackets.WriteString(key + "=" + value)
}
