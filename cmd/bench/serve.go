package main

import (
	"context"
	"net"
	"net/http"
	"strings"
	"time"
)

// served is a folder of channels on a loopback port.
type served struct {
	URL    string // without a trailing slash
	server *http.Server
}

// serve serves a folder, without the files whose names end in one of hidden.
func serve(ctx context.Context, dir string, hidden ...string) (*served, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	files := http.FileServer(http.Dir(dir))
	s := &served{URL: "http://" + l.Addr().String()}
	s.server = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, h := range hidden {
			if strings.HasSuffix(r.URL.Path, h) {
				http.NotFound(w, r)
				return
			}
		}
		w.Header().Set("Cache-Control", "public, max-age=3600")
		files.ServeHTTP(w, r)
	})}
	go s.server.Serve(l) //nolint:errcheck // it ends by Close
	return s, nil
}

func (s *served) Close() { s.server.Close() }
