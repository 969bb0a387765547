# Each recipe is what a person would type. `make PYTHON=python3.12 env` picks the Python,
# `make lab LAB_ARGS="--no-browser --port 8899"` passes options on to JupyterLab.

PYTHON = python3
python = .venv/bin/python
version = import sys; (3, 11) <= sys.version_info[:2] <= (3, 13) or sys.exit("The course needs Python 3.11, 3.12 or 3.13; this is %d.%d. Run: make clean env PYTHON=python3.12" % sys.version_info[:2])

.PHONY: help env lab check test browser outputs slides pdf data lock links clean

help:           ## Show this list
	@sed -n 's/^\([a-z]*\): .*## /  make \1\t/p' Makefile

env: .venv/installed ## Install what the course needs into .venv

# The file is written last, so that an installation cut short is taken up again. The last command
# keeps JupyterLab from asking about its news on top of the first lesson.
.venv/installed: requirements.txt
	@$(python) -m pip --version >/dev/null 2>&1 || { $(PYTHON) -c '$(version)' && $(PYTHON) -m venv .venv; }
	@$(python) -c '$(version)'
	$(python) -m pip install --require-hashes -r requirements.txt
	.venv/bin/jupyter labextension disable "@jupyterlab/apputils-extension:announcements"
	@touch $@

.venv/installed-tests: .venv/installed tests/requirements.txt
	$(python) -m pip install -q --require-hashes -r tests/requirements.txt
	@touch $@

lab: env        ## Fetch the texts and open the course in JupyterLab
	@$(python) -m helpers.corpora || echo "Going on without the missing texts: the notebooks say what they do instead."
	.venv/bin/jupyter lab --config jupyter_server_config.py --ServerApp.root_dir=. notebooks/00_start_here.ipynb $(LAB_ARGS)

check: .venv/installed-tests ## Run all but the slow tests
	$(python) -m pytest --nbval -n 2 -m "not slow" $(TEST_ARGS)

test: .venv/installed-tests ## Run all tests and check every notebook against its stored outputs
	$(python) -m pytest --nbval -n 2 $(TEST_ARGS)

browser: .venv/installed-tests ## Try JupyterLab and the slides in a real browser
	$(python) -m pytest -m browser $(TEST_ARGS)

outputs: .venv/installed-tests ## Run all notebooks in order and store their outputs
	$(python) -m tools.outputs $(NOTEBOOKS)

slides: .venv/installed-tests ## Make slides of all notebooks, for a room without network
	$(python) -m tools.slides

pdf: .venv/installed-tests ## Print all notebooks into one PDF
	$(python) -m tools.pdf

data: env       ## Fetch the texts
	$(python) -m helpers.corpora

lock: .venv/installed-tests ## Lock all versions after a change in environment.yml or tests/requirements.in
	$(python) -m tools.lock

links:          ## Bring the repository's address in step after a change
	$(PYTHON) -m tools.links

clean:          ## Remove .venv, build and caches; the texts and the models you trained (runs/) stay
	rm -rf .venv .pytest_cache .ruff_cache build
	find . -name __pycache__ -prune -exec rm -rf {} + -o -name .ipynb_checkpoints -prune -exec rm -rf {} +
