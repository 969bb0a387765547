"""Exercises in the notebooks come from their solutions, which are right; the stubs are blank."""

import nbformat
import pytest

from helpers.exercises import EXERCISES
from tests.test_exercises import all_names
from tools.stubs import EXPLORE, NOTEBOOKS, exercises, stub, with_exercises

SOLUTIONS = sorted((NOTEBOOKS / "solutions").glob("*.ipynb"))


def read(path):
    return nbformat.read(path, as_version=4)


def printed(cell):
    return "".join(output.get("text", "") for output in cell.outputs)


def test_every_exercise_has_a_solution_that_is_right():
    said = [
        line
        for path in SOLUTIONS
        for cell in read(path).cells
        if cell.cell_type == "code"
        for line in printed(cell).splitlines()
    ]
    right = [line.split(":")[0] for line in said if ": right. " in line]
    assert sorted(right) == all_names() == sorted(EXERCISES)
    assert len(said) == len(right)


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_a_notebook_is_in_step_with_its_solutions(path):
    notebook = read(NOTEBOOKS / path.name)
    assert with_exercises(notebook, read(path), path.name) == notebook


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_a_blank_fails_kindly_and_gives_nothing_away(path):
    stubs = [cell for cell in exercises(read(path)) if cell.cell_type == "code"]
    notebook = read(NOTEBOOKS / path.name)
    shown = {cell.source: printed(cell) for cell in notebook.cells if cell.cell_type == "code"}
    assert 3 <= len(stubs) <= 5
    for cell in stubs:
        assert "# solution" not in cell.source and "..." in cell.source
        assert ": nothing to check yet." in shown[cell.source]


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_every_question_says_how_hard_it_is_and_how_long_it_takes(path):
    cells = [cell.source for cell in exercises(read(path)) if cell.cell_type == "markdown"]
    questions = [source for source in cells if not source.startswith(EXPLORE)]
    assert all("minutes.* " in question and question.startswith("### ") for question in questions)
    assert any("only thinking" in question.lower() for question in questions)


@pytest.mark.parametrize(
    ("solution", "blank"),
    [
        ("a, b = 1, 2  # solution", "a, b = ..., ..."),
        ("def f():\n    x = 1\n    return x  # solution\nf()", "def f():\n    x = 1\n    ...\nf()"),
        ("x = 1\ny = 2  # solution\nz = 3  # solution", "x = 1\ny = ...\nz = ..."),
    ],
)
def test_what_is_to_be_found_is_left_out(solution, blank):
    assert stub(solution) == blank
