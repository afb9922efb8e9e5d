# Every target sets up what it needs; nothing but Python, pip and make is asked,
# and npm for demo-page.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(VENV)/.requirements
DEV := $(VENV)/.requirements-dev

.PHONY: install demo demo-page test check results clean

install: $(RUN)

demo: $(RUN)
	$(BIN)/python -m apps.image_classify \
	  --flagfile=apps/flagfiles/image_classify_demo.flags

# LiteRT.js for the page of apps.demo_page: npm is asked here, and nowhere else.
demo-page: web/node_modules/.package-lock.json

# Arguments for pytest: make test ARGS="--run_large -k mnist"
test: $(DEV)
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile $(ARGS)

check: $(DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pip check

# Hours: every published figure, measured again. For one of them:
# make results ARGS="--only=image_classify_demo"
results: $(DEV)
	$(BIN)/python -m benchmarks.results $(ARGS)

clean:
	rm -rf $(VENV) runs web/node_modules

web/node_modules/.package-lock.json: web/package.json web/package-lock.json
	cd web && npm ci --ignore-scripts --no-audit --no-fund
	touch $@

$(VENV)/bin/pip:
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; \
	  sys.exit(0 if (3, 11) <= v <= (3, 13) else \
	  "error: Python must be 3.11 to 3.13; found %d.%d. Pass PYTHON=..." % v)'
	$(PYTHON) -m venv $(VENV)

$(RUN): requirements.txt | $(VENV)/bin/pip
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(DEV): requirements-dev.txt requirements.txt | $(VENV)/bin/pip
	$(BIN)/pip install --quiet --disable-pip-version-check \
	  -r requirements-dev.txt
	touch $(RUN) $@
