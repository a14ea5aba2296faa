# conda2docker: `make examples` and `make test` are all that a fresh machine needs.
export CGO_ENABLED := 0
export GOFLAGS := -trimpath -buildvcs=false

CACHE ?= $(or $(CONDA2DOCKER_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/conda2docker)
BIN := bin/conda2docker
EXAMPLES := go run ./examples
GOTESTSUM := go run gotest.tools/gotestsum@v1.13.0
GOLANGCI := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
TESTFLAGS ?=
REQUESTS ?= 1000
BENCH ?= resolve scale adversarial layers bytecode
export CONDA2DOCKER_CACHE := $(CACHE)

.NOTPARALLEL:
.PHONY: all preflight build examples test lint fmt sandbox oracle bench clean-examples clean

all: build

build: ## one static binary, bin/conda2docker
	go build -ldflags "-s -w -X main.version=$(VERSION)" -o $(BIN) ./cmd/conda2docker

preflight: ## whether this machine can run the examples, and apt-get install of what it lacks
	@go run ./examples/preflight $(if $(ONLINE),--online)

examples: preflight build ## build, push, scan and run every example (ONLINE=1: against the real channels and registries)
	$(EXAMPLES) run $(if $(ONLINE),--online) --bin $(abspath $(BIN))

sandbox: preflight ## make what the examples and the tests run in, once
	$(EXAMPLES) make

test: sandbox ## every test; what it needs of the system is installed (as root) or named
	$(GOTESTSUM) --format pkgname $(if $(TESTLOG),--jsonfile $(TESTLOG)) -- -count=1 -timeout 30m $(TESTFLAGS) ./...

lint: ## formatting, vet, staticcheck and the rest, as .golangci.yml has them
	$(GOLANGCI) run ./...
	GOOS=darwin go build -o /dev/null ./cmd/conda2docker

fmt:
	$(GOLANGCI) fmt ./...

oracle: ## compare the solver with rattler, live, on REQUESTS random requests and the recorded ones; needs Node and npm
	go run ./conda/solve/oracle -n $(REQUESTS)

bench: build sandbox ## measure beside rattler and cph, in tables that cmd/bench/RESULTS.md keeps; needs Node, npm and conda-package-handling, and a machine that does nothing else
	@go build -o bin/bench ./cmd/bench
	@for part in $(BENCH); do bin/bench $$part || exit 1; done

clean-examples: ## remove what the examples made (unmounts first)
	$(EXAMPLES) clean

clean:
	rm -rf bin
