"""Settings for checking notebooks, here so that `pytest --nbval notebooks/NAME.ipynb` works."""

import os
import re
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
QUICK = ("00_start_here", "04_turn_text_into_tensors")  # notebooks that `make check` runs
# With two workers, the notebooks that take longest are begun first, so that both end together.
LONGEST = ("05_train", "07_give", "01_find", "03_open", "02_watch", "08_read", "06_write", "test_")
NOT_COMPARED = pytest.StashKey[str]()
RUNS = pytest.StashKey[tempfile.TemporaryDirectory]()


def pytest_configure(config):
    """Run notebooks in this environment, and exclude from the comparison what nbval.cfg names."""
    # In the tests, training starts from nothing, and the reader's own runs are left alone.
    config.stash[RUNS] = tempfile.TemporaryDirectory()
    os.environ["COURSE_RUNS"] = config.stash[RUNS].name
    if getattr(config.option, "dist", "no") == "load":  # pytest-xdist, asked for with -n 2
        config.option.dist = "loadfile"  # the cells of a notebook need the same kernel
        config.option.loadscopereorder = False  # `rank` below orders them
    if os.environ.get("PYTEST_XDIST_WORKER"):
        # A worker for each core: with threads of its own, TensorFlow needs half as much time again.
        os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    if getattr(config.option, "nbval_kernel_name", None) is None:
        config.option.nbval_current_env = True
    if getattr(config.option, "nbval_sanitize_with", None) is None:
        config.option.nbval_sanitize_with = str(ROOT / "tests" / "nbval.cfg")


def pytest_unconfigure(config):
    """Remove the runs of the tests."""
    if RUNS in config.stash:
        config.stash[RUNS].cleanup()


def pytest_collection_modifyitems(config, items):
    """Deselect browser tests and mark slow cells; without the book, do not compare its readers."""
    if "browser" not in config.option.markexpr:
        left_out = [item for item in items if item.get_closest_marker("browser")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)
    for item in items:
        quick = item.path.stem in QUICK or item.path.parent.name == "solutions"
        if hasattr(item, "cell") and not quick:
            item.add_marker("slow")
    if os.environ.get("PYTEST_XDIST_WORKER"):
        items.sort(key=rank)
    cells = [item for item in items if hasattr(item, "cell") and reads_the_book(item.parent.nb)]
    why = cells and why_the_book_differs()
    if not why:
        return
    for item in cells:
        item.options["check"] = False
    names = sorted({item.path.name for item in cells})
    config.stash[NOT_COMPARED] = f"Outputs not compared in {', '.join(names)}: {why}"


def rank(item):
    """Return the place of a test in the order in which workers begin."""
    return next((i for i, start in enumerate(LONGEST) if item.path.name.startswith(start)), 99)


def pytest_terminal_summary(terminalreporter, config):
    """Say in a line which outputs were not compared."""
    if NOT_COMPARED in config.stash:
        terminalreporter.write_line(config.stash[NOT_COMPARED], yellow=True)


def reads_the_book(notebook):
    """Whether a cell of code loads the corpus."""
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    return re.search(r"""load_corpus\(\s*(["'])dracula\1""", code) is not None


def why_the_book_differs():
    """Return a phrase, or "" if the book is here as it was when the outputs were stored."""
    from helpers import corpora

    try:
        book = corpora.find_book("dracula")
    except OSError:
        return "Dracula is not available, so they ran on the fallback (all their asserts included)"
    sources = corpora.CORPORA["dracula"]["sources"]
    if any(source["file"] == book.name and "sha256" in source for source in sources):
        return ""
    return f"{book.name} is another edition of Dracula (all their asserts ran)"
