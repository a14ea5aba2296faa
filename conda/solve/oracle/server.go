package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/datalayer/conda2docker/conda"
)

// target is the virtual packages that all requests are made with.
func target() ([]conda.VirtualPackage, error) {
	var out []conda.VirtualPackage
	for _, s := range []string{"__glibc=2.36", "__linux=6.1", "__unix=0", "__archspec=1=x86_64_v3"} {
		v, err := conda.ParseVirtualPackage(s)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// channels serves repodata on loopback, to both solvers. They take it for what is below conda.Alias, so that specs can name
// channels as people do.
type channels struct {
	url    string
	corpus string // folder of the real channels, "" for none
	mu     sync.Mutex
	bodies map[string][]byte // by path, such as "/name/noarch/repodata.json"
}

func serve(corpus string) (*channels, error) {
	c := &channels{corpus: corpus, bodies: map[string][]byte{}}
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it lives as long as the process
	if err != nil {
		return nil, err
	}
	c.url = "http://" + l.Addr().String()
	s := &http.Server{Handler: c, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.Serve(l) }()
	return c, nil
}

// ServeHTTP answers with what was added, else with a file of the corpus, decompressed once.
func (c *channels) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	body, ok := c.bodies[r.URL.Path]
	if !ok && c.corpus != "" && strings.HasSuffix(r.URL.Path, "/repodata.json") {
		if packed, err := os.ReadFile(filepath.Join(c.corpus, "repodata", filepath.FromSlash(r.URL.Path)) + ".zst"); err == nil {
			body, ok = unpack(packed)
			c.bodies[r.URL.Path] = body
		}
	}
	if !ok {
		http.NotFound(w, r)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

func unpack(packed []byte) ([]byte, bool) {
	z, err := zstd.NewReader(nil)
	if err != nil {
		return nil, false
	}
	defer z.Close()
	body, err := z.DecodeAll(packed, nil)
	return body, err == nil
}

// entry is one record of a repodata.json.
type entry struct {
	Name          string   `json:"name"`
	Version       string   `json:"version"`
	Build         string   `json:"build"`
	BuildNumber   int64    `json:"build_number"`
	Depends       []string `json:"depends"`
	Constrains    []string `json:"constrains,omitempty"`
	TrackFeatures string   `json:"track_features,omitempty"`
	NoArch        string   `json:"noarch,omitempty"`
	Subdir        string   `json:"subdir"`
	Timestamp     int64    `json:"timestamp,omitempty"`
	SHA256        string   `json:"sha256"`
	MD5           string   `json:"md5"`
	Size          int64    `json:"size"`
}

// add publishes a channel's subdir; archives are named as Conda names them.
func (c *channels) add(name, subdir string, entries []entry, twins bool) error {
	doc := struct {
		Info     map[string]string `json:"info"`
		Packages map[string]entry  `json:"packages"`
		Conda    map[string]entry  `json:"packages.conda"`
	}{map[string]string{"subdir": subdir}, map[string]entry{}, map[string]entry{}}
	for i, e := range entries {
		e.Subdir, e.MD5 = subdir, strings.Repeat("0", 32)
		stem := e.Name + "-" + e.Version + "-" + e.Build
		e.SHA256 = fmt.Sprintf("%064x", hash(name+subdir+stem))
		if twins && i%7 == 3 {
			doc.Packages[stem+".tar.bz2"] = e
		}
		if twins && i%11 == 5 {
			doc.Packages[stem+".tar.bz2"] = e
		} else {
			doc.Conda[stem+".conda"] = e
		}
	}
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false) // rattler reads no escaped dependencies
	err := enc.Encode(doc)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bodies["/"+name+"/"+subdir+"/repodata.json"] = body.Bytes()
	return err
}

func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}
