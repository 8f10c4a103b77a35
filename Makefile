# Python and make are all that a fresh machine needs. Downloads are kept in ~/.cache/inhouse, outside the clone.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
EXTRAS := postgres,plan,quality,report,pdf,gateway,redis,otlp,semantic-cache,agent,pydantic-ai,docs,korean,chroma,pgvector,qdrant,pinecone
STAMP  := $(VENV)/.installed
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help install study example test lint types imports check format bench manual clean

help:  ## This list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

study: install  ## Set everything up, pull a model, measure it, write report.html and notes/ (ARGS="--budget 5m --lang ko")
	$(BIN)/inhouse study $(ARGS)

example: install  ## Make a study with the real model, and from it examples/: report and notes, ko and en (ARGS="--budget 10m")
	INHOUSE_DATA_DIR=$(CURDIR)/.example $(BIN)/inhouse study --lang ko --out .example $(ARGS)
	for lang in ko en; do \
		INHOUSE_DATA_DIR=$(CURDIR)/.example $(BIN)/inhouse report --lang $$lang -o examples/report.$$lang.html \
			-f html -f pdf -f md --notes examples/notes.$$lang || exit 1; done

test: install  ## Set everything up and run the tests (ARGS="-k store")
	$(BIN)/inhouse models pull smollm2:135m
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

install: $(STAMP)  ## Make the virtual environment with all that study and test need

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: Python 3.11 or later is needed; name one with  make PYTHON=python3.12 …"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable '.[$(EXTRAS)]' --group dev
	touch $(STAMP)

check: lint types imports  ## Lint, types and import rules

lint: install  ## ruff: rules and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: install  ## mypy, strict
	$(BIN)/mypy

imports: install  ## Which part may import which
	$(BIN)/lint-imports

format: install  ## Format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: install  ## Run every benchmark in short form; each fails under its bar
	@status=0; for script in benchmarks/[a-z]*.py; do \
		case $$script in */fake_*) continue;; esac; \
		echo "== $$script"; $(BIN)/python $$script || status=1; done; exit $$status

manual: install  ## Build the manual, English and Korean, into site/
	$(BIN)/pip install --quiet --group docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

clean:  ## Remove what make made (downloads and the store stay)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache site dist build
