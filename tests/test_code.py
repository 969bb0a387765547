"""What CONTRIBUTING promises about the code: functions are short."""

import ast

import pytest

from helpers import ROOT

FILES = [*sorted(ROOT.glob("*.py")), *sorted(ROOT.glob("*/*.py"))]
LONGEST = 50  # lines of a function, its docstring not counted


def functions(source):
    """Return every function of a file of code."""
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]


def length(function):
    """Return the lines of a function without its docstring."""
    first = function.body[0]
    documented = ast.get_docstring(function) is not None
    docstring = first.end_lineno - first.lineno + 1 if documented else 0
    return function.end_lineno - function.lineno + 1 - docstring


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_functions_are_short(path):
    long = {each.name: length(each) for each in functions(path.read_text(encoding="utf-8"))}
    assert {name: lines for name, lines in long.items() if lines > LONGEST} == {}


def test_a_long_function_is_caught():
    body = "    x = 1\n" * LONGEST
    (function,) = functions(f'def f():\n    """Say.\n\n    More.\n    """\n{body}')
    assert length(function) == LONGEST + 1
