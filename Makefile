PY := .venv/bin/python
STAMP := .venv/.installed
PYTHON ?= python3

.PHONY: setup course lesson lab test test-colab
setup: $(STAMP)

$(STAMP): pyproject.toml
	test -x $(PY) || $(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --upgrade pip
	$(PY) -m pip install --quiet -e '.[dev]'
	touch $(STAMP)
