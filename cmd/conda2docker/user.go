package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/datalayer/conda2docker/builder/base"
	"github.com/datalayer/conda2docker/builder/layer"
	"github.com/datalayer/conda2docker/envspec"
)

// The user that images run as. The numbers are those that Datalayer's runtimes, and Jupyter's images before them, run with.
const (
	userName = "conda"
	userID   = 1000
	groupID  = 100
)

// user is the account that an image runs as.
type user struct {
	Name, Home, Shell string
	known             bool // it is the base's
}

// ID is the user as an image's configuration names it: numbers, which a cluster can check for not being root.
func (u user) ID() string { return fmt.Sprintf("%d:%d", userID, groupID) }

// userOf is the profile's account; where that names none, the base's account with the user's number, else one that is added.
func userOf(img base.Image, p profile) user {
	u := user{Name: p.User, Shell: "/bin/sh"}
	if img.Facts.Bash {
		u.Shell = "/bin/bash"
	}
	for line := range strings.Lines(img.Facts.Passwd) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) == 7 && f[2] == fmt.Sprint(userID) && (p.User == "" || f[0] == p.User && f[5] == "/home/"+p.User) {
			return user{Name: f[0], Home: f[5], Shell: f[6], known: true}
		}
	}
	if u.Name == "" {
		u.Name = userName
	}
	u.Home = "/home/" + u.Name
	return u
}

// files are the account's entries and its home. That is root's group's, and the group may write: so a cluster that runs every
// container as some number of its own, always in group 0, can use it.
func (u user) files(img base.Image) []layer.File {
	if u.known {
		return nil
	}
	files := []layer.File{
		{Path: "/etc/passwd", Body: []byte(withLine(u.withoutTwins(img.Facts.Passwd), fmt.Sprintf("%s:x:%d:%d::%s:%s", u.Name, userID, groupID, u.Home, u.Shell)))},
		{Path: u.Home, Dir: true, Mode: 0o775, UID: userID, GID: 0},
	}
	if !strings.Contains("\n"+img.Facts.Group, fmt.Sprintf(":%d:", groupID)) {
		files = append(files, layer.File{Path: "/etc/group", Body: []byte(withLine(img.Facts.Group, fmt.Sprintf("users:x:%d:", groupID)))})
	}
	return files
}

// withoutTwins is a list of accounts without those of the user's number or name.
func (u user) withoutTwins(passwd string) string {
	var out strings.Builder
	for line := range strings.Lines(passwd) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) != 7 || f[2] != fmt.Sprint(userID) && f[0] != u.Name {
			out.WriteString(line)
		}
	}
	return out.String()
}

func withLine(text, line string) string {
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return text + line + "\n"
}

// stateFile is conda-meta/state, in which conda keeps an environment's variables (CEP 32).
func stateFile(variables []envspec.Variable) ([]byte, error) {
	values := map[string]string{}
	for _, v := range variables {
		values[v.Name] = v.Value
	}
	b, err := json.Marshal(map[string]any{"env_vars": values})
	if err != nil {
		return nil, fmt.Errorf("writing conda-meta/state: %w", err)
	}
	return b, nil
}
