"""The course as its readers meet it: in JupyterLab, in a browser, with keys and screen readers."""

import os
import re
import shutil

import nbformat
import pytest

from tests.chromium import chromium, find_chromium
from tests.lab import ROOT, Notebook, serve
from tests.test_exercises import CASES
from tools.rules import every_notebook, tags

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def named(path):
    """Name a case by its notebook."""
    return path.relative_to(ROOT / "notebooks").as_posix()


@pytest.fixture(scope="session")
def browser():
    """Hold a browser."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def lab(browser, tmp_path_factory):
    """Serve a copy of the course, with settings of its own; return the address of JupyterLab."""
    folder = tmp_path_factory.mktemp("course")
    for name in ("notebooks", "helpers", "data"):
        shutil.copytree(ROOT / name, folder / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path_factory.mktemp("settings")))
        with serve(folder, "--LabApp.expose_app_in_browser=True") as address:
            yield address


@pytest.fixture
def page(browser):
    """Hold a page on a small screen, as projectors and cheap laptops have."""
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    yield context.new_page()
    context.close()


def run(notebook, cells):
    """Run a notebook from its top to its first slow cell; return the numbers of the code cells."""
    code = [k for k, cell in enumerate(cells) if cell.cell_type == "code"]
    slow = next((k for k in code if "slow" in tags(cells[k])), len(cells))
    notebook.choose("Edit", "Clear Outputs of All Cells")
    notebook.select(min(slow, len(cells) - 1))
    item = "Run All Cells" if slow == len(cells) else "Run All Above Selected Cell"
    notebook.run(code[0], lambda: notebook.choose("Run", item))
    return [k for k in code if k < slow]


def turn(notebook, number):
    """Turn each dial below a figure by keyboard; the figure must answer."""
    cell = notebook.select(number)
    figure = cell.locator("img")
    dials = [*cell.get_by_role("slider").all(), *cell.locator("input[type=text]").all()]
    for dial in dials:
        before = figure.get_attribute("alt")
        dial.focus()
        notebook.page.keyboard.press("ArrowRight" if dial.get_attribute("role") else "r")
        notebook.page.wait_for_function(
            "([figure, before]) => figure.isConnected === false || figure.alt !== before",
            arg=[figure.element_handle(), before],
        )
        assert figure.get_attribute("alt") != before
    return len(dials)


def answer(notebook, number, value, old="..."):
    """Type an answer in place of what ends the line above the last; return the verdict."""
    press = notebook.page.keyboard.press
    notebook.select(number)
    for key in ("Enter", "Control+End", "ArrowUp", "End", *len(old) * ["Backspace"]):
        press(key)
    notebook.page.keyboard.type(value)
    notebook.run(number, lambda: press("Control+Enter"))
    return "".join(output["text"] for output in notebook.outputs(number))


@pytest.mark.browser
@pytest.mark.parametrize("path", NOTEBOOKS, ids=named)
def test_a_reader_works_through_it(path, lab, page):
    cells = nbformat.read(path, as_version=4).cells
    notebook = Notebook(page, lab, f"notebooks/{path.name}")
    for number in run(notebook, cells):
        kinds = [output["output_type"] for output in notebook.outputs(number)]
        assert ("error" in kinds) == ("raises-exception" in tags(cells[number])), number
        assert notebook.count(number) is not None, f"cell {number} did not run"
        if "explore(" in cells[number].source:
            assert turn(notebook, number)
    name = f"{path.name[:2]}.1"
    for number, cell in enumerate(cells):
        if cell.source.startswith("from helpers import exercises"):
            notebook.select(number)
            notebook.run(number, lambda: page.keyboard.press("Control+Enter"))
        if f'check("{name}"' in cell.source:
            right, wrong = repr(CASES[name][0]), repr(CASES[name][1][0])
            assert answer(notebook, number, wrong).startswith(f"{name}: not yet. ")
            assert answer(notebook, number, right, old=wrong).startswith(f"{name}: right. ")
