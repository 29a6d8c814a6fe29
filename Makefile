# `make run` and `make test` need only python3 >= 3.11 and the package index. They install everything else in .venv.

PY := .venv/bin/python
RUN := .venv/.run
DEV := .venv/.dev
DOCS := .venv/.docs
CLIENTS := .venv/.clients

# The targets measure and test the package as a wheel installs it, with the hot path compiled if there is a C compiler. The
# package is also rebuilt when a compiler is installed or removed. COMPILE=0 uses the sources of the checkout instead.
# `make run` does not wait for it, and `make test` does without it.
COMPILED := build/compiled
BUILT := $(if $(filter 0,$(COMPILE)),,$(COMPILED)/.made-with-$(notdir $(shell command -v $${CC:-cc} || echo none)))
SOURCES := $(shell find amqpbroker -type f -not -path '*/__pycache__/*') setup.py pyproject.toml tools/compiled tools/generated_c.py tools/objects.py

# Environment for programs that import the compiled package. Without it, `python -m` imports from the checkout first.
SHIPPED := $(if $(BUILT),PYTHONSAFEPATH=1 PYTHONPATH="$(CURDIR)/$(COMPILED):$(CURDIR)")

# --strict makes broken links and pages outside the nav fail the build. Do not add --quiet: mkdocs then does not count the
# warnings. The variable silences Material's warning about MkDocs 2.
SITE := NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

# The number of steps before the broker runs: create the environment, install packages, compile the core.
export STEPS := $(if $(BUILT),3,2)

# `make interop` installs the clients first. INSTALL= does not, for runs beside each other after `make clients`.
INSTALL = --install

ROUNDS ?= 50
FUZZ_SECONDS ?= 600
SECONDS ?= 60

.DEFAULT_GOAL := help
.PHONY: help compiled run test test-all lint check format docs clients interop conformance record fuzz-diff fuzz-http crash simulate soak bench bench-core bench-growth oldest clean

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

compiled: $(BUILT) ## Put the package into build/compiled as a wheel installs it; all targets that need it do so.

run: export STEPS = $(if $(filter wait,$(COMPILE)),3,2)
run: $(RUN) ## Run the broker on port 5672; ARGS="--port 5673" adds flags, COMPILE=wait compiles it first, COMPILE=0 never.
	@COMPILE=$(COMPILE) exec tools/run $(ARGS)

test: export STEPS = 2
test: $(DEV) ## Run the quick tests in a minute or two, interpreted; ARGS="tests/broker" runs all tests of a folder.
	@$(PY) -m tests.passes --interpreted $(ARGS)

test-all: $(DEV) $(BUILT) ## Run all tests, those of the compiled modules also compiled.
	@$(PY) -m tests.passes $(if $(BUILT),,--interpreted) --all

lint: $(DEV) ## Check format, style, types and links, without running tests.
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(PY) -m mypy --platform win32 --cache-dir .mypy_cache/win32
	$(PY) -m mypy --platform darwin --cache-dir .mypy_cache/darwin
	$(SITE)

check: lint $(BUILT) ## Run all checks: format, lint, types, layers, docs and all tests.
	@$(PY) -m tests.passes $(if $(BUILT),,--interpreted) --all

format: $(DEV) ## Format the code and sort its imports.
	$(PY) -m ruff check --fix --select I .
	$(PY) -m ruff format .

docs: $(DOCS) ## Generate the reference pages of docs/ from the code, and build the site into build/site.
	$(PY) -m tools.settings_reference
	$(PY) -m tools.ctl_reference
	$(PY) -m tools.metrics_reference
	$(PY) -m tools.http_api_reference
	$(PY) -m tools.connection_states_reference
	$(SITE)

clients: $(CLIENTS) ## Install the clients of `make interop`, without running them; ARGS="--rabbitmq" also installs RabbitMQ.
	$(PY) -m interop --only-install $(ARGS)

interop: $(CLIENTS) $(BUILT) ## Run real clients in several languages against the broker; installs their dependencies.
	$(SHIPPED) $(PY) -m interop $(INSTALL) $(ARGS)

conformance: $(DEV) $(BUILT) ## Replay the recordings of RabbitMQ; TARGET=amqp://... MANAGEMENT=http://... replays them on another broker.
	$(SHIPPED) $(PY) -m conformance replay $(if $(TARGET),--target $(TARGET)) $(if $(MANAGEMENT),--management $(MANAGEMENT)) $(ARGS)

record: $(DEV) ## Install RabbitMQ, record the conformance cases again and show the changes; ARGS="queue" selects cases.
	$(PY) -m conformance record $(ARGS)

fuzz-diff: $(DEV) $(BUILT) ## Run random scripts on RabbitMQ and the broker and compare; FUZZ_SECONDS=600, SEED=n replays one.
	$(SHIPPED) $(PY) -m conformance fuzz --seconds $(FUZZ_SECONDS) $(if $(SEED),--seed $(SEED)) $(ARGS)

fuzz-http: $(DEV) $(BUILT) ## Send random HTTP requests to a broker and report failures; FUZZ_SECONDS=600, SEED=n replays one.
	$(SHIPPED) $(PY) -m tests.fuzz.http --seconds $(FUZZ_SECONDS) $(if $(SEED),--seed $(SEED)) $(ARGS)

crash: $(DEV) $(BUILT) ## Kill the broker repeatedly under load and check that no message is lost; ROUNDS=50.
	@ROUNDS=$(ROUNDS) $(SHIPPED) $(PY) -m pytest -s $(if $(BUILT),-o pythonpath='$(COMPILED) .') tests/crash $(ARGS)

failover: $(DEV) $(BUILT) ## Fail brokers, databases and networks under load and check that no message is lost; ROUNDS=50.
	@FAILOVER_ROUNDS=$(ROUNDS) POSTGRESQL_TESTS=required $(SHIPPED) $(PY) -m pytest -s $(if $(BUILT),-o pythonpath='$(COMPILED) .') tests/failover $(ARGS)

simulate: $(DEV) $(BUILT) ## Simulate a broker through crashes and disk failures, one seed a run; SECONDS=60, SEED=n runs one seed.
	@$(SHIPPED) $(PY) -m tests.simulation --seconds $(SECONDS) $(if $(SEED),--seed $(SEED)) $(ARGS)

soak: $(DEV) $(BUILT) ## Drive each feature past twice its limits and check that the broker is idle afterwards; ARGS="delayed" selects features.
	$(SHIPPED) $(PY) -m tests.soak $(ARGS)

bench: $(DEV) $(BUILT) ## Install RabbitMQ, measure both brokers and write docs/performance.md; ARGS="transient --no-write".
	$(SHIPPED) $(PY) -m tests.bench.side_by_side $(ARGS)

bench-core: $(DEV) $(BUILT) ## Measure the CPU time of the core without sockets; ARGS="transient" selects workloads.
	$(SHIPPED) $(PY) -m tests.bench $(ARGS)

bench-growth: $(DEV) $(BUILT) ## Measure how costs grow with load and write docs/performance.md; ARGS="queues --no-write".
	$(SHIPPED) $(PY) -m tests.bench.growth $(ARGS)

oldest: $(DEV) ## Check a wheel with the oldest version of each dependency; ARGS="--newest" uses the newest.
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

$(CLIENTS): interop/requirements.txt $(DEV)
	$(PY) -m pip install --quiet --disable-pip-version-check -r interop/requirements.txt
	@touch $@

$(DOCS): pyproject.toml tools/venv
	@tools/venv docs
	@touch $(RUN) $@
