"""The course as its readers meet it: in JupyterLab, in a browser, with keys and screen readers."""

import shutil
import subprocess

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.lab import ROOT, TOKEN, Notebook, serve, tool
from tests.test_exercises import CASES
from tools.rules import every_notebook, tags

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


# What the course puts on a page. How prompts, code and links look is the business of a theme.
OURS = [".jp-RenderedMarkdown", ".jp-OutputArea-output"]
THEMES_OWN = ["link-in-text-block"]


def named(path):
    """Name a case by its notebook."""
    return path.relative_to(ROOT / "notebooks").as_posix()


@pytest.fixture(scope="session")
def lab(browser, tmp_path_factory):
    """Serve a copy of the course, with settings of its own; return the address of JupyterLab."""
    folder = tmp_path_factory.mktemp("course")
    for name in ("notebooks", "helpers", "data"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "jupyter_server_config.py", folder)
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


def barriers(page, *places):
    """Return what axe-core finds serious or critical in these places, if they are on the page."""
    # JupyterLab's body has no height, and axe-core takes what stands in it for invisible.
    page.add_style_tag(content="body { min-height: 100vh }")
    options = {"rules": {rule: {"enabled": False} for rule in THEMES_OWN}}
    include = {"include": [[place] for place in places if page.locator(place).count()]}
    found = Axe().run(page, context=include, options=options).response
    # Not looked at is not passed: what axe-core takes for invisible has no contrast.
    assert "color-contrast" in [rule["id"] for rule in found["passes"] + found["violations"]]
    return [
        f"{rule['id']}: {node['html'][:200]}"
        for rule in found["violations"]
        for node in rule["nodes"]
        if node["impact"] in ("serious", "critical") or rule["id"] == "heading-order"
    ]


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
    notebook.select(number).locator(".cm-content").focus()
    for key in ("Control+End", "ArrowUp", "End", *len(old) * ["Backspace"]):
        press(key)
    notebook.page.keyboard.type(value)
    notebook.run(number, lambda: press("Control+Enter"))
    return "".join(output.get("text", str(output)) for output in notebook.outputs(number))


# --- working through a notebook ---


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
            assert not barriers(page, ".jp-mod-active .jp-OutputArea-output")
    name = f"{path.name[:2]}.1"
    for number, cell in enumerate(cells):
        if cell.source.startswith("from helpers import exercises"):
            notebook.select(number).locator(".cm-content").focus()
            notebook.run(number, lambda: page.keyboard.press("Control+Enter"))
        if f'check("{name}"' in cell.source:
            right, wrong = repr(CASES[name][0]), repr(CASES[name][1][0])
            assert answer(notebook, number, wrong).startswith(f"{name}: not yet. ")
            assert answer(notebook, number, right, old=wrong).startswith(f"{name}: right. ")


# --- reading with other eyes, or none ---


@pytest.fixture(scope="session")
def pages(tmp_path_factory):
    """Make web pages of all notebooks and solutions; return their folder."""
    folder = tmp_path_factory.mktemp("pages")
    for part in (".", "solutions"):
        books = sorted((ROOT / "notebooks" / part).glob("*.ipynb"))
        convert = [tool("jupyter"), "nbconvert", "--to=html", f"--output-dir={folder / part}"]
        subprocess.run([*convert, *map(str, books)], check=True, capture_output=True)
    return folder


@pytest.mark.browser
@pytest.mark.parametrize("name", [named(path) for path in every_notebook()])
def test_its_web_page_shuts_nobody_out(name, pages, page):
    page.route("http*://**", lambda route: route.abort())  # MathJax, which axe-core would wait for
    page.goto((pages / name).with_suffix(".html").as_uri())
    assert page.locator("h1").count() == 1
    assert not barriers(page, *OURS)


@pytest.mark.browser
@pytest.mark.parametrize("path", NOTEBOOKS, ids=named)
def test_in_jupyterlab_it_shuts_nobody_out(path, lab, page):
    settings = f"{lab}/lab/api/settings/@jupyterlab/notebook-extension:tracker?token={TOKEN}"
    everything = {"raw": '{"windowingMode": "none"}'}  # cells out of sight are on the page, too
    assert page.request.put(settings, data=everything).ok
    Notebook(page, lab, f"notebooks/{path.name}")
    for theme, light in (("JupyterLab Dark", "false"), ("JupyterLab Light", "true")):
        change = "theme => jupyterapp.commands.execute('apputils:change-theme', {theme})"
        page.evaluate(change, theme)
        page.locator(f"body[data-jp-theme-light={light}]").wait_for(state="attached")
        page.locator("#jupyterlab-splash").wait_for(state="detached")  # it covers the page
        assert not barriers(page, *(f".jp-Notebook {place}" for place in OURS)), theme


@pytest.mark.browser
def test_what_shuts_somebody_out_is_found(page):
    page.set_content(
        "<html lang=en><title>A page</title><main><h1>Title</h1><h3>Too deep</h3>"
        "<p style='color: #aaa'>pale</p><div role=slider aria-valuenow=1 tabindex=0></div></main>"
    )
    found = [line.partition(":")[0] for line in barriers(page, "main")]
    assert sorted(found) == ["aria-input-field-name", "color-contrast", "heading-order"]
