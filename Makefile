# Two commands matter: `make demo` and `make test`. Both set up all they need.

export PATH := $(PATH):/usr/sbin:/sbin
BIN := .venv/bin
DURATION ?=
# Rounds of faults that `make long` tries.
ROUNDS ?= 20
# The tests wait for programs more than they compute.
WORKERS ?= $(shell echo $$((4 * $$(nproc))))

# Without byte code on disk each worker, and each program that it starts, compiles all anew.
unexport PYTHONDONTWRITEBYTECODE
# Hypothesis would read what others have for it, in each worker.
export HYPOTHESIS_NO_PLUGINS := 1

.DEFAULT_GOAL := help
.PHONY: help setup parts demo test long check bench soak boxes picture pages audit constraints clean

help: ## show this
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: # what is missing: system packages, .venv, this package
	@./scripts/setup

parts: # and what the tests play with
	@./scripts/setup test

demo: setup ## a broker, a manager and three stations at work; DURATION=20 ends it by itself
	@$(BIN)/python -m scripts.demo $(if $(DURATION),--duration $(DURATION))

test: parts ## everything that is promised, with real parts
	$(BIN)/pytest --numprocesses $(WORKERS) --durations 20

long: parts ## the tests that kill at random, for as long as it takes to trust them
	$(BIN)/pytest --numprocesses $(WORKERS) --durations 20 -m long --long --rounds $(ROUNDS)
	$(BIN)/pytest -s -m whole

check: parts ## style, types and the import contract
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup ## how fast it is, beside a thin client on the same broker
	@$(BIN)/python -m bench

soak: setup ## an hour of ingest, record and monitor: no gap, together, no growth
	@$(BIN)/python -m bench.soak

boxes: parts ## from bare Debians to recordings, by the README, under a live systemd (as root)
	$(BIN)/pytest -m boxes tests/boxes

picture: parts ## draw docs/pictures/board-*.png anew, with Grafana's components (needs npm)
	@cd grafana/picture && npm install --no-fund --no-audit --no-package-lock --loglevel=error
	@$(BIN)/python -m grafana.picture

pages: parts ## draw the page and what fleet prints anew (docs/pictures), with a played fleet
	@$(BIN)/python -m tests.page.pictures
	@$(BIN)/python -m tests.cli.pictures

audit: ## vulnerabilities that are known of what a box and a server run with (needs pip-audit)
	pip-audit --requirement constraints-run.txt --require-hashes --disable-pip

constraints: setup ## renew the constraints: all, and what a box runs with (needs uv)
	uv pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-header --no-annotate --no-emit-index-url --quiet \
		--output-file constraints.txt
	echo hatchling | uv pip compile pyproject.toml - --extra postgresql --universal \
		--python-version 3.11 --constraints constraints.txt --generate-hashes --no-header \
		--no-annotate --no-emit-index-url --quiet --output-file constraints-run.txt

clean: ## remove what was made here
	rm -rf .venv demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
