package main

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/condatest"
)

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

// add publishes a channel's subdir; archives are named as Conda names them.
func (c *channels) add(name string, subdir conda.Subdir, records []*conda.Record) error {
	var all []*conda.Record
	for i, r := range records {
		stem := string(r.Name) + "-" + r.Version.String() + "-" + r.Build
		r.Subdir, r.MD5, r.SHA256 = subdir, strings.Repeat("0", 32), fmt.Sprintf("%064x", hash(name+string(subdir)+stem))
		old := *r
		r.FileName, old.FileName = stem+string(condatest.Conda), stem+string(condatest.TarBz2)
		if i%7 == 3 || i%11 == 5 {
			all = append(all, &old)
		}
		if i%11 != 5 {
			all = append(all, r)
		}
	}
	body, err := condatest.RepodataJSON(subdir, all)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bodies["/"+name+"/"+string(subdir)+"/repodata.json"] = body
	return err
}

func hash(s string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s))
	return h.Sum64()
}
