# Everything runs from a virtual environment in .venv, which is made on first use.

PYTHON ?= python3
BIN    := .venv/bin

.PHONY: demo test place lint format clean
.DELETE_ON_ERROR:

# One spec, three jobs, end to end; the page is build/demo/index.html.
demo: .venv/.demo
	$(BIN)/bitweft demo -o build/demo

# The README's test command.
test: .venv/.dev
	$(BIN)/pytest -n auto --dist worksteal

# The smallest accelerator on an ECP5: reports/results/place-tiny.md.
place: .venv/.place
	$(BIN)/python -m reports.place

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: .venv/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv build

.venv/bin/python:
	@for tool in g++ make perl; do command -v $$tool >/dev/null || \
	  { echo "bitweft: error: $$tool must be on PATH: install it with 'apt-get install $$tool'." >&2; exit 2; }; done
	@command -v $(PYTHON) >/dev/null && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "bitweft: error: Python 3.11 or newer must be on PATH: install it with 'apt-get install python3', or name it with PYTHON=." >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "bitweft: error: Python's venv module must be there: install it with 'apt-get install python3-venv'." >&2; exit 2; }
	$(PYTHON) -m venv .venv

.venv/.demo: .venv/bin/python pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[sim,quant]'
	touch $@

.venv/.dev: .venv/bin/python pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@ .venv/.demo

.venv/.place: .venv/bin/python pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[place]'
	touch $@
