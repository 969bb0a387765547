"""Measure data/rivals.json, the compressors after all that a model reads: python -m tools.rivals

zpaq mixes the predictions of many contexts, as no package for Python does; it is Debian's package
`zpaq` (7.15). The command that measures it, once with the held-out text and once without, is in
`zpaq_bytes`. All takes half an hour and two gigabytes of memory. (bz2 is left out: it forgets
everything every 900 kB.)
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pyppmd

from helpers import DATA
from helpers.baselines import compressor_bits, ngram_bits
from helpers.corpora import load_split
from helpers.storage import replacing, sha256
from tools.shipped import provenance

READ_FIRST = {"dracula": ["shelf"], "speeches": ["shelf", "addresses"]}  # as the models did


def zpaq_bytes(data):
    """Return the size of an archive that holds `data` alone, at zpaq's strongest setting."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "text").write_bytes(data)
        command = ["zpaq", "add", "archive.zpaq", "text", "-m5", "-t1"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        return Path(folder, "archive.zpaq").stat().st_size


def large_ppmd_bytes(data):
    """Return the size under PPMd with half a gigabyte of memory: with 64 MB it forgets a shelf."""
    return len(pyppmd.compress(data, max_order=8, mem_size=512 << 20, variant="I"))


def rows(train, held_out):
    """Return {name: bits per character of `held_out`} of every rival."""
    found = {"n-gram, context 5": ngram_bits(train, held_out, context=5)}
    compressors = {
        "xz": "xz",
        "PPMd, order 8": "ppmd",
        "PPMd, order 8, 512 MB": large_ppmd_bytes,
        "zpaq, method 5": zpaq_bytes,
    }
    for label, compressor in compressors.items():
        found[label] = compressor_bits(train, held_out, compressor)
    return {name: round(bits, 4) for name, bits in found.items()}


def main():
    """Measure every row, and write the table."""
    if not shutil.which("zpaq"):
        sys.exit("zpaq is not installed: apt install zpaq")
    table = {}
    for name, first in READ_FIRST.items():
        train, held_out = load_split(name)
        before = [load_split(each)[0] for each in first]
        table[name] = {"sha256": [sha256(train), sha256(held_out)], "alone": rows(train, held_out)}
        table[name]["after reading"] = rows("\n\n".join([*before, train]), held_out)
        print(name, table[name], flush=True)
    made = provenance("python -m tools.rivals", packages=("pyppmd",))
    made["zpaq"] = subprocess.run(["zpaq"], capture_output=True, text=True).stdout.split()[1]
    measured = {"bits_per_char": table, "provenance": made}
    with replacing(DATA / "rivals.json") as temporary:
        temporary.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
