# Every target runs in .venv, which `make setup` builds from constraints.txt.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
JOBS ?= 2
PYTEST_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.setup-done
SITE_STAMP := $(VENV)/.site-done
TORCH := torch==2.13.0

# One thread per test process: JOBS processes already fill the cores.
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
PARALLEL = $(ONE_THREAD) $(BIN)/python -m pytest -n $(JOBS) --dist worksteal --benchmark-disable

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup tightness linear sizes gpu grid audit test slow lint format bench sabotage docs site fuzz wheel lens

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 12

setup: $(STAMP) ## build .venv with pinned versions; does nothing if it is up to date

# PIP_CONSTRAINT and PIP_BUILD_CONSTRAINT also pin the build environment: older pips read the first, newer ones the second.
$(STAMP): export PIP_CONSTRAINT := constraints.txt
$(STAMP): export PIP_BUILD_CONSTRAINT := constraints.txt
$(STAMP): export PIP_DISABLE_PIP_VERSION_CHECK := 1
$(STAMP): pyproject.toml constraints.txt
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt $(TORCH) -e '.[dev]'
	$(BIN)/python -m pip check
	@touch $@

audit: setup ## bound, build, judge and report every theorem: PDF, HTML and JSON in out/report
	$(BIN)/icgd audit

docs: setup ## generate the pages of docs/ that come from the claims
	$(BIN)/python -m icgd.reports.documentation

# MkDocs and a notebook kernel are of no use to an audit, so setup leaves them out.
$(SITE_STAMP): export PIP_CONSTRAINT := constraints.txt
$(SITE_STAMP): export PIP_BUILD_CONSTRAINT := constraints.txt
$(SITE_STAMP): export PIP_DISABLE_PIP_VERSION_CHECK := 1
$(SITE_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[docs]'
	$(BIN)/python -m pip check
	@touch $@

# Not --quiet: it drops warnings before --strict counts them.
site: $(SITE_STAMP) ## build the site of docs/ in out/site: notebooks are run, links are followed
	$(LINK_SOURCES)
	$(ONE_THREAD) NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

test: setup ## run the tests, claims and doctests, but for slow ones; PYTEST_ARGS="-k relu" adds options
	$(PARALLEL) -m "not slow and not wheel and not lens" $(PYTEST_ARGS)

# TransformerLens pulls in dozens of packages that icgd has no use for, so it gets an environment beside .venv's libraries.
LENS := build/lens
$(LENS)/.done: export PIP_DISABLE_PIP_VERSION_CHECK := 1
$(LENS)/.done: $(STAMP)
	$(BIN)/python -m venv --clear $(LENS)
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > $$(echo $(LENS)/lib/python*/site-packages)/libraries.pth
	$(LENS)/bin/python -m pip install --quiet -c constraints.txt transformer-lens
	$(LENS)/bin/python -m pip install --quiet --no-deps --target $(LENS)/before-4 transformer-lens==3.9.0 better-abc==0.0.3
	@touch $@

lens: $(LENS)/.done ## load exported models in TransformerLens, in an environment of its own
	$(ONE_THREAD) $(BIN)/python -m pytest --benchmark-disable -m lens tests/construct/exports $(PYTEST_ARGS)

slow: setup ## run the tests that take more than a few seconds each
	$(PARALLEL) -m slow $(PYTEST_ARGS)

wheel: setup ## build the wheel, and try it in a fresh environment beside other people's packages
	$(ONE_THREAD) $(BIN)/python -m pytest -n $(JOBS) -m wheel tests/test_wheel.py $(PYTEST_ARGS)

fuzz: setup ## run the Hypothesis tests on many new examples; a failure is printed with the command that replays it
	$(PARALLEL) --hypothesis-profile fuzz -m hypothesis $(PYTEST_ARGS)

# The sources under the names that users import them by, for tools that read them without running them.
LINK_SOURCES = mkdir -p build/types/icgd && ln -sfn $(foreach folder,bounds construct verify reports,$(CURDIR)/$(folder)) $(wildcard $(CURDIR)/icgd/*.py*) build/types/icgd/

lint: setup ## run ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(LINK_SOURCES)
	$(BIN)/mypy

format: setup ## format the sources with ruff
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

tightness: setup ## measure how tight proofs are, and how long they take
	$(ONE_THREAD) $(BIN)/python -m icgd.verify.tightness

linear: setup ## measure how tight distances of linear attention from descent are; takes some minutes
	$(ONE_THREAD) $(BIN)/python -m icgd.verify.given_linear.tightness

gpu: setup ## compare an accelerator with the CPU: docs/gpu.md; PYTEST_ARGS="--device cuda:1 --date today" adds options
	$(BIN)/python -m icgd.verify.accelerator $(PYTEST_ARGS)

sizes: setup ## run commands of many sizes and compare each with its own estimate: about 10 minutes
	$(ONE_THREAD) $(BIN)/python -m icgd.reports.sizes

bench: setup ## measure timings; PYTEST_ARGS="--benchmark-autosave" saves them
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest tests/benchmarks --benchmark-enable $(PYTEST_ARGS)

grid: setup ## judge 300 ordinary problems: each is proved, or refused beforehand in one sentence
	$(ONE_THREAD) $(BIN)/python -m icgd.verify.grid

sabotage: setup ## damage transformers and certificates in every way we know; each damage must be caught
	$(ONE_THREAD) $(BIN)/python -m icgd.verify.sabotage.run
