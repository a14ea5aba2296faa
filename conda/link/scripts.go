package link

import (
	"path"
	"strings"

	"github.com/datalayer/conda2docker/conda"
)

// Scripts are the package's files that conda runs or sources, relative to the prefix; "" and nil where it has none.
type Scripts struct {
	PreLink    string   `json:"pre_link,omitempty"`
	PostLink   string   `json:"post_link,omitempty"`
	PreUnlink  string   `json:"pre_unlink,omitempty"`
	PostUnlink string   `json:"post_unlink,omitempty"`
	Activate   []string `json:"activate,omitempty"`   // etc/conda/activate.d/*.sh
	Deactivate []string `json:"deactivate,omitempty"` // etc/conda/deactivate.d/*.sh
	EnvVars    []string `json:"env_vars,omitempty"`   // etc/conda/env_vars.d/*.json
}

// findScripts finds the scripts that have a meaning by their place (CEP 32, CEP 34).
func findScripts(name conda.PackageName, paths []Path) Scripts {
	var s Scripts
	for _, p := range paths {
		if p.Type == Directory {
			continue
		}
		dir, file := path.Split(p.Path)
		switch {
		case dir == "bin/":
			switch file {
			case "." + string(name) + "-pre-link.sh":
				s.PreLink = p.Path
			case "." + string(name) + "-post-link.sh":
				s.PostLink = p.Path
			case "." + string(name) + "-pre-unlink.sh":
				s.PreUnlink = p.Path
			case "." + string(name) + "-post-unlink.sh":
				s.PostUnlink = p.Path
			}
		case dir == "etc/conda/activate.d/" && strings.HasSuffix(file, ".sh"):
			s.Activate = append(s.Activate, p.Path)
		case dir == "etc/conda/deactivate.d/" && strings.HasSuffix(file, ".sh"):
			s.Deactivate = append(s.Deactivate, p.Path)
		case dir == "etc/conda/env_vars.d/" && strings.HasSuffix(file, ".json"):
			s.EnvVars = append(s.EnvVars, p.Path)
		}
	}
	return s
}
