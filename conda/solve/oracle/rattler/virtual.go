package rattler

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/datalayer/conda2docker/conda"
)

// virtualChannel is a channel on loopback in which rattler finds virtual packages.
type virtualChannel struct {
	url    string
	server *http.Server
}

// serveVirtual serves the packages as noarch ones.
func serveVirtual(ctx context.Context, packages []conda.VirtualPackage) (*virtualChannel, error) {
	records := map[string]any{}
	for _, v := range packages {
		records[string(v.Name)+"-"+v.Version.String()+"-"+v.Build+".conda"] = map[string]any{
			"name": v.Name, "version": v.Version.String(), "build": v.Build, "build_number": 0, "depends": []string{},
			"subdir": "noarch", "noarch": "generic", "size": 0, "md5": strings.Repeat("0", 32), "sha256": strings.Repeat("0", 64),
		}
	}
	bodies := map[string][]byte{}
	for subdir, of := range map[string]map[string]any{"noarch": records, "linux-64": {}} {
		body, err := json.Marshal(map[string]any{
			"info": map[string]string{"subdir": subdir}, "packages": map[string]any{}, "packages.conda": of,
		})
		if err != nil {
			return nil, err
		}
		bodies["/virtual/"+subdir+"/repodata.json"] = body
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &virtualChannel{url: "http://" + l.Addr().String() + "/virtual"}
	c.server = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body, ok := bodies[r.URL.Path]; ok {
			_, _ = w.Write(body)
		} else {
			http.NotFound(w, r)
		}
	})}
	go func() { _ = c.server.Serve(l) }() // it ends by close
	return c, nil
}

func (c *virtualChannel) close() { _ = c.server.Close() }
