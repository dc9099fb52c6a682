# The front door. The logic is in scripts/ and xtask/; everything is built outside of the clone (CARGO_TARGET_DIR).

SHELL := /bin/bash
export CARGO_TARGET_DIR ?= $(HOME)/.cache/tutti/target
export TUTTI_BANK_VENV ?= $(HOME)/.cache/tutti/bank-venv
PREFIX ?= $(HOME)/.local
SEEDS ?= 1000
CASES ?= 1000000

.DEFAULT_GOAL := help
.PHONY: help demo up test lint fmt sim cases bench web docs generate install clean

help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1|\2/' | column -t -s '|' 2>/dev/null \
		|| grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST)

demo: ## the bank's fraud-model workflow, end to end, over three local sites; exits when it is done
	@scripts/demo.sh

up: ## the same, and the server stays up with the story loaded (stop it with Ctrl-C)
	@scripts/demo.sh --up

test: ## every test, from one debug build
	@scripts/test.sh

lint: ## formatting, the rules of the house, clippy
	cargo fmt --all --check
	cargo xtask tidy
	cargo clippy --workspace --all-targets --locked -- -D warnings

fmt: ## formats the sources
	cargo fmt --all

sim: ## the whole-system simulator over SEEDS seeds (1000)
	@scripts/sim.sh $(SEEDS)

cases: ## where placement may put work, over CASES random fleets and demands (1000000; `make test` looks at 100000)
	TUTTI_PLACEMENT_CASES=$(CASES) cargo test --locked --package placement --test it nothing_is_placed

bench: ## the figures: JSON and a table, in bench/results
	@scripts/bench.sh

web: ## the web app into web/dist; the next build of tutti takes it in
	@scripts/web.sh build

docs: ## the book (when mdbook is there) and the API documentation of the crates
	@scripts/docs.sh

generate: ## the pages that are made from the code
	cargo xtask generate

install: ## tutti into PREFIX/bin (~/.local/bin)
	@PREFIX="$(PREFIX)" scripts/install.sh

clean: ## what builds, demos and tests left behind, in and outside of the clone
	rm -rf .demo .tutti web/dist web/node_modules "$(CARGO_TARGET_DIR)"
