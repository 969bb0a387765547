"""Run trials of training, judged by the end of the training text: python -m tools.search

Each trial runs once, under runs/search/ (a killed one is resumed). What the finished ones measured
is kept in data/models/search.json, and shown as a table in data/models/README.md. They start from
runs/shelf, from runs/shelf_part, a copy of its model.npz made after a third of that run, or, to
choose a dropout on a text that no ancestor has read, from runs/stoker as it was before
runs/shelf_wide_third: on runs/shelf_wide_again.
"""

import json
import os
import re
import shlex
import sys

from helpers import MODELS, ROOT, training
from helpers.storage import read_model, replacing

SECOND = (
    "--corpus dracula --start-from runs/{} --fast --epochs 5 --batch-size 32 --seq-len 64"
    " --beta-2 0.99 --dropout {} --weight-dropout {} --peak-rate {}"
)
UNREAD = (
    "--corpus speeches --start-from runs/stoker --fast --steps 740 --batch-size 64 --seq-len 64"
    " --beta-2 0.99 --dropout {} --weight-dropout {} --peak-rate {}"
)
TRIALS = {
    "early": SECOND.format("shelf_part", 0.35, 0.2, 3e-3),
    "medium": SECOND.format("shelf", 0.35, 0.2, 3e-3),
    "slower": SECOND.format("shelf", 0.35, 0.2, 1.5e-3),
    "addresses_a": UNREAD.format(0.35, 0.2, 2e-3),
    "addresses_b": UNREAD.format(0.2, 0.1, 2e-3),
    "addresses_c": UNREAD.format(0.1, 0.05, 2e-3),
    "addresses_d": UNREAD.format(0.35, 0, 2e-3),
    "addresses_e": UNREAD.format(0.2, 0, 2e-3),
    "addresses_f": UNREAD.format(0.1, 0, 2e-3),
    "addresses_g": UNREAD.format(0.2, 0, 1e-3),
}
COLUMNS = {
    "trial": "trial",
    "hidden_size": "units",
    "start_from": "read before",
    "dropout": "dropout, outputs",
    "weight_dropout": "recurrent weights",
    "peak_rate": "peak rate",
    "steps_taken": "steps",
    "seconds": "seconds",
    "held_out_bits": "validation bits",
    "corpus": "of",
}
MARKS = "<!-- made by tools/search.py -->"


def run(name):
    """Run a trial that has not been run, or not to its end."""
    folder = f"runs/search/{name}"
    arguments = [*shlex.split(TRIALS[name]), "--validate", "--evaluations", "4", "--out", folder]
    if code := training.main(arguments):
        sys.exit(code)


def records():
    """Return what every trial that was run to its end says of itself, each text's best first."""
    found = []
    for folder in (ROOT / "runs" / "search" / name for name in TRIALS):
        if not (folder / "model.npz").exists():
            continue
        config, _ = read_model(folder)
        if config["steps_taken"] != config["recipe"]["steps"]:
            continue
        told = config | config["recipe"] | {"trial": folder.name}
        found.append({key: told.get(key) for key in COLUMNS})
    return sorted(found, key=lambda each: (each["corpus"] or "", each["held_out_bits"]))


def as_table(found):
    """Return records as a Markdown table.

    >>> print(as_table([]).splitlines()[1][:10])
    |---|---|-
    """
    lines = [" | ".join(COLUMNS.values()), "|".join(["---"] * len(COLUMNS))]
    for record in found:
        shown = dict(
            record, start_from=str(record["start_from"] or "nothing").removeprefix("runs/")
        )
        lines.append(" | ".join(str(shown[key]) for key in COLUMNS))
    return "\n".join(f"|{line}|" if line[0] == "-" else f"| {line} |" for line in lines)


def main(names):
    """Run trials, and write the records and the table."""
    if unknown := [name for name in names if name not in TRIALS]:
        sys.exit(f"There is no trial {unknown[0]!r}, but {', '.join(TRIALS)}.")
    os.chdir(ROOT)  # commands name folders of runs as seen from here
    for name in names or TRIALS:
        run(name)
    found = records()
    with replacing(MODELS / "search.json") as temporary:
        temporary.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    readme = MODELS / "README.md"
    table = f"{MARKS}\n\n{as_table(found)}\n\n{MARKS}"
    text = readme.read_text(encoding="utf-8")
    with replacing(readme) as temporary:
        text, written = re.subn(f"{MARKS}.*{MARKS}", lambda match: table, text, flags=re.S)
        if not written:
            raise ValueError(f"{readme} has no place for the table, between two lines {MARKS}")
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
