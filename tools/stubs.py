"""Copy the exercises from notebooks/solutions/ into the notebooks: python -m tools.stubs

A solution is the one source of its exercise. Its lines that end in `# solution` are left out of the
stub: `rate = 0.1  # solution` becomes `rate = ...`, and the body of a function a single `...`.
"""

import copy
import re
import sys
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell

from helpers import ROOT

NOTEBOOKS = ROOT / "notebooks"
MARK = "# solution"
FIRST, AFTER = "## Exercises", "## In practice"
EXPLORE = "### To explore"  # questions that no check can answer
HOW = (
    "Put your answer in place of the dots and run the cell. It says what is wrong, never what is "
    'right; `exercises.hint("{number}.1")` helps a step on. The solutions, with the reasoning, are '
    "in [solutions/{name}](solutions/{name})."
)


def stub(source):
    """Return the code of a solution without what is to be found.

    >>> print(stub("x = 2  # solution\\nprint(x)"))
    x = ...
    print(x)
    >>> print(stub("def f(x):\\n    y = x  # solution\\n    return y  # solution"))
    def f(x):
        ...
    """
    lines = []
    for line in source.splitlines():
        if not line.endswith(MARK):
            lines.append(line)
            continue
        found = re.match(r"(\w+(?:, \w+)*) = ", line)
        indent = re.match(r" *", line).group()
        if found:
            lines.append(f"{found[1]} = " + ", ".join("..." for _ in found[1].split(",")))
        elif not lines[-1].endswith("..."):
            lines.append(f"{indent}...")
    return "\n".join(lines)


def exercises(solutions):
    """Return the cells of the section: of each exercise the question and a stub; open questions."""
    cells = []
    for question, solution in zip(solutions.cells, solutions.cells[1:], strict=False):
        if question.source.startswith("### ") and "solution" in solution.metadata.get("tags", []):
            cells.append(new_markdown_cell(question.source))
            cells.append(new_code_cell(stub(solution.source), metadata={"tags": ["exercise"]}))
    cells += [
        new_markdown_cell(cell.source)
        for cell in solutions.cells
        if cell.source.startswith(EXPLORE)
    ]
    return cells


def with_exercises(notebook, solutions, name):
    """Return a copy of a notebook whose section of exercises comes from its solutions."""
    result = copy.deepcopy(notebook)
    first, after = (
        next(i for i, cell in enumerate(result.cells) if cell.source.startswith(heading))
        for heading in (FIRST, AFTER)
    )
    head = result.cells[first]
    head.source = f"{FIRST}\n\n{HOW.format(number=name[:2], name=name)}"
    setup = new_code_cell("from helpers import exercises", metadata={"tags": ["exercise"]})
    wanted, old = [setup, *exercises(solutions)], result.cells[first + 1 : after]
    for cell, kept in zip(wanted, old, strict=False):
        cell["id"] = kept["id"]  # so that a second run changes nothing
        if cell.cell_type == kept.cell_type == "code" and cell.source == kept.source:
            cell.outputs, cell.execution_count = kept.outputs, kept.execution_count
    result.cells[first + 1 : after] = wanted
    return result


def main(names):
    """Bring the notebooks of these names, or all, in step with their solutions."""
    for path in sorted((NOTEBOOKS / "solutions").glob("*.ipynb")):
        if names and path.stem not in names:
            continue
        notebook = nbformat.read(NOTEBOOKS / path.name, as_version=4)
        solutions = nbformat.read(path, as_version=4)
        changed = with_exercises(notebook, solutions, path.name)
        if changed != notebook:
            nbformat.write(changed, NOTEBOOKS / path.name)
            print(f"{path.name}: the exercises changed; run  python -m tools.outputs {path.stem}")


if __name__ == "__main__":
    main([Path(name).stem for name in sys.argv[1:]])
