# SPDX-FileCopyrightText: The Holdfast Authors
# SPDX-License-Identifier: Apache-2.0

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X github.com/holdfast-dev/holdfast/cmd/holdfast/app.version=$(VERSION)
TOOL := go tool -modfile=tools/go.mod

.PHONY: help
help: ## Show what can be made
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/holdfast (RACE=1: with the race detector, which needs a C compiler)
	CGO_ENABLED=$(if $(RACE),1,0) go build -trimpath $(if $(RACE),-race )-ldflags '$(LDFLAGS)' -o bin/holdfast ./cmd/holdfast

.PHONY: image
image: ## Build the container image
	docker build --build-arg VERSION=$(VERSION) --tag holdfast-dev/holdfast:$(VERSION) .

.PHONY: controlplane
controlplane: ## Build kube-apiserver, controller manager, etcd, kubectl and Helm, once, into the cache
	@test/controlplane/build.sh

.PHONY: cassandra
cassandra: ## Copy Apache Cassandra's jars by Maven, once, into the cache
	@test/cassandra/build.sh

PKG ?= ./...

.PHONY: test
test: ## Run all tests, also those on real servers; a skipped one is a failure (PKG=./webhook/...: only these)
	@test/controlplane/build.sh >/dev/null
	@test/cassandra/build.sh >/dev/null
	@go build -o bin/report ./test/report
	@go test -json -count=1 -timeout 30m $(PKG) | bin/report

.PHONY: reliability
reliability: ## Run the suite of faults and random operations with its long counts (HOLDFAST_SEED=N: once more as before)
	@test/controlplane/build.sh >/dev/null
	HOLDFAST_RELIABILITY=1 go test -v -count=1 -timeout 3h ./test/e2e/reliability -ginkgo.v

FUZZTIME ?= 30s

.PHONY: fuzz
fuzz: ## Fuzz the decoders of reviews, stored snapshots and triggers, reference paths, profiles, names and identifiers (FUZZTIME=30s each)
	go test ./webhook -run '^$$' -fuzz FuzzReview -fuzztime $(FUZZTIME) -fuzzminimizetime 10x
	go test ./recovery/snapshot -run '^$$' -fuzz FuzzDecode -fuzztime $(FUZZTIME) -fuzzminimizetime 10x
	go test ./config/profile -run '^$$' -fuzz FuzzPath -fuzztime $(FUZZTIME) -fuzzminimizetime 10x
	go test ./config/profile -run '^$$' -fuzz FuzzParse -fuzztime $(FUZZTIME) -fuzzminimizetime 10x
	go test ./recovery/purge -run '^$$' -fuzz FuzzNames -fuzztime $(FUZZTIME) -fuzzminimizetime 10x
	go test ./recovery/purge -run '^$$' -fuzz FuzzIdentifiers -fuzztime $(FUZZTIME) -fuzzminimizetime 10x
	go test ./recovery/purge -run '^$$' -fuzz FuzzDecodeTrigger -fuzztime $(FUZZTIME) -fuzzminimizetime 10x

.PHONY: run
run: ## Show the main job on a real control plane, then keep it up to try it out (ONCE=1: end after the story)
	@go build -o bin/playground ./test/e2e/playground
	@bin/playground $(if $(ONCE),-once)

.PHONY: run-purge
run-purge: build ## Show the purge of an interface on a real Cassandra, then keep it up to try it out (ONCE=1: end after the story)
	@go build -o bin/purge-playground ./test/cassandra/playground
	@ONCE=$(ONCE) exec bin/purge-playground

.PHONY: bench
bench: build ## Measure Holdfast against the simplest webhooks on a real API server; writes docs/benchmarks.md
	@test/controlplane/build.sh >/dev/null
	@go build -o bin/bench ./test/bench/compare
	@go test ./test/bench -run '^$$' -bench Decision -benchtime 100000x | tee bin/index.txt
	@go test ./test/bench -run '^$$' -bench Heap -benchtime 1x | tee -a bin/index.txt
	@bin/bench --index bin/index.txt --out docs/benchmarks.md

.PHONY: bench-backup
bench-backup: build ## Measure continuous backup alone, as a part of bench; prints the figures
	@test/controlplane/build.sh >/dev/null
	@go build -o bin/bench ./test/bench/compare
	@bin/bench --backup-only --out bin/benchmarks-backup.md

.PHONY: bench-recovery
bench-recovery: build ## Measure a rescue, a restore and a scan on a real API server; writes docs/benchmarks-recovery.md
	@go build -o bin/recovery-bench ./test/bench/rescue
	@bin/recovery-bench --out docs/benchmarks-recovery.md

.PHONY: bench-purge
bench-purge: build ## Compare the purge with the manual procedure on a real Cassandra; writes docs/benchmarks-purge.md
	@go build -o bin/purge-bench ./test/cassandra/bench
	@cqlsh=$$(test/cassandra/bench/cqlsh.sh) && exec bin/purge-bench --cqlsh "$$cqlsh" --out docs/benchmarks-purge.md

.PHONY: lint
lint: ## Check style and import directions
	$(TOOL) golangci-lint run

.PHONY: fmt
fmt: ## Format the code
	$(TOOL) golangci-lint fmt

.PHONY: generate
generate: ## Regenerate deep copies, and the CustomResourceDefinition in the chart
	$(TOOL) controller-gen object:headerFile=tools/header.go.txt paths=./config/api/...
	$(TOOL) controller-gen crd paths=./config/api/... output:crd:dir=bin/crds
	@cp bin/crds/holdfast.dev_deletionapprovals.yaml config/chart/holdfast/templates/crd-deletionapprovals.yaml

.PHONY: verify
verify: ## Fail if generated files or go.mod are not up to date
	@before=$$(git status --porcelain); \
	$(MAKE) -s generate; go mod tidy; $(TOOL) golangci-lint fmt; \
	after=$$(git status --porcelain); \
	[ "$$before" = "$$after" ] || { git diff --stat; echo "make verify: the files above change on 'make generate', 'go mod tidy' or 'make fmt'; commit the result" >&2; exit 1; }
