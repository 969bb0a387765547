"""The table of bits per character: every rival and every model on one held-out text.

`python -m helpers.scoreboard` prints it, with the models that come with the course.
"""

import argparse
import json
import math
import re

from helpers import DATA, MODELS
from helpers.baselines import baselines
from helpers.corpora import load_split
from helpers.storage import read_model, sha256

CONTEXT = 128  # characters before the held-out text that a model reads first, unscored
# Compressors go on learning while they read what they are judged by.
LEARNS_ON = re.compile(r"(gzip|xz|bz2|PPMd|zpaq)($|[ ,])")


def table(rows, more=None):
    """Return {name: bits per character} as a Markdown table, the worst first.

    A star marks what goes on learning while it reads the text that it is judged by; the others
    stand still.

    Parameters
    ----------
    rows : dict of str to float
    more : dict of str to dict, optional
        Further columns: heading and rows. The last column that a row has decides its place.

    Examples
    --------
    >>> print(table({"PPMd": 1.924, "uniform": 6.508}))
    | model   | bits per character |
    |:--------|-------------------:|
    | uniform |               6.51 |
    | PPMd *  |               1.92 |
    >>> print(table({"PPMd": 1.924}, {"the shelf first": {"PPMd": 1.86, "LSTM": 1.7}}))
    | model  | bits per character | the shelf first |
    |:-------|-------------------:|----------------:|
    | PPMd * |               1.92 |            1.86 |
    | LSTM   |                    |            1.70 |
    """
    columns = {"bits per character": rows} | (more or {})
    scores = {name: bits for column in columns.values() for name, bits in column.items()}
    shown = {name: name + " *" * bool(LEARNS_ON.match(name)) for name in scores}
    width = max(map(len, ["model", *shown.values()]))
    lines = [
        " | ".join([f"| {'model':{width}}", *columns]) + " |",
        "|".join([f"|:{'-' * (width + 1)}", *(f"{'-' * (len(each) + 1)}:" for each in columns)])
        + "|",
    ]
    for name in sorted(scores, key=lambda name: -round(scores[name], 2)):
        cells = [
            f"{column[name]:{len(heading)}.2f}" if name in column else " " * len(heading)
            for heading, column in columns.items()
        ]
        lines.append(" | ".join([f"| {shown[name]:{width}}", *cells]) + " |")
    return "\n".join(lines)


def measured_rivals(train, held_out):
    """Return what `tools/rivals.py` measured: rivals that take long, or are no Python package.

    Parameters
    ----------
    train, held_out : str

    Returns
    -------
    alone, after_reading : dict of str to float
        Bits per character of `held_out` after `train`, and after `train` with what the models that
        come with the course read before it. Empty if these two texts were not measured.

    Examples
    --------
    >>> alone, after_reading = measured_rivals(*load_split("speeches"))
    >>> alone["zpaq, method 5"] > after_reading["zpaq, method 5"]
    True
    """
    measured = json.loads((DATA / "rivals.json").read_text(encoding="utf-8"))["bits_per_char"]
    digests = [sha256(train), sha256(held_out)]
    found = next((each for each in measured.values() if each["sha256"] == digests), {})
    return found.get("alone", {}), found.get("after reading", {})


def model_bits(folder, train, held_out):
    """Return the bits per character of `held_out` under the model in `folder`.

    Raises
    ------
    ValueError
        If the model is damaged, does not know a character of the text, or overflows.
    """
    # Here, because they import TensorFlow, which the baselines do not need.
    from helpers.evaluation import bits_per_char
    from helpers.models import load_model

    model, vocab = load_model(folder)
    context = train[-CONTEXT:]
    unknown = sorted(set(context + held_out) - set(vocab.characters))
    if unknown:
        raise ValueError(f"its vocabulary lacks {''.join(unknown)!r}")
    bits = bits_per_char(model, vocab.encode(held_out), context=vocab.encode(context))
    if not math.isfinite(bits):
        raise ValueError(f"its bits per character come out as {bits}")
    return bits


def has_read_more(folder, corpus):
    """Say whether a model read anything but the text of a corpus."""
    config, _ = read_model(folder)
    return config.get("corpus", corpus) != corpus or bool(config.get("read_before"))


def main(arguments=None):
    """Print the scoreboard of a corpus."""
    parser = argparse.ArgumentParser(prog="python -m helpers.scoreboard", description=main.__doc__)
    parser.add_argument(
        "--corpus", default="dracula", help="name of a corpus, or a text file (default: dracula)"
    )
    parser.add_argument("--fallback", help="the corpus to use if the first is not available")
    options = parser.parse_args(arguments)
    try:
        train, held_out = load_split(options.corpus, fallback=options.fallback)
    except (OSError, ValueError) as problem:
        parser.exit(1, f"{problem}\n")
    print(f"{len(held_out):,} held-out characters, {len(train):,} characters to learn from:\n")
    alone, after_reading = measured_rivals(train, held_out)
    rows, remarks = baselines(train, held_out) | alone, []
    for folder in sorted(path.parent for path in MODELS.glob("*/model.npz")):
        try:
            bits = model_bits(folder, train, held_out)
            column = after_reading if has_read_more(folder, options.corpus) else rows
            column[f"model {folder.name}"] = bits
        except (ValueError, OSError) as problem:  # the other models still get their rows
            remarks.append(f"No row for the model {folder.name}: {problem}")
    more = {"read more before": after_reading} if after_reading else {}
    print("\n".join([table(rows, more), *remarks]))


if __name__ == "__main__":
    main()
