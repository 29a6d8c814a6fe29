# `make run` and `make test` need nothing but python3 >= 3.11 and the package index; everything else is set up in .venv.

PY := .venv/bin/python
RUN := .venv/.run
DEV := .venv/.dev
DOCS := .venv/.docs

# Everything runs and measures the package as a wheel of it would be installed, with its hot path compiled
# where there is a C compiler. It is built anew when a compiler is installed or removed, too. COMPILE=0 runs the checkout as it is.
COMPILED := build/compiled
BUILT := $(if $(filter 0,$(COMPILE)),,$(COMPILED)/.made-with-$(notdir $(shell command -v $${CC:-cc} || echo none)))
SOURCES := $(shell find amqpbroker -type f -not -path '*/__pycache__/*') setup.py pyproject.toml tools/compiled

# The environment of a program of this checkout that imports the package. `python -m` would look into the checkout first.
SHIPPED := $(if $(BUILT),PYTHONSAFEPATH=1 PYTHONPATH="$(CURDIR)/$(COMPILED):$(CURDIR)")

# Strict: a link that leads nowhere, or a page that is not in the nav, ends it; not so with --quiet, which keeps warnings
# from being counted. The variable is for a word of Material's on a later mkdocs.
SITE := NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

# Steps until the broker runs: an environment, its packages, and the compiled core.
export STEPS := $(if $(BUILT),3,2)

# Of `make test-all` and `make check`: all, or rest.
TESTS = all

ROUNDS ?= 50
FUZZ_SECONDS ?= 600
SECONDS ?= 60

.DEFAULT_GOAL := help
.PHONY: help run test test-all check format docs interop conformance record fuzz-diff fuzz-http crash simulate soak bench bench-core bench-growth oldest clean

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(RUN) $(BUILT) ## Run the broker on port 5672; ARGS="--port 5673" adds flags, COMPILE=0 runs it interpreted.
	@exec env $(SHIPPED) $(PY) -m amqpbroker serve $(ARGS)

test: $(DEV) $(BUILT) ## Run the quick tests, in two minutes; ARGS="tests/broker" runs what it says, COMPILE=0 runs them only interpreted.
	@$(PY) -m tests.passes $(if $(BUILT),,--interpreted) $(ARGS)

test-all: $(DEV) $(BUILT) ## Run all tests, interpreted and compiled; TESTS=rest leaves out those of the `make test` before it.
	@$(PY) -m tests.passes $(if $(BUILT),,--interpreted) --$(TESTS)

check: $(DEV) $(BUILT) ## Check everything that has to hold: format, lint, types, layers, docs, all tests.
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(PY) -m mypy --platform win32 --cache-dir .mypy_cache/win32
	$(PY) -m mypy --platform darwin --cache-dir .mypy_cache/darwin
	$(SITE)
	@$(PY) -m tests.passes $(if $(BUILT),,--interpreted) --$(TESTS)

format: $(DEV) ## Format the code and sort its imports.
	$(PY) -m ruff check --fix --select I .
	$(PY) -m ruff format .

docs: $(DOCS) ## Write the parts of docs/ that come from tables in the code, and build the site into build/site.
	$(PY) -m tools.settings_reference
	$(PY) -m tools.ctl_reference
	$(PY) -m tools.metrics_reference
	$(PY) -m tools.http_api_reference
	$(PY) -m tools.connection_states_reference
	$(SITE)

interop: $(DEV) $(BUILT) ## Run real clients of several languages against the broker; installs what they need.
	$(PY) -m pip install --quiet --disable-pip-version-check -r interop/requirements.txt
	$(SHIPPED) $(PY) -m interop --install $(ARGS)

conformance: $(DEV) $(BUILT) ## Replay what a real RabbitMQ did; TARGET=amqp://... MANAGEMENT=http://... for another broker than this.
	$(SHIPPED) $(PY) -m conformance replay $(if $(TARGET),--target $(TARGET)) $(if $(MANAGEMENT),--management $(MANAGEMENT)) $(ARGS)

record: $(DEV) ## Record the cases from RabbitMQ anew, which is installed for it, and show what changed; ARGS="queue" picks some.
	$(PY) -m conformance record $(ARGS)

fuzz-diff: $(DEV) $(BUILT) ## Random scripts on RabbitMQ and on the broker side by side; FUZZ_SECONDS=600, SEED=n replays one.
	$(SHIPPED) $(PY) -m conformance fuzz --seconds $(FUZZ_SECONDS) $(if $(SEED),--seed $(SEED)) $(ARGS)

fuzz-http: $(DEV) $(BUILT) ## Send a broker random HTTP requests, and report each that breaks it; FUZZ_SECONDS=600, SEED=n replays one.
	$(SHIPPED) $(PY) -m tests.fuzz.http --seconds $(FUZZ_SECONDS) $(if $(SEED),--seed $(SEED)) $(ARGS)

crash: $(DEV) $(BUILT) ## Kill the broker repeatedly under load, and check that nothing is lost; ROUNDS=50.
	@ROUNDS=$(ROUNDS) $(SHIPPED) $(PY) -m pytest -s $(if $(BUILT),-o pythonpath='$(COMPILED) .') tests/crash $(ARGS)

simulate: $(DEV) $(BUILT) ## Run whole lives of a broker, each from one seed; SECONDS=60, SEED=n runs that one.
	@$(SHIPPED) $(PY) -m tests.simulation --seconds $(SECONDS) $(if $(SEED),--seed $(SEED)) $(ARGS)

soak: $(DEV) $(BUILT) ## Drive each feature past twice its bounds, and check that the broker is at rest afterwards; ARGS="delayed" picks some.
	$(SHIPPED) $(PY) -m tests.soak $(ARGS)

bench: $(DEV) $(BUILT) ## Measure beside RabbitMQ, which is installed for it, and write docs/performance.md; ARGS="transient --no-write".
	$(SHIPPED) $(PY) -m tests.bench.side_by_side $(ARGS)

bench-core: $(DEV) $(BUILT) ## Measure the core, bytes in to bytes out; ARGS="transient" picks shapes.
	$(SHIPPED) $(PY) -m tests.bench $(ARGS)

bench-growth: $(DEV) $(BUILT) ## Measure what it costs as work grows, and write that into docs/performance.md; ARGS="queues --no-write".
	$(SHIPPED) $(PY) -m tests.bench.growth $(ARGS)

oldest: $(DEV) ## Install a wheel beside the oldest version of each dependency, and check it; ARGS="--newest" for the newest.
	$(PY) -m tools.oldest $(ARGS)

clean: ## Remove .venv and every cache.
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BUILT): $(SOURCES) | $(RUN)
	@tools/compiled
	@touch $@

$(RUN): pyproject.toml tools/venv
	@tools/venv
	@touch $@

$(DEV): pyproject.toml tools/venv tools/chromium
	@tools/venv dev,docs
	@tools/chromium
	@touch $(RUN) $(DOCS) $@

$(DOCS): pyproject.toml tools/venv
	@tools/venv docs
	@touch $(RUN) $@
