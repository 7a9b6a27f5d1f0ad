# make demo   the whole chain on this computer, without an account; SERVE=0 stops before serving the page
# make test   every test, two files at a time; `make lint` checks style and types
#             (Hypothesis draws the same examples each time there; a bare `pytest` looks for new ones)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SERVE ?= 1
PORT ?= 7860
TORCH_CPU := https://download.pytorch.org/whl/cpu

.DEFAULT_GOAL := help
.PHONY: help demo tiny-model test stress lint clean

help:
	@echo "make demo          build a dataset, train, evaluate, publish to a rehearsal Hub, serve http://127.0.0.1:$(PORT)"
	@echo "make demo SERVE=0  the same, without serving the page at the end"
	@echo "make test          install what the tests need and run them all"
	@echo "make stress        the long bars: the whole tiny experiment at toy size, hundreds of killed publications"
	@echo "make tiny-model    on a GPU: cold start, GRPO and answers of the shipped model, into outputs/tiny (about 20 minutes)"
	@echo "make lint          ruff and the type checker"
	@echo "make clean         remove the environment and every output"

demo: $(VENV)/installed
	@$(BIN)/countdown-r1 run demo --port $(PORT) $(if $(filter 0,$(SERVE)),--no-serve)

test: $(VENV)/installed $(VENV)/browser $(VENV)/sharded
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -rs -n 2 --dist loadfile -m 'not stress' --hypothesis-profile=ci

stress: $(VENV)/installed $(VENV)/sharded $(VENV)/vllm
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m stress
	$(BIN)/python benchmarks/publish_stress.py --publishes 200 --faults 0.2 --mode lfs --jobs 16
	$(BIN)/python benchmarks/publish_stress.py --publishes 200 --faults 0.2 --mode xet --jobs 16

# On a machine whose own environment has a GPU build of torch: make tiny-model BIN=$$(dirname $$(command -v python3))
tiny-model:
	$(MAKE) -f benchmarks/tiny.mk shipped record PYTHON=$(BIN)/python3

lint: $(VENV)/installed
	@mkdir -p build/types && ln -sfn ../.. build/types/countdown_r1
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright

clean:
	rm -rf $(VENV) outputs build *.egg-info

# The CPU build of torch is taken where one is offered: a local file, or PyTorch's own index when it answers.
$(VENV)/installed: pyproject.toml constraints/cpu.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name one with make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
		|| { echo "no virtual environment could be made; on Debian or Ubuntu: apt install python3-venv" >&2; exit 1; }
	@index=$$($(PYTHON) -c 'import urllib.request as u; u.urlopen("$(TORCH_CPU)/torch/", timeout=5)' 2>/dev/null \
		&& echo --extra-index-url $(TORCH_CPU)); \
	echo "installing pinned dependencies into $(VENV)"; \
	$(BIN)/python -m pip install -q --disable-pip-version-check $$index -c constraints/cpu.txt -e '.[train,space,dev]'
	@touch $@

# What only sharded and quantised runs use, apart: everything else starts faster without it.
$(VENV)/sharded: constraints/sharded.txt $(VENV)/installed
	@DS_BUILD_OPS=0 $(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation \
		--upgrade --target $@ -r constraints/sharded.txt
	@touch $@

$(VENV)/vllm: constraints/vllm.txt $(VENV)/installed
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --upgrade --target $@ -r constraints/vllm.txt
	@touch $@

$(VENV)/browser: $(VENV)/installed
	@if command -v chromium >/dev/null || command -v google-chrome >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get -qq update && apt-get -qq install -y --no-install-recommends chromium fonts-noto-cjk >/dev/null; \
	else $(BIN)/python -m playwright install chromium; fi
	@touch $@
