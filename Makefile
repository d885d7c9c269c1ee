# Everything a person types; `make help` lists it. Each target sets up what it needs by itself.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
NPM ?= npm
# Test workers, one a core: with one more, pages and servers are waited for so long that their limits run out.
JOBS ?= $(shell $(PYTHON) -c "import os; print(min(8, os.cpu_count() or 1))")
# Every command that a test starts reads the bytecode that the first one wrote, where a shell forbids to write it too.
PYTEST := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest
SETUP := pyproject.toml constraints.txt scripts/install.py

.PHONY: help quickstart r1 serve test install lint format test-unit test-room test-long test-torch sanitize test-mutants same-as focus-validator lm-eval clients schema-suite dist bench clean

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1: /p' $(MAKEFILE_LIST) | awk -F': ' '{ printf "  make %-15s %s\n", $$1, $$2 }'

quickstart: $(VENV)/.installed ## from nothing to a small trained model, its bill and its answers, in minutes
	$(BIN)/centime quickstart

R1 ?= runs/r1
SEEDS ?= 1
r1: $(VENV)/.installed ## R1's story in small: a base, reinforcement, what the same money buys otherwise, a student; SEEDS=3 for intervals
	$(BIN)/python -m benchmarks.r1 --out $(R1) --seeds $(SEEDS) $(ARGS)

MODEL ?= runs/quickstart
serve: $(VENV)/.installed-serve ## a model behind the APIs people speak, and a page: make serve MODEL=runs/quickstart ARGS="--port 9000"
	$(BIN)/centime serve $(MODEL) $(ARGS)

test: $(VENV)/.installed-dev ## the whole suite but the tests marked long
	$(PYTEST) -n $(JOBS) --dist worksteal -m "not long"

install: $(VENV)/.installed ## the set-up alone: .venv beside the code

lint: $(VENV)/.installed-dev ## ruff, ruff format and mypy --strict on src
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev ## what lint would complain about, mended where a tool can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test-unit: $(VENV)/.installed-dev ## the quick tests, a few minutes on two cores
	$(PYTEST) -n $(JOBS) --dist worksteal -m "not slow and not long"

test-room: $(VENV)/.installed-dev ## the tests of one room, a minute or so: make test-room ROOM=plan/step
	@test -n "$(ROOM)" || { echo "test-room: name a room, as in: make test-room ROOM=plan/step" >&2; exit 2; }
	$(PYTEST) -n $(JOBS) --dist worksteal -m "not long" tests/$(ROOM)

test-long: $(VENV)/.installed-dev ## soak, fuzz and build runs of many minutes
	$(PYTEST) -m long

sanitize: $(VENV)/.installed-dev ## ThreadSanitizer, AddressSanitizer and UBSan on our own kernels; needs a C++ compiler
	$(PYTEST) -n $(JOBS) -m long tests/native

test-torch: ## the suite on another torch, in its own .venv-torch-V: make test-torch V=2.15.0
	@test -n "$(V)" || { echo "test-torch: name a version, as in: make test-torch V=2.15.0" >&2; exit 2; }
	$(MAKE) .venv-torch-$(V)/.installed-dev
	OMP_NUM_THREADS=1 .venv-torch-$(V)/bin/python -m pytest -n $(JOBS) --dist worksteal -m "not long"

ROOM ?=
test-mutants: $(VENV)/.installed-dev ## whether the tests notice wrong lines: make test-mutants ROOM=plan/step; all rooms take hours
	$(BIN)/python scripts/mutants.py $(ROOM) $(ARGS)

same-as: $(VENV)/.installed-dev ## whether this checkout still says what another revision says: make same-as REV=HEAD~5
	@test -n "$(REV)" || { echo "same-as: name a revision, as in: make same-as REV=HEAD~5" >&2; exit 2; }
	$(BIN)/python scripts/same_as.py $(REV)

focus-validator: .venv-focus/.installed ## the FinOps Foundation's checker of FOCUS files, which one test asks; needs a Python 3.12

lm-eval: .venv-lm-eval/.installed ## EleutherAI's lm-evaluation-harness, which one test asks; about 1 GB on disk

clients: .venv-clients/.installed build/clients/.installed ## LangChain, LlamaIndex and Vercel's AI SDK (npm), which one test puts before the gateway

# jsonschema's source package carries the JSON Schema organisation's own tests; its wheel does not.
SUITE := build/json-schema-test-suite
schema-suite: $(SUITE)/.fetched ## the JSON Schema Test Suite, which one test draws its schemas from

$(SUITE)/.fetched: | $(VENV)/.installed-dev
	mkdir -p $(SUITE)
	$(BIN)/python -m pip download --quiet --no-deps --no-binary jsonschema --dest $(SUITE) jsonschema==4.26.0
	tar -xzf $(SUITE)/jsonschema-4.26.0.tar.gz -C $(SUITE) --strip-components=3 jsonschema-4.26.0/json/tests
	touch $@

# The source package first, and the wheel from it, so that what is published can be built again.
dist: $(VENV)/.installed-dev ## the source package and the wheel in dist/, checked as the package index would
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	$(BIN)/python -m twine check --strict dist/*

bench: $(VENV)/.installed-bench ## training speed beside its peers, as ratios in one run
	$(BIN)/python benchmarks/train.py

clean: ## caches and builds; environments and runs stay
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests benchmarks scripts -name __pycache__ -prune -exec rm -rf {} +

# A recipe writes the stamp that it is named after, and those of what it brings besides.
$(VENV)/.installed: $(SETUP)
	$(PYTHON) scripts/install.py --venv $(VENV) --extras train
	@touch $@

$(VENV)/.installed-serve: $(SETUP)
	$(PYTHON) scripts/install.py --venv $(VENV) --extras train,serve
	@touch $(VENV)/.installed $@

$(VENV)/.installed-dev: $(SETUP)
	$(PYTHON) scripts/install.py --venv $(VENV) --extras dev,peers
	@touch $(VENV)/.installed $(VENV)/.installed-serve $@

# torchtitan's own requirements are for training on GPUs; the modules that the benchmark takes need none of them.
$(VENV)/.installed-bench: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --no-deps torchtitan==0.3.0 spmd_types==0.2.3
	touch $@

.venv-torch-%/.installed-dev: $(SETUP)
	$(PYTHON) scripts/install.py --venv .venv-torch-$* --extras dev,peers --torch $*
	@touch $@

# It pins NumPy 1.26, which neither our NumPy nor a Python after 3.12 agrees with; pyarrow 20 and later want NumPy 2.
PYTHON312 ?= $(shell for p in python3.12 $(wildcard $(HOME)/.pyenv/versions/3.12*/bin/python); do \
	$$p -c pass 2>/dev/null && echo $$p && break; done)
.venv-focus/.installed:
	@test -n "$(PYTHON312)" || { echo "focus-validator: no Python 3.12 here; name one with PYTHON312=" >&2; exit 2; }
	$(PYTHON312) -m venv .venv-focus
	.venv-focus/bin/python -m pip install --quiet focus-validator==2.2.1 "pyarrow<20"
	touch $@

.venv-clients/.installed:
	$(PYTHON) -m venv .venv-clients
	.venv-clients/bin/python -m pip install --quiet langchain-openai==1.7.4 llama-index-core==0.14.25 llama-index-llms-openai-like==0.8.1
	touch $@

build/clients/.installed:
	mkdir -p build/clients
	$(NPM) install --silent --no-fund --no-audit --prefix build/clients ai@6.0.326 @ai-sdk/openai-compatible@2.0.92 zod@4.6.7
	touch $@

# Some sixty packages that nothing else here needs. What is not its own (torch, centime) it finds in the environment beside
# it; accelerate and peft are what its own backend for transformers imports, which ours is compared with.
.venv-lm-eval/.installed: $(VENV)/.installed-dev
	$(PYTHON) -m venv .venv-lm-eval
	.venv-lm-eval/bin/python -m pip install --quiet -c constraints.txt "lm_eval[api]==0.4.13" transformers
	.venv-lm-eval/bin/python -m pip install --quiet --no-deps accelerate peft
	$(BIN)/python -c "import site; print(site.getsitepackages()[0]); print('$(CURDIR)/src')" \
		> $$(.venv-lm-eval/bin/python -c "import site; print(site.getsitepackages()[0])")/zz_beside.pth
	touch $@
