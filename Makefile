# Multilink. `make` builds; `make demo` shows it; `make test` proves it.

SHELL := /bin/sh
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X github.com/multilink-vpn/multilink/cmd/internal/cli.release=$(VERSION)
E2E_TIMEOUT := 20m

.PHONY: all build go demo bench backends test lint unit e2e e2e-full fuzz install clean help

all: build

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' Makefile | expand -t 12

go:
	@scripts/go.sh

build: go ## bin/multilink and bin/multilink-sim
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/multilink ./cmd/multilink-sim

demo: build ## a download over two links, one of which is unplugged (root)
	bin/multilink-sim demo

bin/wireguard-go: scripts/tools/go.mod
	go build -trimpath -modfile=scripts/tools/go.mod -o $@ golang.zx2c4.com/wireguard

bench: build bin/wireguard-go ## speed against wireguard-go, in pairs; writes bin/bench.json (root, a quiet machine)
	bin/multilink-sim bench --wireguard bin/wireguard-go --json bin/bench.json

backends: build ## how far virtual time is from Linux, as a table (root, a quiet machine, 20 minutes)
	go run ./scripts/backends

test: lint unit e2e ## all that CI runs

lint: go ## gofmt, vet, staticcheck, actionlint, go.mod
	scripts/lint.sh

unit: go ## unit tests with the race detector; failing and bad links, over 100 seeds
	go test -race -timeout 15m ./cmd/... ./core/... ./sim/...
	go test -timeout 30m -run TestFailover ./sim/virtual -failover-seeds 100
	go test -run 'TestPathShrinks|TestUDPBlockedO' ./core/session -moments 100

e2e: build bin/wireguard-go ## the chosen scenarios with the real binaries (root)
	E2E_TIMEOUT=$(E2E_TIMEOUT) scripts/e2e.sh --label-filter '!full'

e2e-full: build bin/wireguard-go ## every scenario with the real binaries (root)
	scripts/e2e.sh

fuzz: go ## every fuzz target for ten seconds
	scripts/fuzz.sh

install: build ## into /usr/local/bin
	install -m 755 bin/multilink bin/multilink-sim /usr/local/bin/

clean: ## what building made
	rm -rf bin dist
