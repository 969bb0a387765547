"""Measure data/transfer.json, the table of notebook 07: python -m tools.transfer (half an hour)

The notebook trains two of its twelve networks. This runs the notebook's own cells, those that
define how a network is trained and scored, and then trains all twelve, the smallest three times,
with other addresses and other seeds. `--sizes 25000` or `--ways scratch` measures those of one size
or one way to begin again, and keeps the others; `--fast` multiplies matrices in bfloat16, which
takes half the time.
"""

import argparse
import ast
import json
import os
from functools import partial

import nbformat

from helpers import DATA, MODELS, ROOT
from helpers.storage import replacing, sha256
from tools.shipped import provenance

NOTEBOOK = "07_give_a_famous_speech.ipynb"
NAMES = ("PLANS", "SIZES", "start", "train_from", "both_bits", "novel_train")
DRAWS = (3, 1, 1, 1)  # runs for each size


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


def plan(cells, size):
    """Return {way to begin: [steps, peak rate]} for one size, as the notebook has it."""
    place = cells["SIZES"].index(size)
    return {how: list(plans[place]) for how, plans in cells["PLANS"].items()}


def main(arguments=None):
    """Train and score the networks, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m tools.transfer", description=main.__doc__)
    parser.add_argument("--sizes", nargs="*", type=int, help="only these; the others are kept")
    parser.add_argument("--ways", nargs="*", help="only these ways to begin; the others are kept")
    parser.add_argument("--fast", action="store_true", help="multiply matrices in bfloat16")
    options = parser.parse_args(arguments)
    cells, path = defined_by_cells(NOTEBOOK, NAMES), DATA / "transfer.json"
    if "Van Helsing" not in cells["novel_train"]:
        raise SystemExit("The table needs Dracula itself: python -m helpers.corpora")
    about = provenance("python -m tools.transfer") | {
        "start_model_sha256": sha256((MODELS / "dracula_256" / "model.npz").read_bytes()),
    }
    if unknown := set(options.ways or ()) - set(cells["PLANS"]):
        raise SystemExit(f"No way to begin is called {min(unknown)!r}: {', '.join(cells['PLANS'])}")
    some = options.sizes or options.ways
    table = json.loads(path.read_text(encoding="utf-8")) if some else {"how": {}}
    scores = table.setdefault("bits_per_char", {how: {} for how in cells["PLANS"]})
    scores["before"] = cells["both_bits"](cells["start"])
    if options.fast:  # the cells look these names up when they train
        for name in ("adapt", "build_char_model"):
            cells[name] = partial(cells[name], fast=True)
    for size, draws in zip(cells["SIZES"], DRAWS, strict=True):
        if options.sizes and size not in options.sizes:
            continue
        if options.ways and table["how"][str(size)]["fast"] != options.fast:
            raise SystemExit(f"{size} was measured otherwise: with --fast all its ways, or none")
        for how in options.ways or cells["PLANS"]:
            models = (cells["train_from"](how, size, draw) for draw in range(draws))
            scores[how][str(size)] = [cells["both_bits"](model) for model in models]
        table["how"][str(size)] = {"draws": draws, "fast": options.fast, "plan": plan(cells, size)}
        with replacing(path) as temporary:
            text = json.dumps(table | {"provenance": about}, indent=1)
            temporary.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
