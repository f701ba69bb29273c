# make demo   everything once, on drawn people
# make test   what CI runs
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
INSTALLED = $(VENV)/.installed

.PHONY: install demo test lint browser bench soak lock clean

install: $(INSTALLED)

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "Maskwise needs Python 3.11 to 3.13, this is %d.%d; say make PYTHON=python3.12" % v)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: install
	$(BIN)/maskwise demo

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# the page is tested in Chromium
browser:
	@command -v chromium > /dev/null || command -v google-chrome > /dev/null || { \
		sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
		$$sudo apt-get -qq update && $$sudo apt-get -qq install --no-install-recommends --yes chromium; }

test: lint browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

bench: install
	$(BIN)/python -m benchmarks.data_path

# attacks, load and kills: some minutes, and a table
soak: install
	$(BIN)/python -m benchmarks.soak

lock:
	$(BIN)/uv pip compile --universal --generate-hashes --python-version 3.11 --all-extras --quiet \
		--custom-compile-command 'make lock' --output-file requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache demo
