package rattler

import (
	"context"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/datalayer/conda2docker/conda"
	"github.com/datalayer/conda2docker/conda/condatest"
)

// Target is the virtual packages that the recorded answers, and all that are compared with rattler's, are asked for with.
func Target() ([]conda.VirtualPackage, error) {
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

// virtualChannel is a channel on loopback in which rattler finds virtual packages.
type virtualChannel struct {
	url    string
	server *http.Server
}

// serveVirtual serves the packages as noarch ones.
func serveVirtual(ctx context.Context, packages []conda.VirtualPackage) (*virtualChannel, error) {
	records := make([]*conda.Record, len(packages))
	for i, v := range packages {
		r := *v.Record()
		r.FileName = string(r.Name) + "-" + r.Version.String() + "-" + r.Build + string(condatest.Conda)
		r.Subdir, r.NoArch, r.MD5, r.SHA256 = conda.NoArchSubdir, conda.NoArchGeneric, strings.Repeat("0", 32), strings.Repeat("0", 64)
		records[i] = &r
	}
	bodies := map[string][]byte{}
	for subdir, of := range map[conda.Subdir][]*conda.Record{conda.NoArchSubdir: records, conda.Linux64: nil} {
		body, err := condatest.RepodataJSON(subdir, of)
		if err != nil {
			return nil, err
		}
		bodies["/virtual/"+string(subdir)+"/repodata.json"] = body
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
