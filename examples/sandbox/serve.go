package sandbox

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"gopkg.in/yaml.v3"
)

// Server serves a sandbox on loopback, on ports that the system chooses.
type Server struct {
	ChannelURL string // the channel that stands for conda-forge
	IndexURL   string // the Python package index, as pip's --index-url wants it
	Registry   string // host:port of the image registry
	sandbox    *Sandbox
	servers    []*http.Server
}

// Serve starts the sandbox's servers.
func (s *Sandbox) Serve(ctx context.Context) (*Server, error) {
	out, err := ServeRegistry(ctx, s.registry())
	if err != nil {
		return nil, err
	}
	out.sandbox = s
	mux := http.NewServeMux()
	mux.Handle("/conda-forge/", http.StripPrefix("/conda-forge", http.FileServer(http.Dir(s.channel()))))
	mux.Handle("/", http.FileServer(http.Dir(s.wheels())))
	files, err := out.listen(ctx, mux)
	if err != nil {
		return nil, errors.Join(err, out.Close())
	}
	out.ChannelURL, out.IndexURL = "http://"+files+"/conda-forge", "http://"+files+"/simple"
	return out, nil
}

// ServeRegistry starts an image registry alone, which keeps its blobs in dir.
func ServeRegistry(ctx context.Context, dir string) (*Server, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	out := &Server{}
	var err error
	out.Registry, err = out.listen(ctx, registry.New(
		registry.WithBlobHandler(registry.NewDiskBlobHandler(dir)), registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true),
	))
	return out, err
}

func (s *Server) listen(ctx context.Context, h http.Handler) (string, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	s.servers = append(s.servers, srv)
	go srv.Serve(l) //nolint:errcheck // it ends with Close
	return l.Addr().String(), nil
}

// Close stops the servers.
func (s *Server) Close() error {
	var errs []error
	for _, srv := range s.servers {
		errs = append(errs, srv.Close())
	}
	return errors.Join(errs...)
}

// Settings is a settings file of conda2docker that puts the sandbox in the place of conda-forge, the public base images, PyPI
// and Grype's database.
func (s *Server) Settings() ([]byte, error) {
	return yaml.Marshal(map[string]any{
		"bases":   map[string]string{"cpu": "oci-layout:" + s.sandbox.Base(), "cuda": "oci-layout:" + s.sandbox.CUDABase()},
		"mirrors": map[string][]string{"https://conda.anaconda.org/conda-forge": {s.ChannelURL}},
		"scan":    map[string]any{"db": s.sandbox.Advisories(), "update": false},
		"pip":     map[string]string{"index": s.IndexURL},
	})
}
