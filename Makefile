# The only entry point. `make help` lists what there is; the work is done by scripts/.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help queries setup setup-build setup-test build run dev test lint test-rust test-wasm test-browser bench torture mutants screenshots fmt force

# Whatever the release build is made of; folders too, so that a deleted file counts as a change.
SOURCES := Cargo.toml Cargo.lock scripts/build.sh scripts/precompress.mjs $(shell find .sqlx access app dify_client frontend ledger migrations private_postgres public server shared style \
	-not -path '*/tests/*' -not -name tests)
BUILT := target/site/.built

help: ## List what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: setup-build $(BUILT) ## Install what is missing, build, and serve on http://127.0.0.1:3000
	@scripts/run.sh

build: setup-build $(BUILT) ## Build target/release/tollgate and target/site
	@echo "Built target/release/tollgate and target/site"

$(BUILT): $(SOURCES) $(if $(wildcard target/release/tollgate),,force) | setup-build
	@scripts/build.sh

force:

dev: setup-build ## Serve a development build; rebuild and reload on every change
	@. scripts/env.sh; exec cargo leptos watch --split -- serve

test: setup ## Run every check and every test, as CI does
	@scripts/test.sh

lint: setup ## Check structure and format and run clippy, natively and for wasm
	@scripts/test.sh structure tidy format clippy clippy-wasm

test-rust: setup ## Run the native tests
	@scripts/test.sh rust

test-wasm: setup ## Run the tests of the domain compiled to WebAssembly
	@scripts/test.sh wasm

test-browser: setup $(BUILT) ## Run the browser tests against the release build
	@scripts/test.sh budget browser

bench: $(BUILT) ## Measure the release build beside pgbench (ARGS="--quick" tries it out, ARGS="--help" explains)
	@. scripts/env.sh; cargo run --release --locked -p bench -- $(ARGS)

torture: setup ## Kill servers and Postgres under load for MINUTES (5), by SEED; checks every charge
	@scripts/torture.sh

queries: setup ## Describe the statements of query! anew, after a change of one or of the schema
	@scripts/queries.sh

mutants: setup ## Break the money code in every small way and see whether a test notices (hours)
	@scripts/setup.sh mutants
	@scripts/mutants.sh $(ARGS)

screenshots: setup $(BUILT) ## Save every page in both languages and themes, wide and narrow, in end2end/screenshots
	@cd end2end && npm run --silent screenshots

fmt: ## Format the Rust code
	@. scripts/env.sh; cargo fmt --all

setup: setup-build setup-test ## Install what is missing for building, running and testing

setup-build:
	@scripts/setup.sh build

setup-test:
	@scripts/setup.sh test
