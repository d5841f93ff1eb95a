# What people and CI run; `make` alone lists it. A target sets up what it needs.

GO       ?= go
PKG      ?= ./...
FUZZTIME ?= 20s
BENCH    ?=
COUNT    ?= 6

export CGO_ENABLED := 0

# Many tests wait for a schedule or a time-out rather than for a processor. `make check` vets.
TESTFLAGS := -vet=off -p 3 -parallel 8 -timeout 10m
# Counting coverage slows the race detector tenfold where bytes are looped over, so it has a run of its own.
COVERED   := pandapon pandapon/learn ledger worker

LINT := .tools/golangci-lint
RELEASE_TOOLS := .tools/nfpm .tools/cyclonedx-gomod
# A binary carries its commit where git can tell it: not in an unpacked archive, nor in somebody else's checkout.
VCS  := $(shell git rev-parse --verify -q HEAD >/dev/null 2>&1 && echo auto || echo false)

.DEFAULT_GOAL := help
.PHONY: help build demo test race readme browser check fmt lint fuzz bench chaos failover crash simulate cover up down release release-check audit

help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Builds bin/voucherd
	$(GO) build -trimpath -buildvcs=$(VCS) -o bin/voucherd ./cmd/voucherd

demo: build ## Shows vouchers surviving an outage, all in one process (ARGS=--once for scripts)
	@set -m 2>/dev/null; bin/voucherd demo $(ARGS) # in a job of its own: Ctrl-C ends the demo, and not make

test: .tools/versitygw ## Runs the tests, on a Redis of their own (PKG=./ledger/... ARGS='-run Begin')
	@scripts/ensure redis-server promtool curl
	$(GO) test $(TESTFLAGS) $(ARGS) $$($(GO) list $(PKG) | grep -v /browser_test)

race: .tools/versitygw ## Runs the same tests with the race detector, which takes twice as long
	@scripts/ensure redis-server promtool curl cc
	CGO_ENABLED=1 GORACE=atexit_sleep_ms=0 $(GO) test -race $(TESTFLAGS) $(ARGS) $$($(GO) list $(PKG) | grep -v /browser_test)

readme: ## Types what README.md tells to type, in one shell, and looks at what comes of it
	@scripts/readme

browser: ## Drives the web pages in a real Chromium; screenshots go to artefacts/
	@scripts/ensure redis-server chromium
	$(GO) test -count=1 -timeout 10m ./gateway/browser_test

check: $(LINT) .tools/actionlint ## Checks modules, build, vet, formatting, lint rules, workflows, chart, units and Compose file; changes nothing
	$(GO) mod verify
	$(GO) mod tidy -diff
	$(GO) build -buildvcs=$(VCS) ./...
	$(GO) vet ./...
	$(LINT) fmt --diff
	$(LINT) run ./...
	.tools/actionlint .github/workflows/*.yml
	@! grep -rhE 'uses: [^.]' .github/workflows | grep -vE '@v[0-9]+\.[0-9]+\.[0-9]+$$' # a version to its last number
	@scripts/ensure systemd-analyze promtool
	cd deploy/check && $(GO) mod verify && $(GO) test -count=1 ./...

fmt: $(LINT) ## Formats the code and orders its imports
	$(LINT) fmt

lint: $(LINT) ## Runs the linter alone (PKG=./ledger/...)
	$(LINT) run $(PKG)

fuzz: ## Runs every fuzz target for FUZZTIME, 20s (PKG=./pandapon/...)
	@scripts/ensure redis-server
	@GO='$(GO)' scripts/fuzz $(FUZZTIME) $(PKG)

bench: $(if $(BENCH),.tools/benchstat) ## Measures side by side, 23 minutes (QUICK=1: under 3; BENCH=regexp COUNT=6 OLD=file: Go benchmarks)
	@scripts/ensure redis-server
	@mkdir -p artefacts
ifeq ($(BENCH),)
	$(GO) run ./test/bench $(if $(QUICK),--quick) $(ARGS)
else
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) $(PKG) >artefacts/bench.txt || { cat artefacts/bench.txt; exit 1; }
	.tools/benchstat $(OLD) artefacts/bench.txt
endif

chaos: ## Kills and breaks everything for a while, then counts the vouchers (N=vouchers SEED=number SCENARIO=name)
	@scripts/ensure redis-server
	$(GO) run ./test/chaos $(if $(SCENARIO),--scenario=$(SCENARIO)) $(if $(N),--n=$(N)) $(if $(SEED),--seed=$(SEED)) $(CHAOS_ARGS)

failover: .tools/versitygw ## Lets Redis fail over in every way, and tells what that cost, 20 minutes (ARGS='--only Sentinel')
	@scripts/ensure redis-server
	$(GO) run ./test/failover $(ARGS)

crash: ## Kills the program before and after each of its steps, once and three times, then counts the vouchers (4 minutes)
	@scripts/ensure redis-server
	$(GO) test -count=1 -vet=off -parallel 32 -timeout 30m ./test/crash -full $(ARGS)

simulate: ## Plays weeks in minutes, each from its seed, and audits them (WEEKS=50 SEED=1 DAYS=7)
	$(GO) test -vet=off -count=1 -timeout 2h ./test/simulation -run Weeks -v -weeks $(or $(WEEKS),50) -seed $(or $(SEED),1) -days $(or $(DAYS),7)

cover: .tools/versitygw ## Shows the coverage of pandapon, its learn, ledger and worker; under 85 % of one of them it fails
	@scripts/ensure redis-server
	$(GO) test $(TESTFLAGS) -coverprofile=coverage.out $(addprefix ./,$(COVERED))
	@scripts/cover coverage.out 85 $(COVERED)

COMPOSE = scripts/compose $(if $(filter demo,$(PROFILE)),--env-file deploy/demo.env) $(PROFILE:%=--profile %)

up: ## Starts Redis, two workers and the gateway with docker compose (PROFILE=demo: against the sandbox, without .env; observe: with Prometheus and Grafana)
	$(COMPOSE) build
	@scripts/gateway-token
	$(COMPOSE) up --detach

down: ## Stops them; vouchers and ledger stay in the volume, the gateway's tokens in deploy/secrets
	scripts/compose --profile demo --profile observe down

release: $(RELEASE_TOOLS) ## Builds the release of this commit into dist/: programs, deb, rpm, SBOMs, checksums
	GO='$(GO)' scripts/release

release-check: $(RELEASE_TOOLS) ## Builds it twice, elsewhere, and compares (QUICK=1: linux alone, for each run of CI)
	GO='$(GO)' scripts/release-check $(if $(QUICK),quick)

audit: .tools/govulncheck ## Looks for known vulnerabilities, with the database on the internet, and at all licences
	scripts/licenses >/dev/null
	.tools/govulncheck ./...

$(RELEASE_TOOLS) .tools/actionlint .tools/govulncheck: tools/release/go.mod tools/release/go.sum
	cd tools/release && GOBIN='$(CURDIR)/.tools' $(GO) install -trimpath tool
	@touch $(RELEASE_TOOLS) .tools/actionlint .tools/govulncheck

.tools/golangci-lint .tools/benchstat .tools/versitygw: tools/go.mod tools/go.sum
	cd tools && GOBIN='$(CURDIR)/.tools' $(GO) install tool
	@touch .tools/golangci-lint .tools/benchstat .tools/versitygw
