# make wer: set up, and run the recipes up to the table of word error rates. make report: run all of
# their stages, and write pages about them. make test: set up, and run the tests. All work on a fresh
# machine with Python 3.11 to 3.13. make test-slurm: run a Slurm of two nodes here, from Debian's
# packages, and tests with faults in it. make test-browser: open reports in Debian's Chromium.

RECIPES ?= commands
CORES ?= all
EXTRAS ?= cpu,espeak,test
# The folder that {data} in recipes stands for; empty is the one of config.yaml.
DATA ?=
# The folder that work/ and results/ are made in.
RUN ?= .
VENV := .venv
COMMA := ,
STAMP := $(VENV)/installed-$(subst $(COMMA),-,$(EXTRAS))
SNAKEMAKE = $(VENV)/bin/snakemake --cores $(CORES)

.PHONY: wer report test test-slurm test-browser lint docs env

wer: env
	@$(SNAKEMAKE) --directory '$(RUN)' --no-hooks results/wer.txt \
	    --config 'recipes=$(RECIPES)' $(if $(DATA),'data=$(DATA)')
	@cat '$(RUN)/results/wer.txt'

report: env
	@$(SNAKEMAKE) --directory '$(RUN)' --no-hooks results/report/index.html \
	    --config 'recipes=$(RECIPES)' $(if $(DATA),'data=$(DATA)')

test: env
	$(VENV)/bin/python -m pytest --numprocesses auto --dist loadfile

test-slurm:
	@$(MAKE) --no-print-directory env EXTRAS='$(EXTRAS),slurm'
	$(VENV)/bin/python -m pytest -m slurm --durations 5 tests/slurm

test-browser:
	@$(MAKE) --no-print-directory env EXTRAS='$(EXTRAS),browser'
	$(VENV)/bin/python -m pytest -m browser --durations 5 tests/browser

lint: env
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

docs: env
	mkdir -p docs
	$(VENV)/bin/python -m workflows.draw '$(RECIPES)' > docs/pipeline.md
	$(VENV)/bin/python -m workflows.jobs_page > docs/jobs.md
	$(VENV)/bin/python -m returnn_lite.layers_page > docs/layers.md

env: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@python=$$(for p in python3.13 python3.12 python3.11 python3; do \
	    $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	        && { echo $$p; break; }; done); \
	if [ -z "$$python" ]; then \
	    echo "make env: found $$(python3 --version 2>&1), needed Python 3.11, 3.12 or 3.13" \
	        "(Snakemake 9 does not run on older ones); install one of them" >&2; exit 1; fi; \
	[ -x $(VENV)/bin/python ] || "$$python" -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@
