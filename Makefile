# `make run` and `make test` need nothing but python3 >= 3.11 and the package index; everything else is set up in .venv.

PY := .venv/bin/python
RUN := .venv/.run
DEV := .venv/.dev
ROUNDS ?= 50
FUZZ_SECONDS ?= 600

# What is measured is what is shipped: the compiled package, before the source of everything else. COMPILE=0 goes without.
COMPILED := $(if $(filter 0,$(COMPILE)),,build/compiled)
SHIPPED := $(if $(COMPILED),PYTHONSAFEPATH=1 PYTHONPATH=$(CURDIR)/$(COMPILED):$(CURDIR))

.DEFAULT_GOAL := help
.PHONY: help run test check format docs interop conformance record fuzz-diff crash bench bench-core bench-growth clean

help: ## Show what there is.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(RUN) ## Run the broker on port 5672; ARGS="--port 5673" adds flags.
	@exec $(PY) -m amqpbroker serve $(ARGS)

test: $(DEV) ## Run the tests; ARGS="tests/broker" picks some.
	@$(PY) -m pytest $(ARGS)

check: $(DEV) ## Everything that has to hold: format, lint, types, layers, docs, tests.
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(PY) -m pytest

format: $(DEV) ## Format the code and sort its imports.
	$(PY) -m ruff check --fix --select I .
	$(PY) -m ruff format .

docs: $(DEV) ## Write the parts of docs/ that come from tables in the code.
	$(PY) -m tools.settings_reference
	$(PY) -m tools.ctl_reference
	$(PY) -m tools.metrics_reference
	$(PY) -m tools.http_api_reference

interop: $(DEV) ## Run real clients of several languages against the broker; installs what they need.
	$(PY) -m pip install --quiet --disable-pip-version-check -r interop/requirements.txt
	$(PY) -m interop --install $(ARGS)

conformance: $(DEV) ## Replay what a real RabbitMQ did; TARGET=amqp://... MANAGEMENT=http://... for another broker than this.
	$(PY) -m conformance replay $(if $(TARGET),--target $(TARGET)) $(if $(MANAGEMENT),--management $(MANAGEMENT)) $(ARGS)

record: $(DEV) ## Record the cases from RabbitMQ anew, which is installed for it, and show what changed; ARGS="queue" picks some.
	$(PY) -m conformance record $(ARGS)

fuzz-diff: $(DEV) ## Random scripts on RabbitMQ and on the broker side by side; FUZZ_SECONDS=600, SEED=n replays one.
	$(PY) -m conformance fuzz --seconds $(FUZZ_SECONDS) $(if $(SEED),--seed $(SEED)) $(ARGS)

crash: $(DEV) ## Kill the broker again and again under load, and look that nothing is lost; ROUNDS=50.
	@ROUNDS=$(ROUNDS) $(PY) -m pytest -s tests/crash $(ARGS)

bench: $(DEV) $(COMPILED) ## Measure beside RabbitMQ, which is installed for it, and write docs/performance.md; ARGS="transient --no-write".
	$(SHIPPED) $(PY) -m tests.bench.side_by_side $(ARGS)

bench-core: $(DEV) $(COMPILED) ## Measure the core, bytes in to bytes out; ARGS="transient" picks shapes.
	$(SHIPPED) $(PY) -m tests.bench $(ARGS)

bench-growth: $(DEV) $(COMPILED) ## Measure what it costs as work grows, and write that into docs/performance.md; ARGS="queues --no-write".
	$(SHIPPED) $(PY) -m tests.bench.growth $(ARGS)

clean: ## Remove .venv and every cache.
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

build/compiled: $(shell find amqpbroker -name '*.py') setup.py pyproject.toml tools/compiled
	@tools/compiled
	@touch $@

$(RUN): pyproject.toml tools/venv
	@tools/venv
	@touch $@

$(DEV): pyproject.toml tools/venv tools/chromium
	@tools/venv dev
	@tools/chromium
	@touch $(RUN) $@
