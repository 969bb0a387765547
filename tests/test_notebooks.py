"""The rules over every notebook, and for every rule an example that breaks it."""

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools import outputs, rules

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", rules.every_notebook(), ids=lambda path: path.stem)
def test_notebook_keeps_the_rules(path):
    assert rules.complaints(path) == []


def test_readme_lists_the_notebooks():
    assert NOTEBOOKS
    assert rules.ladder((ROOT / "README.md").read_text(encoding="utf-8")) == [
        path.name for path in NOTEBOOKS
    ]


def good():
    """Return a notebook that breaks no rule."""
    picture = '<img alt="a line" src="data:image/png;base64,AAAA">'
    cells = [
        new_markdown_cell(
            "# 3 · Open the gates\n\n[next](#the-idea), [the web](https://example.org)"
        ),
        new_code_cell(f"{rules.FIRST_LINE}\nfrom helpers import plots", execution_count=1),
        new_markdown_cell("## The idea\n\n`![](a picture)` and `[a link](nowhere.md)` as code"),
        new_code_cell(
            "2 * 3",
            execution_count=2,
            outputs=[new_output("execute_result", {"text/plain": "6"}, execution_count=2)],
        ),
        new_code_cell(
            "plots.show()",
            execution_count=3,
            outputs=[
                new_output("display_data", {"text/html": picture, "text/plain": "after 90 s"})
            ],
        ),
        new_code_cell(
            "model.fit()",
            execution_count=4,
            metadata={"tags": ["nbval-ignore-output"]},
            outputs=[stream("took 3.1 s")],
        ),
        new_code_cell("def train(model):\n    model.fit()", execution_count=5),
    ]
    return outputs.normalise(new_notebook(cells=cells))


def stream(text, name="stdout"):
    """Return an output of text."""
    return new_output("stream", name=name, text=text)


def test_a_good_notebook_has_no_complaints(tmp_path):
    path = tmp_path / "03_open_the_gates.ipynb"
    nbformat.write(good(), path)
    assert rules.complaints(path) == []


def test_what_is_no_noise():
    notebook = good()
    append(printed="the 1990s, 12 spades, section 3.1, and/or, s 43210, 0x1F, \u03c1 = 0.9")(
        notebook
    )
    assert [line for rule in rules.RULES for line in rule(notebook)] == []


def append(source="x", tags=(), printed=None, **more):
    """Return a change: one more cell of code, run after the others."""

    def change(notebook):
        shown = [stream(printed)] if printed else []
        cell = new_code_cell(
            source,
            **{
                "execution_count": 6,
                "outputs": shown,
                "metadata": {"tags": list(tags)} if tags else {},
                **more,
            },
        )
        notebook.cells.append(cell)

    return change


def write(source):
    """Return a change: one more cell of prose."""
    return lambda notebook: notebook.cells.append(new_markdown_cell(source))


def cell(number, **values):
    """Return a change: other values in a cell."""
    return lambda notebook: notebook.cells[number].update(values)


def about(**values):
    """Return a change: other values in the metadata of the notebook."""
    return lambda notebook: notebook.metadata.update(values)


def shows(**data):
    """Return a change: one more cell with an output of these kinds."""
    return append(
        outputs=[
            new_output(
                "display_data", {kind.replace("_", "/", 1): text for kind, text in data.items()}
            )
        ]
    )


PROGRESS = "10%\r100%\n"
ERROR = new_output("error", ename="ValueError", evalue="no", traceback=[])
BREACHES = [
    (rules.counts_run_from_1, cell(3, execution_count=None)),
    (rules.counts_run_from_1, cell(3, execution_count=7)),
    (rules.counts_run_from_1, append(" ")),
    (rules.stored_as_make_outputs_does, append(printed=PROGRESS, tags=["nbval-ignore-output"])),
    (rules.stored_as_make_outputs_does, append(outputs=[stream("a"), stream("b")])),
    (
        rules.stored_as_make_outputs_does,
        append(metadata={"execution": {"iopub.execute_input": "2026"}}),
    ),
    (rules.stored_as_make_outputs_does, append(metadata={"papermill": {}})),
    (rules.stored_as_make_outputs_does, lambda notebook: append(id=notebook.cells[0].id)(notebook)),
    (
        rules.stored_as_make_outputs_does,
        shows(
            **{"text_plain": "IntSlider(value=7)", "application_vnd.jupyter.widget-view+json": {}}
        ),
    ),
    (
        rules.stored_as_make_outputs_does,
        about(language_info={"name": "python", "version": "3.11.7"}),
    ),
    (
        rules.stored_as_make_outputs_does,
        about(kernelspec={"name": "my-env", "display_name": "my-env"}),
    ),
    (rules.stored_as_make_outputs_does, about(widgets={"state": {}})),
    (rules.has_no_stray_errors, append(outputs=[ERROR])),
    (rules.has_no_stray_errors, append(tags=["raises-exception"])),
    (rules.has_no_stray_errors, append(outputs=[stream("careful", "stderr")])),
    (rules.asserts_what_it_checks, write("**Check.** It is so.")),
    (rules.asserts_what_it_checks, write("**Check.** It is so.%%code\nassert True")),
    (
        rules.asserts_what_it_checks,
        lambda notebook: (
            write("**Check.** So.")(notebook),
            write("And")(notebook),
            append("assert 1")(notebook),
        ),
    ),
    (rules.has_no_noise, append(printed="<object at 0x7f1234567890>")),
    (rules.has_no_noise, append(printed="read /home/someone/book.txt")),
    (rules.has_no_noise, append(printed="read C:\\Users\\someone")),
    (rules.has_no_noise, append(printed="2026-11-21 04:04:42.8 I tensorflow")),
    (rules.has_no_noise, append(printed="E0000 00:00:17 cuda")),
    (rules.has_no_noise, append(printed="WARNING: retracing")),
    (rules.has_no_noise, append(printed="it took 12.5 s")),
    (rules.has_no_noise, append(printed="3 minutes")),
    (rules.has_no_noise, append(printed="[00:01<00:02]")),
    (rules.has_no_noise, append(printed="21,000 characters/s")),
    (rules.has_no_noise, append(printed="21,000 characters a second")),
    (rules.has_no_noise, shows(text_plain="<keras.Layer at 0x7f1234567890>")),
    (
        rules.has_no_noise,
        append(
            tags=["raises-exception"],
            outputs=[new_output("error", ename="OSError", evalue="no file /tmp/x")],
        ),
    ),
    (rules.describes_its_pictures, shows(image_png="AAAA", text_plain="<Figure>")),
    (rules.describes_its_pictures, shows(**{"image_svg+xml": "<svg/>"})),
    (rules.describes_its_pictures, shows(text_html="<img src='data:'>")),
    (rules.describes_its_pictures, shows(text_html="<img alt=' ' src='data:'>")),
    (rules.describes_its_pictures, shows(text_html="<svg></svg>")),
    (rules.describes_its_pictures, write("![](picture.png)")),
    (rules.describes_its_pictures, write("<img src='picture.png'>")),
    (rules.headings_go_down_one_by_one, write("#### Too small")),
    (rules.is_plain_python, append("%matplotlib inline")),
    (rules.is_plain_python, append("!ls")),
    (rules.is_plain_python, append("x = 1;")),
    (rules.is_plain_python, append("plot(x);  # hidden")),
    (rules.is_plain_python, append("get_ipython().run_line_magic('time', '')")),
    (rules.is_plain_python, append("# NBVAL_IGNORE_OUTPUT\nx")),
    (rules.is_plain_python, append("x = " + "1 + " * 30 + "1")),
    (rules.tags_what_changes, append(tags=["nbval-skip"])),
    (rules.tags_what_changes, append("model.fit(x)")),
    (rules.tags_what_changes, append("for x in tqdm(range(3)):\n    pass")),
]
BREACHES_WITH_PATH = [
    (rules.starts_with_the_agreed_lines, cell(1, source="import sys\nfrom helpers import plots")),
    (rules.starts_with_the_agreed_lines, cell(1, source=f"{rules.FIRST_LINE}\nimport tensorflow")),
    (rules.starts_with_the_agreed_lines, cell(1, source=rules.FIRST_LINE)),
    (rules.is_titled_after_its_file, cell(0, source="# The gates")),
    (rules.is_titled_after_its_file, cell(0, source="# 4 · Open the gates")),
    (rules.is_titled_after_its_file, cell(0, source="# Open a door to somewhere else")),
    (rules.is_titled_after_its_file, cell(0, source="Open the gates")),
    (rules.is_titled_after_its_file, write("# Open the gates")),
    (rules.links_lead_somewhere, write("[next](04_nowhere.ipynb)")),
    (rules.links_lead_somewhere, write("[the root](/README.md)")),
    (rules.links_lead_somewhere, write("[up](#no-such-heading)")),
    (rules.links_lead_somewhere, write("[up](03_open_the_gates.ipynb#no-such-heading)")),
    (rules.links_lead_somewhere, write("<a href='nowhere.md'>here</a>")),
    (rules.links_lead_somewhere, write("[here][1]\n\n[1]: nowhere.md")),
    (rules.is_small, append(printed="x" * rules.LARGEST_FILE, tags=["nbval-ignore-output"])),
]


def named(value):
    """Name a case by its rule."""
    return getattr(value, "__name__", "") if value in rules.RULES + rules.RULES_WITH_PATH else ""


@pytest.mark.parametrize("rule, breach", BREACHES, ids=named)
def test_a_breach_is_caught(rule, breach):
    notebook = good()
    breach(notebook)
    assert rule(notebook)


@pytest.mark.parametrize("rule, breach", BREACHES_WITH_PATH, ids=named)
def test_a_breach_in_a_file_is_caught(rule, breach, tmp_path):
    notebook = good()
    breach(notebook)
    path = tmp_path / "03_open_the_gates.ipynb"
    nbformat.write(notebook, path)
    assert rule(notebook, path)


def test_a_bad_file_name_is_caught(tmp_path):
    assert rules.is_titled_after_its_file(good(), tmp_path / "3_Gates.ipynb")


def test_the_ladder_is_read_from_the_table():
    rows = "| 02 | [two](notebooks/02_c_d.ipynb) | 5 |\n| 03 | three, to come |"
    readme = f"See [one](notebooks/01_a_b.ipynb).\n{rows}"
    assert rules.ladder(readme) == ["02_c_d.ipynb"]
