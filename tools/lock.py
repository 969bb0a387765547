"""Lock every package that is installed: python -m tools.lock [--upgrade], or `make lock`.

People choose versions in environment.yml (the course) and tests/requirements.in (its tests). uv
writes beside them what follows: every version and hash, for all systems, Python 3.11 and later.
"""

import argparse
import hashlib
import re
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]
LISTS = {
    "requirements.txt": "environment.yml",
    "tests/requirements.txt": "tests/requirements.in",
}
UV = "-m uv pip compile - --quiet --universal --python-version 3.11 --generate-hashes"
PIN = re.compile(r"[A-Za-z0-9._-]+(\[[A-Za-z0-9,._-]+\])?==[0-9][0-9A-Za-z.+!-]*( ; [^#]+)?")


def pins(path):
    """Return the lines NAME==VERSION of an environment.yml or a requirements.in."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".yml":
        lines = YAML(typ="safe").load(text)["dependencies"][-1]["pip"]
        lines.remove("-r requirements.txt")
    else:
        lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    lines = [line for line in lines if line]
    for line in lines:
        if not PIN.fullmatch(line):
            raise ValueError(f"{path.name}: not NAME==VERSION: {line!r}")
    return lines


def header(root, target):
    """Return the lines that tie a lock file to the list it was made from."""
    source = LISTS[target]
    digest = hashlib.sha256("\n".join(pins(root / source)).encode()).hexdigest()
    return f"# Made by `make lock` from {source}: change versions there.\n# SHA-256 {digest}\n"


def lock(root, target, *options):
    """Write a lock file. Versions that it already holds stay, unless they no longer fit."""
    listed, path = "\n".join(pins(root / LISTS[target])), root / target
    command = [sys.executable, *UV.split(), "--no-annotate", "--no-header", "-o", target, *options]
    done = subprocess.run(command, cwd=root, input=listed, text=True, stdout=subprocess.DEVNULL)
    if done.returncode:  # uv has said why
        sys.exit(f"{target} stays as it was")
    path.write_text(header(root, target) + path.read_text("utf-8"), "utf-8", newline="\n")


def main(arguments=None, root=ROOT):
    """Lock the course first, so that its tests run on the same versions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--upgrade", action="store_true", help="take the newest of what may move")
    upgrade = ["--upgrade"] if parser.parse_args(arguments).upgrade else []
    course, tests = LISTS
    lock(root, course, *upgrade)
    lock(root, tests, "--constraints", course, *upgrade)


if __name__ == "__main__":
    main()
