"""Measure data/transfer.json, the table of notebook 07: python -m tools.transfer (25 minutes)

The notebook trains two of its twelve networks. This runs the notebook's own cells, those that
define how a network is trained and scored, and then trains all twelve.
"""

import ast
import json
import os
import time

import nbformat

from helpers import DATA, MODELS, ROOT
from helpers.storage import replacing, sha256
from tools.shipped import provenance

NOTEBOOK = ROOT / "notebooks" / "07_give_a_famous_speech.ipynb"


def cells_that_define(names, notebook):
    """Return the source of the cells of code that these names need, directly or not, in order."""
    needed, chosen = set(names), []
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    for source in reversed(sources):
        tree = ast.parse(source)
        if needed & {name for statement in tree.body for name in defined_by(statement)}:
            needed |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
            chosen.insert(0, source)
    return chosen


def defined_by(statement):
    """Return the names that a statement of a cell defines for later cells."""
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return [(alias.asname or alias.name).partition(".")[0] for alias in statement.names]
    if isinstance(statement, ast.FunctionDef):
        return [statement.name]
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    return [node.id for each in targets for node in ast.walk(each) if isinstance(node, ast.Name)]


def lesson():
    """Run the cells of notebook 07 that the table needs; return what they define."""
    names = ("RATES", "STEPS", "start", "train_from", "both_bits", "novel_train")
    os.chdir(NOTEBOOK.parent)
    defined = {}
    for source in cells_that_define(names, nbformat.read(NOTEBOOK, as_version=4)):
        exec(source, defined)
    return defined


def main():
    """Train and score all networks, and write the table."""
    started, cells = time.monotonic(), lesson()
    if "Van Helsing" not in cells["novel_train"]:
        raise SystemExit("The table needs Dracula itself: python -m helpers.corpora")
    scores = {"before": cells["both_bits"](cells["start"])}
    for how in cells["RATES"]:
        scores[how] = {
            str(size): cells["both_bits"](cells["train_from"](how, size)) for size in cells["STEPS"]
        }
    about = provenance("python -m tools.transfer") | {
        "minutes": round((time.monotonic() - started) / 60),
        "start_model_sha256": sha256((MODELS / "dracula_256" / "model.npz").read_bytes()),
    }
    with replacing(DATA / "transfer.json") as temporary:
        table = {"bits_per_char": scores, "provenance": about}
        temporary.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
