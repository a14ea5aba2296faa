package engine

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/defaults"
	"github.com/containerd/containerd/v2/plugins/snapshots/native"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay/overlayutils"
	"github.com/containerd/errdefs"
	"github.com/moby/buildkit/cache/remotecache"
	inlinecache "github.com/moby/buildkit/cache/remotecache/inline"
	localcache "github.com/moby/buildkit/cache/remotecache/local"
	registrycache "github.com/moby/buildkit/cache/remotecache/registry"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/cmd/buildkitd/config"
	"github.com/moby/buildkit/control"
	"github.com/moby/buildkit/executor/oci"
	"github.com/moby/buildkit/frontend"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/bboltcachestorage"
	"github.com/moby/buildkit/util/db/boltutil"
	"github.com/moby/buildkit/util/grpcerrors"
	"github.com/moby/buildkit/util/network/netproviders"
	"github.com/moby/buildkit/util/resolver"
	"github.com/moby/buildkit/worker"
	"github.com/moby/buildkit/worker/base"
	"github.com/moby/buildkit/worker/runc"
	"go.etcd.io/bbolt"
	"google.golang.org/grpc"
)

// embedded is a BuildKit daemon inside this process: one runc worker, and the control service over it.
type embedded struct {
	server      *grpc.Server
	controller  *control.Controller
	worker      *base.Worker
	snapshotter snapshots.Snapshotter
	policy      []client.PruneInfo
	stop        context.CancelFunc
}

// newWorker opens the state folder, clearing what a killed engine left in it, and makes the services.
func newWorker(ctx context.Context, cfg childConfig) (_ *embedded, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer func() {
		if err != nil {
			stop()
		}
	}()
	e := &embedded{stop: stop, policy: gcPolicy(cfg.KeepBytes)}
	sessions, err := session.NewManager()
	if err != nil {
		return nil, err
	}
	hosts := resolver.NewRegistryConfig(resolverConfig(cfg.Registries))

	opt, err := e.workerOpt(cfg)
	if err != nil {
		return nil, fmt.Errorf("opening BuildKit's worker: %w", err)
	}
	// A killed engine may leave a snapshot's folder whose making was never recorded; the next one of that
	// number then fails with "file exists". A fresh store answers that it has nothing to clean.
	if c, ok := e.snapshotter.(snapshots.Cleaner); ok {
		if err := c.Cleanup(ctx); err != nil && !errdefs.IsNotFound(err) {
			return nil, fmt.Errorf("cleaning up BuildKit's snapshots: %w", err)
		}
	}
	opt.RegistryHosts = hosts
	opt.GCPolicy = e.policy
	if e.worker, err = base.NewWorker(ctx, opt); err != nil {
		return nil, fmt.Errorf("opening BuildKit's worker: %w", err)
	}
	workers := &worker.Controller{}
	if err := workers.Add(e.worker); err != nil {
		return nil, err
	}
	if e.controller, err = e.newController(ctx, cfg.Root, sessions, workers, hosts); err != nil {
		return nil, fmt.Errorf("opening BuildKit's control service: %w", err)
	}
	e.server = grpc.NewServer(
		grpc.ChainUnaryInterceptor(grpcerrors.UnaryServerInterceptor),
		grpc.StreamInterceptor(grpcerrors.StreamServerInterceptor),
		grpc.MaxRecvMsgSize(defaults.DefaultMaxRecvMsgSize),
		grpc.MaxSendMsgSize(defaults.DefaultMaxSendMsgSize),
	)
	e.controller.Register(e.server)
	return e, nil
}

// workerOpt opens the parts of a runc worker. Without an OCI runtime on this machine the worker still puts layers
// together; NeedRuntime is asked before a build that needs more.
func (e *embedded) workerOpt(cfg childConfig) (base.WorkerOpt, error) {
	binary := ""
	if runtimePath() == "" {
		binary = "/proc/self/exe" // is there, and is never run
	}
	factory := runc.SnapshotterFactory{Name: "native", New: native.NewSnapshotter}
	if overlayutils.Supported(cfg.Root) == nil {
		factory = runc.SnapshotterFactory{Name: "overlayfs", New: func(root string) (snapshots.Snapshotter, error) {
			return overlay.NewSnapshotter(root, overlay.AsynchronousRemove)
		}}
	}
	open := factory.New
	factory.New = func(root string) (s snapshots.Snapshotter, err error) {
		e.snapshotter, err = open(root)
		return e.snapshotter, err
	}
	cgroups := cgroupParent(cfg.Root)
	if cfg.Rootless {
		cgroups = ""
	}
	return runc.NewWorkerOpt(cfg.Root, factory, cfg.Rootless, oci.ProcessSandbox, nil, nil,
		netproviders.Opt{Mode: "host"}, nil, binary, "", false, nil, "", cgroups, nil)
}

// newController makes the control service over the worker. Builds are not recorded in its history: nobody could
// read it, and the engine ends with the build.
func (e *embedded) newController(ctx context.Context, root string, sessions *session.Manager, workers *worker.Controller,
	hosts docker.RegistryHosts,
) (*control.Controller, error) {
	store, err := bboltcachestorage.NewStore(filepath.Join(root, "cache.db"))
	if err != nil {
		return nil, err
	}
	history, err := boltutil.SafeOpen(filepath.Join(root, "history.db"), 0o600,
		&bbolt.Options{FreelistType: bbolt.FreelistMapType, NoFreelistSync: true})
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	var noHistory int64
	return control.NewController(control.Opt{
		SessionManager:   sessions,
		WorkerController: workers,
		Frontends:        map[string]frontend.Frontend{},
		CacheManager:     solver.NewCacheManager(ctx, "local", store, worker.NewCacheResultStorage(workers)),
		ResolveCacheExporterFuncs: map[string]remotecache.ResolveCacheExporterFunc{
			"registry": registrycache.ResolveCacheExporterFunc(sessions, hosts),
			"local":    localcache.ResolveCacheExporterFunc(sessions),
			"inline":   inlinecache.ResolveCacheExporterFunc(),
		},
		ResolveCacheImporterFuncs: map[string]remotecache.ResolveCacheImporterFunc{
			"registry": registrycache.ResolveCacheImporterFunc(sessions, e.worker.ContentStore(), hosts),
			"local":    localcache.ResolveCacheImporterFunc(sessions),
		},
		HistoryDB:      history,
		HistoryConfig:  &config.HistoryConfig{MaxEntries: &noHistory},
		CacheStore:     store,
		LeaseManager:   e.worker.LeaseManager(),
		ContentStore:   e.worker.ContentStore(),
		GarbageCollect: e.worker.GarbageCollect,
		GracefulStop:   ctx.Done(),
	})
}

// gcPolicy keeps at most keep bytes, and nothing that was not used for two months while that is not enough. The
// second rule reaches what the first spares: what BuildKit thinks is shared or internal.
func gcPolicy(keep int64) []client.PruneInfo {
	return []client.PruneInfo{
		{KeepDuration: 60 * 24 * time.Hour, MaxUsedSpace: keep / 2},
		{MaxUsedSpace: keep},
		{All: true, MaxUsedSpace: keep},
	}
}

// gcTimeout bounds how long an engine that is closed collects garbage: what it leaves is for the next.
const gcTimeout = 20 * time.Second

// close collects garbage, since BuildKit does so at most once a minute and an engine may not live that long, and
// closes everything.
func (e *embedded) close() error {
	e.server.Stop()
	gcErr := e.collect()
	e.stop()
	// The controller leaves the snapshotter's database open.
	return errors.Join(gcErr, e.controller.Close(), e.snapshotter.Close())
}

func (e *embedded) collect() error {
	ctx, cancel := context.WithTimeout(context.Background(), gcTimeout)
	defer cancel()
	removed := make(chan client.UsageInfo)
	go func() {
		for range removed {
		}
	}()
	err := e.worker.Prune(ctx, removed, e.policy...)
	close(removed)
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("collecting garbage: %w", err)
	}
	return nil
}
