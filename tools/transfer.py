"""Measure data/transfer.json, the table of notebook 07: python -m tools.transfer (25 minutes)

The notebook trains two of its twelve networks. This runs the notebook's own cells, those that
define how a network is trained and scored, and then trains all twelve.
"""

import ast
import json
import os

import nbformat

from helpers import DATA, MODELS, ROOT
from helpers.storage import replacing, sha256
from tools.shipped import provenance

NOTEBOOK = "07_give_a_famous_speech.ipynb"
NAMES = ("RATES", "STEPS", "start", "train_from", "both_bits", "novel_train")


def cells_that_define(names, notebook):
    """Return the source of the cells of code that these names need, directly or not, in order."""
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    trees = [ast.parse(source) for source in sources]
    last = max(i for i, tree in enumerate(trees) if defined_by(tree) & set(names))
    needed, chosen, found = set(names), None, []
    while chosen != found:
        chosen = found
        found = [i for i in range(last + 1) if needed & defined_by(trees[i])]
        nodes = [node for i in found for node in ast.walk(trees[i])]
        needed |= {node.id for node in nodes if isinstance(node, ast.Name)}
    return [sources[i] for i in chosen]


def defined_by(tree):
    """Return the names that a cell defines for other cells: by import, def or assignment."""
    found = set()
    for statement in tree.body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            found |= {(each.asname or each.name).partition(".")[0] for each in statement.names}
        if isinstance(statement, ast.FunctionDef):
            found.add(statement.name)
        for target in getattr(statement, "targets", ()):
            found |= {node.id for node in ast.walk(target) if isinstance(node, ast.Name)}
    return found


def defined_by_cells(notebook, names):
    """Run the cells of a notebook that some names need; return what they define."""
    os.chdir(ROOT / "notebooks")
    defined = {}
    for source in cells_that_define(names, nbformat.read(notebook, as_version=4)):
        exec(source, defined)
    return defined


def main():
    """Train and score all networks, and write the table."""
    cells = defined_by_cells(NOTEBOOK, NAMES)
    if "Van Helsing" not in cells["novel_train"]:
        raise SystemExit("The table needs Dracula itself: python -m helpers.corpora")
    scores = {"before": cells["both_bits"](cells["start"])}
    for how in cells["RATES"]:
        scores[how] = {
            str(size): cells["both_bits"](cells["train_from"](how, size)) for size in cells["STEPS"]
        }
    about = provenance("python -m tools.transfer") | {
        "start_model_sha256": sha256((MODELS / "dracula_256" / "model.npz").read_bytes()),
    }
    with replacing(DATA / "transfer.json") as temporary:
        table = {"bits_per_char": scores, "provenance": about}
        temporary.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
