# Reviver: the commands of development. `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

export PATH := $(PATH):$(HOME)/.cargo/bin
PYTHON := .venv/bin/python
# pytest's arguments, e.g. make test TESTS="tests/e2e -k drain"
TESTS ?=
# seconds for each target of `make fuzz`
SECONDS_EACH ?= 60

SOURCES := $(shell find crates python -type f \( -name '*.rs' -o -name '*.toml' -o -name '*.py' -o -name '*.pyi' -o -name 'py.typed' \)) \
	Cargo.toml $(wildcard Cargo.lock) pyproject.toml

.PHONY: help build demo test test-rust test-python lint generate bench fuzz docs clean setup setup-build

help: ## list these targets
	@sed -n 's/^\([a-z][a-z-]*\):[^#]*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

build: .venv/.built ## .venv with the release engine; .venv/bin/reviver runs from anywhere

.venv/.built: $(SOURCES) tools/setup.sh
	@tools/setup.sh build
	@echo "==> building the release engine (the first time takes minutes)" >&2
	@rm -rf target/wheels
	@.venv/bin/maturin build --quiet --interpreter $(PYTHON) --out target/wheels
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall target/wheels/reviver-*.whl
	@touch $@

demo: build ## both directions on loopback with some traffic; nothing to prepare
	@.venv/bin/reviver demo

test: build test-rust test-python ## build, then every test of both languages

setup:
	@tools/setup.sh dev

setup-build:
	@tools/setup.sh build

test-rust: setup-build
	cargo test --quiet --workspace --exclude reviver-python

test-python: build setup
	$(PYTHON) -m pytest $(TESTS)

lint: build setup ## formatting, types, clippy, borders, generated files
	@tools/lint.sh

generate: setup ## rewrite the files that are made from the tables and models
	$(PYTHON) tools/generate.py

bench: build ## measure beside nginx, HAProxy, Envoy, Caddy, Traefik, Squid (needs root for apt-get)
	$(PYTHON) -m benches $(ARGS)

fuzz: setup-build ## run each fuzz target for SECONDS_EACH seconds (60)
	@tools/fuzz.sh $(SECONDS_EACH)

docs: generate ## rewrite the generated documents and the Rust API pages (target/doc)
	cargo doc --quiet --workspace --no-deps

clean: ## remove everything that was built
	rm -rf .venv target dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
