"""Make the models that come with the course: python -m tools.shipped dracula

Trains what is missing under runs/ (a killed run is resumed), keeps it in half precision under
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
from helpers.baselines import compressor_bits
from helpers.corpora import load_split
from helpers.models import load_model, save_model
from helpers.storage import read_model

PACKAGES = ("numpy", "keras", "tensorflow", "tensorflow-cpu")
STAGES = {
    "addresses": "--corpus addresses --minutes 32 --seq-len 128 --peak-rate 7e-3"
    " --warmup-steps 100 --dropout 0.05",
    "dracula": "--corpus dracula --start-from runs/addresses --minutes 54 --seq-len 80"
    " --peak-rate 3e-3 --dropout 0.35 --weight-dropout 0.2",
    "speeches": "--corpus speeches --start-from runs/addresses --minutes 14 --seq-len 80"
    " --peak-rate 3e-3 --dropout 0.3 --weight-dropout 0.1",
    "dracula_256": "--corpus dracula --hidden-size 256 --dropout 0.2 --minutes 6 --seq-len 64"
    " --peak-rate 1.2e-2",
}


def provenance(command):
    """Return what somebody needs in order to make a file again."""
    installed = {each.name: each.version for each in distributions()}
    return {
        "command": command,
        "date": datetime.date.today().isoformat(),
        "python": platform.python_version(),
        "packages": {name: installed[name] for name in PACKAGES if name in installed},
        "machine": f"{platform.system()} {platform.machine()}",
    }


def train(name):
    """Train a stage, and first the stage that it starts from; return the command."""
    arguments = [*shlex.split(STAGES[name]), "--out", f"runs/{name}"]
    if "--start-from" in arguments:
        train(Path(arguments[arguments.index("--start-from") + 1]).name)
    if code := training.main(arguments):
        sys.exit(code)
    return shlex.join(["python", "-m", "helpers.training", *arguments])


def ship(name, command):
    """Keep a trained model in half precision, with its provenance."""
    config, _ = read_model(ROOT / "runs" / name)
    measured = {key: config[key] for key in ("recipe", "seconds", "steps_taken", "held_out_bits")}
    about = {key: config[key] for key in ("corpus", "text_sha256")}
    if name == "speeches":  # what a rival reaches that has read everything that the model read
        texts, held_out = load_split("speeches")
        read = load_split("addresses")[0] + texts
        about["ppmd_bits_after_the_same"] = round(compressor_bits(read, held_out, "ppmd"), 3)
    model, vocab = load_model(ROOT / "runs" / name)
    card = measured | about | {"provenance": provenance(command)}
    save_model(model, vocab, MODELS / name, dtype="float16", **card)


def main(names):
    """Make the models of these names."""
    for name in names:
        if name not in STAGES:
            sys.exit(f"There is no recipe for {name!r}, but for {', '.join(STAGES)}.")
    os.chdir(ROOT)  # a model records the path that it started from: runs/addresses
    for name in names:
        ship(name, train(name))


if __name__ == "__main__":
    main(sys.argv[1:] or sys.exit(__doc__))
