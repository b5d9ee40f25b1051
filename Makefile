# Every target works as the first command in a fresh clone: it sets up $(VENV) by itself.
#
#     make test PYTHON=python3.12 VENV=.venv-3.12     choose the interpreter, keep its environment apart
#     make test ARGS="-k breaker"                     pass arguments on (test, demo, bench, check-otp)
#     make test WORKERS=0                             run the tests in one process; else one more than there are cores

PYTHON ?=
VENV ?= .venv
ARGS ?=
SCENARIOS ?= 500
BIN = $(VENV)/bin
WORKERS ?= $(shell echo $$(( $$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN) + 1 )))
PYTEST = -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

export PYTHON
# The suite starts hundreds of interpreters: they are not to compile relight each time.
unexport PYTHONDONTWRITEBYTECODE
export PYRIGHT_PYTHON_IGNORE_WARNINGS = 1

.DEFAULT_GOAL := help
.PHONY: help demo test test-dev check check-otp bench format lint types imports coverage coverage-report wheel-test clean

help:
	@echo "make demo       run the demo: comics drawn by flaky providers, nothing lost"
	@echo "make test       run the tests"
	@echo "make test-dev   test runtime and supervisors in Python's development mode, warnings as errors"
	@echo "make bench      run the benchmarks"
	@echo "make check      everything CI checks: lint, types, imports, coverage of the tests on the wheel, check-otp"
	@echo "make check-otp  run random trees through relight and through Erlang/OTP (SCENARIOS=500), if it is there"
	@echo "make format     let ruff rewrite the code"
	@echo "make clean      remove environments, caches and build results"

demo: $(VENV)/.ready
	$(BIN)/python -m relight demo $(ARGS)

bench: $(VENV)/.ready
	$(BIN)/python -m relight bench $(ARGS)

# COVERAGE=1 measures while it tests. WHEEL=1 tests the wheel: built, installed, and from an empty folder.
# With both, CI needs to run the suite but once.
test: $(VENV)/.ready $(if $(WHEEL),$(VENV)/.ready-lint)
	$(if $(COVERAGE),rm -f .coverage .coverage.*)
	$(if $(WHEEL),COVERAGE=$(COVERAGE) tools/wheel-test.sh $(VENV),$(BIN)/python$(if $(COVERAGE), -m coverage run)) $(PYTEST)

# Development mode shows what is otherwise silent: coroutines never awaited, files and loops never closed,
# slow callbacks. Hooks that cannot raise (sys.unraisablehook) are pytest's to report, as errors too.
test-dev: $(VENV)/.ready
	$(BIN)/python -X dev -W error $(PYTEST) tests/runtime tests/supervisors tests/faults

check: $(VENV)/.ready-lint
	@MAKE="$(MAKE)" $(BIN)/python tools/check.py $(or $(PARTS),lint types imports coverage check-otp)

# Installs no Erlang: without one it says where to get it, and passes.
check-otp: $(VENV)/.ready
	$(BIN)/python -m tests.supervisors.otp.differential --scenarios $(SCENARIOS) $(ARGS)

format: $(VENV)/.ready-lint
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

lint: $(VENV)/.ready-lint
	@status=0; set -x; $(BIN)/ruff format --check || status=1; $(BIN)/ruff check || status=1; exit $$status

# The editable install is an import hook, which mypy can't follow; these links show it the packages under
# their names. mypy has to run beside them, or it would also find the same files through the root.
types: $(VENV)/.ready-lint
	@mkdir -p .venv/src
	@ln -sfn ../.. .venv/src/relight
	@ln -sfn ../../tests .venv/src/tests
	@ln -sfn ../../examples .venv/src/examples
	@status=0; set -x; \
	( cd .venv && MYPYPATH=src ../$(BIN)/python -m mypy --config-file ../pyproject.toml -p relight -p tests -p examples ) \
		|| status=1; \
	$(BIN)/python -m pyright --pythonpath $(BIN)/python || status=1; exit $$status

imports: $(VENV)/.ready-lint
	$(BIN)/lint-imports --no-logo

coverage:
	@$(MAKE) --no-print-directory test WHEEL=1 COVERAGE=1
	@$(MAKE) --no-print-directory coverage-report

coverage-report: $(VENV)/.ready
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report --skip-covered
	$(BIN)/python -m coverage report --include='runtime/*,supervisors/*' --skip-covered --show-missing

wheel-test:
	@$(MAKE) --no-print-directory test WHEEL=1

clean:
	rm -rf .venv .venv-* build dist *.egg-info .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache \
		.import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp holds the folder and the interpreter its environment was made for. In a moved clone, with another PYTHON,
# or without a working interpreter it counts as missing.
ifneq ($(shell $(BIN)/python -c '' 2>/dev/null && cat $(VENV)/.ready 2>/dev/null),$(strip $(CURDIR) $(PYTHON)))
.PHONY: $(VENV)/.ready
endif

$(VENV)/.ready: pyproject.toml
	@tools/venv.sh $(VENV) '.[all]' test bench
	@rm -f $(VENV)/.ready-lint
	@echo $(strip $(CURDIR) $(PYTHON)) > $@

$(VENV)/.ready-lint: $(VENV)/.ready
	@tools/venv.sh $(VENV) '.[all]' lint
	@touch $@
