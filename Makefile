PYTHON ?= python3
PY := .venv/bin/python
STAMP := .venv/.installed
COLAB := .venv-colab
LESSONS := $(wildcard $(addsuffix *.ipynb,notebooks/ notebooks/more/ notebooks/solutions/ notebooks/solutions/more/))
# Both cores, one thread each. A file stays in one process: its fixtures are made once, its cells run in order.
JOBS ?= 2
PYTEST = OMP_NUM_THREADS=1 $(PY) -m pytest -n $(JOBS) --dist loadfile

.PHONY: setup course more lesson form lab test test-colab

setup: $(STAMP)  ## a virtual environment with everything the course needs

$(STAMP): pyproject.toml
	test -x $(PY) || $(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --upgrade pip
	$(PY) -m pip install --quiet --editable '.[dev]'
	touch $(STAMP)

course: setup  ## every lesson for real, in order; the claims table; HTML in build/course/
	$(PY) -m sslcourse course

more: setup  ## every notebook of notebooks/more, as make course does the lessons
	$(PY) -m sslcourse course --lessons more

lesson: setup  ## one lesson: make lesson N=02
	$(PY) -m sslcourse course --lessons $(N)

form: setup  ## a table: what every notebook holds, how long it takes, and which limits of a lesson it passes
	$(PY) -m sslcourse.lesson.form

lab: setup  ## JupyterLab on the lessons
	$(PY) -m jupyter lab notebooks

test: setup  ## lint, all tests, every notebook and solution under nbval in the smoke profile
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PYTEST)
	SSLCOURSE_PROFILE=smoke SSLCOURSE_BUILD=build/smoke $(PYTEST) --nbval-lax --nbval-current-env $(LESSONS)

# A second environment in front of the first: Colab's versions come first on sys.path, torch is shared.
$(COLAB)/.installed: $(STAMP)
	rm -rf $(COLAB)
	$(PY) -m venv $(COLAB)
	echo "import site; site.addsitedir('$$($(PY) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')')" \
	  > $$($(COLAB)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/zz_base.pth
	$(COLAB)/bin/python -m pip install --quiet ipython==7.34.0 ipywidgets==7.7.1 ipykernel==6.17.1 'numpy==2.1.*'
	touch $@

test-colab: $(COLAB)/.installed  ## the lessons in smoke under Colab's IPython, ipywidgets and numpy
	$(COLAB)/bin/python -c "import IPython, ipywidgets, numpy; print('IPython', IPython.__version__, 'ipywidgets', ipywidgets.__version__, 'numpy', numpy.__version__)"
	SSLCOURSE_PROFILE=smoke SSLCOURSE_BUILD=build/colab $(COLAB)/bin/python -m pytest --nbval-lax --nbval-current-env $(LESSONS)
