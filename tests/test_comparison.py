"""The comparison with stored outputs fails when it should, with the book and without."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

ROOT = Path(__file__).resolve().parents[1]
CORPORA = """
from pathlib import Path
CORPORA = {{"dracula": {{"sources": [{{"file": "a.txt", "sha256": "1"}}, {{"file": "b.txt"}}]}}}}
def find_book(name):
    {}
"""
FETCH = {
    "the book": 'return Path("a.txt")',
    "another edition": 'return Path("b.txt")',
    "no book": 'raise OSError("no network")',
}


def picture(pixels, alt):
    """Return the source of a cell that shows a picture, as helpers.plots.show does."""
    image = f'<img alt="{alt}" src="data:image/png;base64,{pixels}">'
    return f"""display({{"text/html": '{image}', "text/plain": "{alt}"}}, raw=True)"""


def shown(pixels, alt):
    """Return its stored output."""
    html = f'<img alt="{alt}" src="data:image/png;base64,{pixels}">'
    return new_output("display_data", {"text/html": html, "text/plain": alt})


def printed(text):
    """Return the stored output of print."""
    return new_output("stream", name="stdout", text=text)


DIVISION = new_output("error", ename="ZeroDivisionError", evalue="division by zero")
CELLS = {  # name of a cell: source, stored output, tags, whether it passes if compared, and if not
    "right": ("print(1.25)", printed("1.25\n"), [], True, True),
    "wrong": ("print(1.26)", printed("1.25\n"), [], False, True),
    "wrong but tagged": ("print(2)", printed("1\n"), ["nbval-ignore-output"], True, True),
    "other pixels": (picture("AA12", "up"), shown("BB34", "up"), [], True, True),
    "other description": (picture("AA12", "up 2"), shown("AA12", "up 3"), [], False, True),
    "claim that fails": ("assert 2 < 1", None, [], False, False),
    "announced error": ("1 / 0", DIVISION, ["raises-exception"], True, True),
}


def write(path, first):
    """Write a notebook of these cells."""
    cells = [new_code_cell(first, execution_count=1)]
    for number, (source, output, tags, *_) in enumerate(CELLS.values(), start=2):
        cells.append(
            new_code_cell(
                source,
                execution_count=number,
                outputs=[output] if output else [],
                metadata={"tags": tags},
            )
        )
    nbformat.write(new_notebook(cells=cells), path)


@pytest.mark.parametrize("state", FETCH)
def test_cells_pass_and_fail_as_they_should(state, tmp_path):
    for folder in ("helpers", "notebooks", "tests"):
        (tmp_path / folder).mkdir()
    for file in ("conftest.py", "pyproject.toml", "tests/nbval.cfg"):
        shutil.copy(ROOT / file, tmp_path / file)
    (tmp_path / "helpers" / "corpora.py").write_text(CORPORA.format(FETCH[state]))
    write(
        tmp_path / "notebooks" / "00_reads_the_book.ipynb",
        'load_corpus = str\nbook = load_corpus("dracula")',
    )
    write(tmp_path / "notebooks" / "01_does_not.ipynb", 'model = str("dracula")')

    command = [sys.executable, "-m", "pytest", "-v", "--color=no", "--nbval", "notebooks"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    found = {name: [] for name in ("00_reads_the_book", "01_does_not")}
    for name, outcome in re.findall(
        r"^notebooks/(\w+)\W+ipynb::Cell \d+ (PASSED|FAILED)", run.stdout, re.M
    ):
        found[name].append(outcome == "PASSED")

    if_compared = dict(zip(CELLS, [compared for *_, compared, _ in CELLS.values()], strict=True))
    if_not = dict(zip(CELLS, [without for *_, without in CELLS.values()], strict=True))
    assert run.returncode == 1, run.stdout + run.stderr
    assert dict(zip(CELLS, found["01_does_not"][1:], strict=True)) == if_compared
    assert dict(zip(CELLS, found["00_reads_the_book"][1:], strict=True)) == (
        if_compared if state == "the book" else if_not
    )
    said = re.findall(r"^Outputs not compared in (.*?): ", run.stdout, re.M)
    assert said == ([] if state == "the book" else ["00_reads_the_book.ipynb"])
