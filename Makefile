# `make quickstart` and `make test` do all the set-up themselves.

PYTHON ?= $(shell for p in python3 python3.12 python3.11; do \
  $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' \
  2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
INSTALLED := .venv/installed
# the recipe notes when `make` began, so that quickstart counts installation
STARTED := $(shell date +%s)

.PHONY: install quickstart quickstart-smoke dreamer-quickstart test test-slow lint types lock

install: $(INSTALLED)

$(INSTALLED): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: carnet needs Python 3.11 or 3.12;" \
	  "name one: make install PYTHON=/path/to/python3.12" >&2; exit 2; }
	@echo "Installing into .venv (about 1.6 GB, under a minute) ..."
	@$(PYTHON) -m venv .venv || { echo "error: no venv; on Debian:" \
	  "apt-get install python3-venv" >&2; exit 2; }
	@awk '/^uv==/ {on = 1; print; next} /^[^ ]/ {on = 0} on' requirements.lock \
	  > .venv/uv.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check \
	  --require-hashes -r .venv/uv.lock
	@# pip knows mirrors configured for it, which uv does not read
	@$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes \
	  -r requirements.lock || $(BIN)/python -m pip install -q \
	  --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/uv pip install -q --python $(BIN)/python --no-deps \
	  --no-build-isolation --offline -e .
	@touch $@

quickstart: $(INSTALLED)
	@$(BIN)/python scripts/quickstart.py --started=$(STARTED)

quickstart-smoke: $(INSTALLED)
	@$(BIN)/python scripts/quickstart.py --started=$(STARTED) --smoke

dreamer-quickstart: $(INSTALLED)
	@$(BIN)/python scripts/dreamer_quickstart.py --started=$(STARTED)

test: $(INSTALLED)
	$(BIN)/python -m pytest -q -n 2 --dist loadfile

# proofs that take minutes: experts on 100 seeds, a kill at each change of the
# disk, learning
test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -q -m slow

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(INSTALLED)
	$(BIN)/mypy

lock: $(INSTALLED)
	$(BIN)/uv pip compile pyproject.toml -q --universal --all-extras \
	  --generate-hashes --no-header --no-annotate --no-emit-index-url \
	  --no-emit-find-links --python-version 3.11 -o requirements.lock
