# Forewarn. `make help` lists the targets. Everything lives in .venv beside this file; nothing else is touched.
#
# Every target name is relative and every tool is started as `.venv/bin/python -m ...`: neither make nor a script's
# first line copes with a checkout whose path has a space in it.

PYTHON ?= python3
PYTEST_ARGS ?=
WORKERS ?= $(shell expr `nproc` + 1)
KEEP ?=

VENV := .venv
PY := $(VENV)/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help test arm demo bundles lint types contracts env env-dev clean

help: ## Show this list.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | while IFS='|' read -r name text; do printf '%-18s %s\n' "$$name" "$$text"; done

test: env-dev ## Run the whole test suite (PYTEST_ARGS="-k name" picks some, WORKERS=0 runs them in this process).
	$(PY) -m pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)

arm: env ## Check that emulated ARM64 cores judge as this machine does (Debian; network the first time).
	@bash tests/arm/run $(PY)

demo: env ## Watch a simulated line degrade until the agent warns (KEEP=1: until Ctrl-C).
	$(PY) -m agent.demo $(if $(filter-out 0 no,$(KEEP)),--keep)

lint: env-dev ## Check the style of the sources.
	$(PY) -m ruff check .

types: env-dev ## Check the types, strictly.
	$(PY) -m mypy

contracts: env-dev ## Check who may import whom.
	$(PY) -c 'import sys; from importlinter.cli import lint_imports_command as main; sys.exit(main())'

env: ## Make .venv with what runs the agent.
	$(call install,.,$(VENV)/installed-runtime $(VENV)/installed-dev,$(VENV)/installed-runtime)

env-dev: ## Make .venv with what runs and checks the agent.
	$(call install,.[dev],$(VENV)/installed-dev,$(VENV)/installed-dev)

bundles: env ## Learn the shipped bundles anew, from simulated histories.
	@for machine in pump press conveyor; do \
	  mkdir -p build && \
	  $(PY) -m simulators history $$machine --days 14 --seed 1 --period 5 --out build/$$machine.parquet && \
	  $(PY) -m simulators config $$machine --modbus 127.0.0.1:502 --bundle $$machine --period-ms 5000 > build/$$machine.toml && \
	  $(PY) -m agent learn build/$$machine.parquet --config build/$$machine.toml --no-sign --out models/bundles/$$machine || exit 1; \
	done
	cd models/bundles && sha256sum */manifest.json > SHA256SUMS

clean: ## Remove .venv and everything the tools left behind.
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What an environment was made from: this place (an editable install remembers it), that Python, these dependencies.
# While it stays the same nothing is installed and no network is needed.
fingerprint = { pwd; $(PY) -c 'import sys; print(sys.version_info[:2])' && cat pyproject.toml; } 2>/dev/null

# $(call install,WHAT,STAMPS OF WHICH ONE WILL DO,STAMP TO LEAVE)
define install
	@for stamp in $(2); do if $(fingerprint) | cmp -s - $$stamp; then exit 0; fi; done; \
	$(check_python) && $(make_venv) && \
	echo "Installing into $(VENV) (once; a few minutes on a slow line) ..." && \
	if ! $(PY) -m pip install --quiet --editable '$(1)'; then \
	  echo "make: the packages could not be installed; the first time needs a way to the Python package index." >&2; exit 1; \
	fi && \
	$(fingerprint) > $(3)
endef

define check_python
	if ! command -v $(PYTHON) >/dev/null; then \
	  echo "make: $(PYTHON) was not found. On Debian or Ubuntu: sudo apt install python3 python3-venv" >&2; exit 1; \
	elif ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
	  echo "make: Forewarn needs Python 3.11 or newer, $(PYTHON) is `$(PYTHON) --version`. Name another: make PYTHON=python3.12 ..." >&2; exit 1; \
	elif ! $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then \
	  echo "make: $(PYTHON) cannot make a virtual environment. On Debian or Ubuntu: sudo apt install python3-venv" >&2; exit 1; \
	fi
endef

# An environment that still runs and belongs to this place is kept, and pip only brings it up to date.
define make_venv
	if [ -L $(VENV) ]; then \
	  echo "make: $(VENV) is a link, and making it anew would empty what it leads to. Remove the link." >&2; exit 1; \
	fi; \
	if ! { [ -d $(VENV) ] && cat $(VENV)/installed-* 2>/dev/null | grep -qxF "`pwd`" && $(PY) -m pip --version >/dev/null 2>&1; }; then \
	  $(PYTHON) -m venv --clear $(VENV); \
	fi
endef
