"""Make the models that come with the course: python -m tools.shipped dracula

Trains what is missing under runs/ (a killed run is resumed), keeps it in 8 bits under
data/models/, and writes into it how it was made. data/models/README.md tells the story.
"""

import datetime
import os
import platform
import shlex
import sys
from importlib.metadata import distributions
from pathlib import Path

from helpers import MODELS, ROOT, training
from helpers.models import load_model, save_model
from helpers.storage import read_model

PACKAGES = ("numpy", "keras", "tensorflow", "tensorflow-cpu")
# Held-out text is scored once, at the end of a stage, and chose nothing, but for dracula_256: it
# was made earlier, and scored on the way. tools/search.py has the trials. Budgets in minutes are of
# a busy machine's clock, so a card says how many steps they came to.
SHELF = (
    "--corpus shelf --fast --batch-size 64 --seq-len 64 --warmup-steps 100 --beta-2 0.99"
    " --dropout 0 --evaluations 10 --checkpoint-seconds 60"
)
WIDE = "--fast --batch-size 128 --seq-len 64 --beta-2 0.99 --evaluations 0 --checkpoint-seconds 60"
# Notebook 08 compares these two: about equally many weights, and the same training but for the
# peak rate, which is for each the best of four on validation text.
PAIR = "--corpus dracula --steps 1500 --seq-len 64 --dropout 0.2 --evaluations 0"
STAGES = {
    "shelf": f"{SHELF} --hidden-size 768 --embedding-size 64 --minutes 75 --peak-rate 6e-3",
    "shelf_again": f"{SHELF} --start-from runs/shelf --steps 6498 --peak-rate 3e-3",
    "dracula_768": "--corpus dracula --fast --seq-len 64 --beta-2 0.99 --dropout 0.35"
    " --weight-dropout 0.2 --evaluations 0 --checkpoint-seconds 60 --steps 2960"
    " --peak-rate 1.5e-3 --start-from runs/shelf_again",
    # The network gets 256 more units, and goes on with the shelf; then Stoker's novels on it.
    "shelf_wide": "--corpus shelf --start-from runs/dracula_768 --hidden-size 1024"
    f" {WIDE} --warmup-steps 100 --dropout 0 --minutes 70 --peak-rate 3e-3",
    "shelf_wide_again": "--corpus shelf --start-from runs/shelf_wide"
    f" {WIDE} --warmup-steps 100 --dropout 0 --steps 3249 --peak-rate 2e-3",
    "shelf_wide_third": "--corpus shelf --start-from runs/shelf_wide_again"
    f" {WIDE} --warmup-steps 100 --dropout 0 --steps 4000 --peak-rate 2e-3",
    "stoker": "--corpus stoker --start-from runs/shelf_wide_third"
    f" {WIDE} --warmup-steps 50 --dropout 0.1 --steps 377 --peak-rate 1.5e-3",
    "dracula": "--corpus dracula --start-from runs/stoker --fast --batch-size 64 --seq-len 64"
    " --beta-2 0.99 --evaluations 0 --checkpoint-seconds 60 --dropout 0.1 --steps 820"
    " --peak-rate 2e-3 --fresh-starts 0.05",
    "addresses": "--corpus addresses --start-from runs/shelf_again --fast --steps 2130"
    " --batch-size 64 --seq-len 64 --peak-rate 3e-3 --beta-2 0.99 --dropout 0.05 --evaluations 0"
    " --checkpoint-seconds 60",
    "speeches": "--corpus speeches --start-from runs/addresses --fast --steps 1910 --seq-len 64"
    " --peak-rate 1.5e-3 --beta-2 0.99 --dropout 0.3 --weight-dropout 0.15 --evaluations 0"
    " --checkpoint-seconds 60",
    "dracula_256": "--corpus dracula --hidden-size 256 --dropout 0.2 --minutes 6 --seq-len 64"
    " --peak-rate 1.2e-2",
    "lstm_128": f"{PAIR} --hidden-size 128 --peak-rate 2.4e-2",
    "rnn_243": f"{PAIR} --hidden-size 243 --cell rnn --peak-rate 8e-3",
}


def provenance(command, packages=PACKAGES):
    """Return what somebody needs in order to make a file again."""
    installed = {each.name.replace("_", "-"): each.version for each in distributions()}
    return {
        "command": command,
        "date": datetime.date.today().isoformat(),
        "python": platform.python_version(),
        "packages": {name: installed[name] for name in packages if name in installed},
        "machine": f"{platform.system()} {platform.machine()}",
    }


def train(name):
    """Train a stage, and first the stage that it starts from; return their names in order."""
    arguments = [*shlex.split(STAGES[name]), "--out", f"runs/{name}"]
    before = []
    if "--start-from" in arguments:
        before = train(Path(arguments[arguments.index("--start-from") + 1]).name)
    if code := training.main(arguments):
        sys.exit(code)
    return [*before, name]


def told_by(stage):
    """Return what a trained stage says of itself, and the command that trains it."""
    config, _ = read_model(ROOT / "runs" / stage)
    command = ["python", "-m", "helpers.training", *shlex.split(STAGES[stage])]
    told = {key: config[key] for key in ("corpus", "text_sha256", "recipe", "steps_taken")}
    return told | {
        "seconds": config["seconds"],
        "held_out_bits": config["held_out_bits"],
        "command": shlex.join([*command, "--out", f"runs/{stage}"]),
    }


def ship(stages):
    """Keep the model of the last stage in 8 bits, with the provenance of all."""
    *before, card = [told_by(stage) for stage in stages]
    command = card.pop("command")
    card |= {"read_before": before, "provenance": provenance(command)}
    model, vocab = load_model(ROOT / "runs" / stages[-1])
    save_model(model, vocab, MODELS / stages[-1], dtype="int8", **card)


def main(names):
    """Make the models of these names."""
    for name in names:
        if name not in STAGES:
            sys.exit(f"There is no recipe for {name!r}, but for {', '.join(STAGES)}.")
    os.chdir(ROOT)  # a model records the path that it started from: runs/addresses
    for name in names:
        ship(train(name))


if __name__ == "__main__":
    main(sys.argv[1:] or sys.exit(__doc__))
