"""Measure data/rivals.json, the compressors after all that a model reads: python -m tools.rivals

zpaq mixes the predictions of many contexts, as no package for Python does; it is Debian's package
`zpaq`, and is left out where it is not installed. The two commands that measure it are in
`zpaq_bytes`. Takes half an hour and two gigabytes of memory.
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


def added_bits(size, train, held_out):
    """Return the bits per character that a compressor needs more for `held_out` after `train`."""
    both, before = (size(text.encode("latin-1")) for text in (train + held_out, train))
    return 8 * (both - before) / len(held_out)


def rows(train, held_out):
    """Return {name: bits per character of `held_out`} of every rival that reading may help."""
    found = {"n-gram, context 5": ngram_bits(train, held_out, context=5)}
    for label, name in {"xz": "xz", "bz2": "bz2", "PPMd, order 8": "ppmd"}.items():
        found[label] = compressor_bits(train, held_out, name)
    found["PPMd, order 8, 512 MB"] = added_bits(large_ppmd_bytes, train, held_out)
    if shutil.which("zpaq"):
        found["zpaq, method 5"] = added_bits(zpaq_bytes, train, held_out)
    return {name: round(bits, 4) for name, bits in found.items()}


def main():
    """Measure every row, and write the table."""
    table = {}
    for name, first in READ_FIRST.items():
        train, held_out = load_split(name)
        before = [load_split(each)[0] for each in first]
        table[name] = {"text_sha256": sha256(train + held_out), "alone": rows(train, held_out)}
        table[name]["after reading"] = rows("\n\n".join([*before, train]), held_out)
        print(name, table[name], flush=True)
    measured = {"bits_per_char": table, "provenance": provenance("python -m tools.rivals")}
    with replacing(DATA / "rivals.json") as temporary:
        temporary.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
