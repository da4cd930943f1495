# Everything is set up by the target that needs it; `make demo` is the place to start.

PYTHON ?= python3
PORT ?= 8080
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
DROP_IN := tests/drop_in/requirements.txt
VERSIONS ?= 3.12 3.13
COVERED ?= 90
QUICK := -n auto --dist worksteal -m "not alone and not slow and not system"
QUICK_FOLDERS := $(addprefix tests/,_util encoding signaling \
	$(addprefix peer/,_util files ice pairing sctp sdp))

.PHONY: demo test quick pythons coverage fuzz check format docs bench nat-matrix release system clean

demo: $(VENV)/.run  ## a video call between a browser and Python
	@$(BIN)/icefloe demo --port $(PORT)

test: $(VENV)/.test  ## all tests; as root on Debian or Ubuntu it installs what they need
	@$(BIN)/python -m tests.helpers.system
	@$(BIN)/pytest --cache-clear -n auto --dist worksteal -m "not alone"; side=$$?; \
		$(BIN)/pytest -m alone; alone=$$?; \
		[ $$side$$alone = 00 ] && exit 0; \
		[ $$side -le 1 ] && [ $$alone -le 1 ] || exit 1; \
		echo "What failed is run once more, with nothing beside it; that counts."; \
		$(BIN)/pytest --last-failed --last-failed-no-failures none

quick: pythons  ## the tests of the protocols on each of VERSIONS that this machine has
	@for version in $(VERSIONS); do \
		[ ! -d $(VENV)-$$version ] || (set -x; \
			$(VENV)-$$version/bin/python -m pytest -q --cache-clear $(QUICK) $(QUICK_FOLDERS) || \
			$(VENV)-$$version/bin/python -m pytest -q --last-failed --last-failed-no-failures none \
				$(QUICK_FOLDERS)) || exit 1; \
	done

pythons:  ## an environment with what tests need for each of VERSIONS that this machine has
	@for version in $(VERSIONS); do \
		! python=$$($(PYTHON) -m tests.helpers.pythons $$version) || \
			$(MAKE) --no-print-directory VENV=$(VENV)-$$version PYTHON=$$python \
				$(VENV)-$$version/.quick || exit 1; \
	done

coverage: pythons  ## the lines that tests reach, without those of browsers, labs and benchmarks
	@python=$$(ls -d $(patsubst %,$(VENV)-%,$(VERSIONS)) 2>/dev/null | tail -1)/bin/python; \
		[ -x $$python ] || { echo "It takes Python 3.12 or newer."; exit 1; }; \
		rm -rf build/coverage; \
		$$python -m coverage run -m pytest -q -n auto --dist worksteal -m "not alone" \
			$(addprefix --ignore=tests/,browser natlab bench interop drop_in documents fuzz); tests=$$?; \
		$$python -m coverage combine -q && $$python -m coverage report --fail-under=$(COVERED) \
			&& exit $$tests

fuzz: $(VENV)/.fuzz  ## hostile inputs for whatever reads them: TARGET=stun INPUTS=1000 SEED=2
	@$(BIN)/python -m tests.fuzz $(TARGET) --inputs $(or $(INPUTS),10000000) --seed $(or $(SEED),1)

check: $(VENV)/.check  ## style, the direction of imports, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/mypy tests
	$(BIN)/pyright

format: $(VENV)/.check
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.docs  ## the documentation as a site, in build/site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "Read it with: $(BIN)/python -m http.server --directory build/site 8000"

bench: $(VENV)/.test  ## icefloe and plain aiortc in turn; writes docs/benchmarks.md
	@$(BIN)/python -m tests.bench

nat-matrix: $(VENV)/.test  ## who connects with whom across NATs; writes docs/nat-matrix.md
	@$(BIN)/python -m tests.natlab.matrix

release: $(VENV)/.release  ## sdist and wheel in dist/, checked with twine and in an environment of their own
	@rm -rf dist
	@$(BIN)/python -m build --outdir dist
	@$(BIN)/twine check --strict dist/*
	@$(BIN)/python -m tests.helpers.release dist

system: $(VENV)/.test  ## install the parts of the system that tests need
	@$(BIN)/python -m tests.helpers.system --install

clean:
	rm -rf $(VENV) $(VENV)-3.* build dist *.egg-info

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "icefloe needs Python 3.11 or newer; name one with make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --editable .
	@touch $@

$(VENV)/.release: pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --editable '.[release]'
	@touch $@

$(VENV)/.test: pyproject.toml $(DROP_IN) | $(BIN)/python
	$(PIP) install --quiet --editable '.[test]'
	$(PIP) install --quiet --no-deps --requirement $(DROP_IN)
	@touch $@ $(VENV)/.run

$(VENV)/.quick: pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --editable '.[test]'
	@touch $@

# Where there is no atheris for the machine or its Python, hypothesis takes its place.
$(VENV)/.fuzz: $(VENV)/.test
	$(PIP) install --quiet --editable '.[fuzz]' || echo "atheris does not install here: without it"
	@touch $@

$(VENV)/.check: pyproject.toml $(DROP_IN) | $(BIN)/python
	$(PIP) install --quiet --editable '.[check]'
	$(PIP) install --quiet --no-deps --requirement $(DROP_IN)
	@touch $@ $(VENV)/.test $(VENV)/.run

$(VENV)/.docs: pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --editable '.[docs]'
	@touch $@ $(VENV)/.run
